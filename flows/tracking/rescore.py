"""Every version on today's test rows, from their record; no file of data is opened.

Today's test rows of a model are those of its newest version that keeps the record of them. With ``--rescore`` each
entry of the document of ``linreg models`` has

    "rescored": {"rmse", "r2", "mse", and each a target: "rmse.apples", ...; "rows", "digest" of the data,
                 "as_of": "NAME/VERSION" whose test rows they are, "note"}, or null
    "note":     what to bear in mind, or why there are no numbers; null where there is nothing to say
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.tracking import registry
from flows.tracking.registry import Version
from flows.tracking.stores.store import Store
from linreg.design import Design
from linreg.errors import UserError
from linreg.evaluation.rescore import Scores, mismatch, scores
from linreg.moments.missing_values import MomentsWithGaps

_SPLIT = {"fraction": "test_fraction", "seed": "split_seed", "key": "key", "validation": "validation_fraction"}


@dataclass(frozen=True)
class TestRows:
    """The rows of today.

    Args:
        of: the version that was judged on them.
        record: theirs.
        design: of its columns; None: they are columns of numbers.
    """

    of: Version
    record: MomentsWithGaps
    design: Design | None

    @property
    def held_out(self) -> bool:
        """Whether they are test rows; else those that ``of`` was trained on."""
        return self.of.split.get("fraction") != 0


@dataclass(frozen=True)
class Rescored:
    """A version on the rows of today.

    Args:
        scores: None where it cannot be judged on them.
        note: why not, or what to bear in mind; empty: nothing.
    """

    version: Version
    scores: Scores | None
    note: str
    rows: TestRows | None

    @property
    def fair(self) -> bool:
        """Whether it may be compared with the others."""
        return self.scores is not None and not self.note

    def to_json(self) -> dict[str, Any]:
        """What is added to its entry."""
        note = self.note or None
        if self.scores is None or self.rows is None:
            return {"rescored": None, "note": note}
        on = {"rows": self.rows.record.rows, "digest": self.rows.of.data.get("digest"), "as_of": self.rows.of.ref}
        return {"rescored": {**self.scores.to_json(), **on, "note": note}, "note": note}


def rescored(store: Store, versions: Sequence[Version]) -> list[Rescored]:
    """All versions, in their order, each on the rows of its own model."""
    out: list[Rescored] = []
    for name in dict.fromkeys(v.name for v in versions):
        own = [v for v in versions if v.name == name]
        rows = _today(store, own)
        out += [_judged(store, v, rows) for v in own]
    return out


def _today(store: Store, versions: Sequence[Version]) -> TestRows | None:
    """The rows of the newest version that keeps them and can be read."""
    for version in sorted(versions, key=lambda v: -v.version):
        try:
            contents = registry.contents(store, version, inference=False)
        except UserError:
            continue
        if contents.test is not None:
            return TestRows(version, contents.test, contents.model.design)
    return None


def _judged(store: Store, version: Version, rows: TestRows | None) -> Rescored:
    if rows is None:
        return Rescored(version, None, "no version keeps a record of its test rows yet: the next run does", None)
    try:
        model = registry.load(store, version)
    except UserError as e:
        return Rescored(version, None, str(e), rows)
    reason = mismatch(model, rows.record, rows.design)
    note = reason or _known_to(version, rows)
    return Rescored(version, None if reason else scores(model, rows.record, rows.design), note, rows)


def _known_to(version: Version, rows: TestRows) -> str:
    """Why the version may have learned from these rows, in words; empty where it cannot."""
    if version.facts.get("saw_test_rows"):
        return f"it may have trained on these rows: {version.facts['saw_test_rows']}"
    different = [key for key in _SPLIT if version.split.get(key) != rows.of.split.get(key)]
    if not different:
        return ""
    settings = ", ".join(f"data.{_SPLIT[key]} {_value(version.split.get(key))}" for key in different)
    return f"it may have trained on these rows, as it was split with {settings}"


def _value(value: object) -> str:
    if value is None:
        return "not on record"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
