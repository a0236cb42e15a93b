"""A config for a table: the role of every column, and the settings that suit the rows. It opens no file.

    proposal = propose(sample, ["price"])
    proposal.columns, proposal.settings

What would leak the target is never taken in silence; what is left out has its reason.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linreg.errors import UserError, listed, nearest
from linreg.files.sample import Sample
from linreg.profile import relations, rules
from linreg.profile.columns import BOOLEAN, DATES, NUMBERS, TEXT, Column, columns_of

FEATURE, CATEGORICAL, TARGET, KEY, LEFT_OUT = "feature", "categorical", "target", "key", "left out"
_KEPT = 0.7  # of the rows, where those with gaps are left out
_ENOUGH = 100  # rows to hold some out
_TEST = 0.2
_MOST_TERMS = 2000
_RARE = 8  # rows of a level: of fewer, all fall into the test rows once in some thousand splits or more often
_HINT = 300  # letters
_ENTITIES = 30  # a key's values: of fewer, none may fall into the test rows


@dataclass(frozen=True)
class ColumnRole:
    """What becomes of a column.

    Args:
        role: ``target``, ``feature``, ``categorical``, ``key`` or ``left out``.
        why: one short sentence.
        missing: how many of the rows looked at lack a value.
        distinct: how many values these have; None where they cannot be told apart.
    """

    name: str
    type: str
    role: str
    why: str
    missing: int
    distinct: int | None


@dataclass(frozen=True)
class Setting:
    """The value of a key of ``[data]``, and why."""

    value: Any
    why: str


@dataclass(frozen=True)
class Proposal:
    """What a config of the table would be.

    Args:
        columns: all of them, in the table's order.
        targets: in the order in which they were named.
        settings: keys of ``[data]`` beside the columns' roles.
        dated: the column that says when a row was; empty: none does.
    """

    columns: tuple[ColumnRole, ...]
    targets: tuple[str, ...]
    settings: Mapping[str, Setting]
    dated: str


def look(sample: Sample) -> tuple[ColumnRole, ...]:
    """The columns without a target: what each is by itself."""
    columns = columns_of(sample)
    return _roles(sample, columns, {column.name: rules.kind(column) for column in columns})


def propose(sample: Sample, targets: Sequence[str]) -> Proposal:
    """Decide on every column and setting.

    Raises:
        UserError: a target is not there or cannot be predicted, or nothing is left to predict it from.
    """
    columns = columns_of(sample)
    by_name = {column.name: column for column in columns}
    outputs = [_target(name, by_name, sample) for name in dict.fromkeys(targets)]
    draft = _Draft(by_name, outputs, sample)
    draft.decide()
    settings = dict(draft.settings())
    dated = next((c.name for c in columns if rules.in_time(c) and c not in outputs), "")
    names = tuple(target.name for target in outputs)
    return Proposal(_roles(sample, columns, draft.kinds), names, settings, dated)


def _roles(sample: Sample, columns: Iterable[Column], kinds: Mapping[str, tuple[str, str]]) -> tuple[ColumnRole, ...]:
    known = [ColumnRole(c.name, c.type, *kinds[c.name], c.missing, c.distinct) for c in columns]
    doubled = [(name, "stands more than once in the header: rename one to use it") for name in sample.doubled]
    others = [*doubled, *((name, "stands in some of the files only") for name in sample.partial)]
    return (*known, *(ColumnRole(name, "unknown", LEFT_OUT, why, 0, None) for name, why in others))


def _target(name: str, columns: Mapping[str, Column], sample: Sample) -> Column:
    if name not in columns:
        why = " in every file" if name in sample.partial else " just once" if name in sample.doubled else ""
        hint = "" if why else nearest(name, columns)
        hint = hint if len(hint) <= _HINT else f"{hint[: _HINT - 4]} ..."
        raise UserError(f"--target '{name}': there is no such column{why}{hint}: name one of them")
    target = columns[name]
    if name in sample.folders:
        raise UserError(f"--target '{name}' is the name of folders, and no column of a file: name a column of numbers")
    if target.type == TEXT:
        raise UserError(
            f"--target '{name}' is text ({listed([repr(level[:30]) for level in target.levels], most=3)}): a linear "
            "regression predicts numbers; name such a column, or write what is to be predicted as 0 and 1"
        )
    if target.type not in (*NUMBERS, BOOLEAN):
        raise UserError(f"--target '{name}' is {target.type}: a linear regression predicts numbers; name such a column")
    if (target.distinct or 0) < 2:
        raise UserError(f"--target '{name}' has the same value in every row: there is nothing to predict")
    if not rules.in_range(target):
        raise UserError(f"--target '{name}' holds infinite values, or such as float32 cannot hold: correct them")
    return target


class _Draft:
    """Roles while they are decided, one rule after the other; none takes back what another left out."""

    def __init__(self, columns: Mapping[str, Column], targets: Sequence[Column], sample: Sample) -> None:
        self._columns, self._targets, self._sample = columns, targets, sample
        self.kinds: dict[str, tuple[str, str]] = {name: rules.kind(column) for name, column in columns.items()}
        self.kinds |= {target.name: (TARGET, _gaps(target)) for target in targets}
        self._missing = Setting("error", "")

    def decide(self) -> None:
        """Apply all rules in their order."""
        for name in self._sample.folders:
            self._leave_out(name, "the name of folders: predict reads the columns of files alone")
        self._leave_out_leaks()
        self._leave_out_determined()
        self._leave_out_dependent()
        if not self._chosen():
            self._take_row_numbers()
        self._decide_gaps()
        self._leave_out_levels()
        if not self._chosen():
            reasons = [f"'{name}': {why}" for name, (role, why) in self.kinds.items() if role == LEFT_OUT]
            what = "no column is left to predict from: write the config by hand with those that you want"
            raise UserError(what, details=reasons)
        self._note_sums()

    def settings(self) -> Iterator[tuple[str, Setting]]:
        """The keys beside the columns, and why; what stands at its default has none, but for the test rows."""
        test = self._test()
        if test.value and (key := self._key()):
            name, why = key
            self.kinds[name] = (KEY, why)
            yield "key", Setting([name], why)
        else:
            name = ""
        yield "test_fraction", test
        if self._missing.value != "error":
            yield "missing", self._missing
        if test.value and (why := self._rare_level(name)):
            yield "unseen", Setting("base", why)

    def _chosen(self, *roles: str) -> list[Column]:
        roles = roles or (FEATURE, CATEGORICAL)
        return [self._columns[name] for name, (role, _) in self.kinds.items() if role in roles]

    def _leave_out(self, name: str, why: str) -> None:
        if self.kinds[name][0] in (FEATURE, CATEGORICAL):
            self.kinds[name] = (LEFT_OUT, why)

    def _leave_out_leaks(self) -> None:
        for column in self._chosen():
            for target in self._targets:
                if why := relations.leak(column, target):
                    self._leave_out(column.name, why)

    def _leave_out_determined(self) -> None:
        """Categories that another one determines, the later of two that are one; then numbers that one determines."""
        for column in [*reversed(self._chosen(CATEGORICAL)), *self._chosen(FEATURE)]:
            for category in self._chosen(CATEGORICAL):
                if column is not category and (why := relations.determined_by(column, category)):
                    self._leave_out(column.name, why)

    def _leave_out_dependent(self) -> None:
        for name, parts in relations.linear_dependence(self._chosen(FEATURE)).items():
            one = f"a copy of {parts[0]}, or that in another unit" if parts else "the same value in nearly every row"
            self._leave_out(name, one if len(parts) < 2 else f"determined by {_joined(parts)}: a sum of multiples")

    def _take_row_numbers(self) -> None:
        """Where nothing else is left, the number of a row says when it was."""
        for name, (_, why) in self.kinds.items():
            if why == rules.COUNTS and name.strip():
                self.kinds[name] = (FEATURE, "counts the rows, and is all that there is")

    def _decide_gaps(self) -> None:
        """Leave rows out where few lack a value; else fill numbers, which categories with gaps do not allow."""
        while self._share_complete() < _KEPT and (gaps := [c for c in self._chosen(CATEGORICAL) if c.missing]):
            worst = max(gaps, key=lambda column: column.missing)
            self._leave_out(worst.name, f"{worst.missing:,} rows have no value: write a level there to use it")
        lost = self._sample.table.num_rows - int(self._complete().sum())
        unseen_gaps = "only the first rows were looked at; a later one that lacks a value is left out and counted"
        if self._share_complete() >= _KEPT or (self._chosen(CATEGORICAL) and not self._sample.complete):
            if lost:
                self._missing = Setting("drop", f"{_rows(lost)} a value: left out and counted")
            elif not self._sample.complete:
                self._missing = Setting("drop", unseen_gaps)
        else:
            what = f"{_rows(lost)} a value: filled with the column's mean, which rules out standard errors"
            self._missing = Setting("mean", what)

    def _leave_out_levels(self) -> None:
        """Leave out the category with the most levels while the parameters are too many for the rows."""
        while (terms := self._terms()) > _MOST_TERMS or 2 * terms > self._usable():
            categories = [c for c in self._chosen(CATEGORICAL) if (c.distinct or 0) > 2]
            if not categories:
                return
            most = max(categories, key=lambda column: column.distinct or 0)
            self._leave_out(most.name, f"{most.distinct} levels: beside the other columns too many for the rows")

    def _note_sums(self) -> None:
        """Say of features that together they give a target, exactly or nearly."""
        numbers = self._chosen(FEATURE)
        for target in self._targets:
            correlation, parts = relations.gives(numbers, target)
            for name in parts:
                beside = f"with {_joined([part for part in parts if part != name])} it" if len(parts) > 1 else "it"
                why = f"{beside} gives {target.name} (correlation {correlation:.6g}): is it known before?"
                self.kinds[name] = (FEATURE, why)

    def _test(self) -> Setting:
        rows, terms = self._usable(), self._terms()
        if rows < _ENOUGH:
            return Setting(0, f"{rows:,} rows are too few to hold some out: judged on the rows that train")
        if (1 - _TEST) * rows < 3 * terms:
            return Setting(0, f"{terms:,} parameters need all {rows:,} rows: judged on the rows that train")
        return Setting(_TEST, "a fifth of the rows, drawn by a hash, judges the model and trains nothing")

    def _key(self) -> tuple[str, str] | None:
        """The column whose rows stay on one side of the split: an id that repeats, a day, an id of each row."""
        rows = self._sample.table.num_rows
        candidates = [c for c in self._columns.values() if not c.missing and (c.distinct or 0) >= _ENTITIES]
        candidates = [c for c in candidates if self.kinds[c.name][0] == LEFT_OUT]
        repeated = [c for c in candidates if 2 * (c.distinct or 0) <= rows]
        for column in repeated:
            if rules.is_id(column):
                return column.name, f"rows of one {column.name} train or test together"
        for column in repeated:
            if column.type in DATES:
                return column.name, f"rows of one {column.name} train or test together: they may be alike"
        for column in candidates:
            if rules.is_id(column) and column.distinct == rows and self.kinds[column.name][1] != rules.COUNTS:
                return column.name, "names a row: whether it trains or tests does not change when rows move"
        return None

    def _rare_level(self, key: str) -> str:
        """Why a level may fall into the test rows alone; empty where it hardly can."""
        complete = self._complete()
        for column in self._chosen(CATEGORICAL):
            code_N = column.code_N[complete]
            if key:  # the rows of one value of the key are one draw
                keys = self._columns[key].code_N[complete]
                code_N = np.unique(np.stack([code_N, keys]), axis=1)[0]
            counts = np.bincount(code_N[code_N >= 0], minlength=column.distinct or 0)
            counts = counts[counts > 0]
            if len(counts) and counts.min() < _RARE:
                return f"a rare level of {column.name} may fall into the test rows alone: it counts as the first one"
        if self._chosen(CATEGORICAL) and not self._sample.complete:
            return "rows that were not looked at may hold a rare level: among test rows it counts as the first one"
        return ""

    def _complete(self) -> npt.NDArray[np.bool_]:
        """Which of the rows looked at have every value."""
        return _all_there([*self._targets, *self._chosen()])

    def _share_complete(self) -> float:
        """Of the rows that have their targets, the share that has every value."""
        with_targets = _all_there(self._targets)
        return float(self._complete().sum() / max(1, with_targets.sum()))

    def _usable(self) -> int:
        """About how many rows train and test."""
        used = self._complete()
        if self._missing.value == "mean":
            used = _all_there(self._targets)
        return round(float(used.mean()) * self._sample.about_rows)

    def _terms(self) -> int:
        """How many parameters a target has."""
        levels = sum((c.distinct or 1) - 1 for c in self._chosen(CATEGORICAL))
        return 1 + len(self._chosen(FEATURE)) + levels


def _all_there(columns: Sequence[Column]) -> npt.NDArray[np.bool_]:
    """Which rows have a value in all of the columns."""
    return np.asarray(np.logical_and.reduce([column.code_N >= 0 for column in columns]))


def _gaps(target: Column) -> str:
    return "to be predicted" + (f"; {_rows(target.missing)} it and are left out" if target.missing else "")


def _rows(count: int) -> str:
    return f"{count:,} row lacks" if count == 1 else f"{count:,} rows lack"


def _joined(names: Sequence[str]) -> str:
    """The names, the last after an ``and``."""
    shown = list(names) if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
