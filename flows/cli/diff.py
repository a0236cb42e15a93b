"""``linreg diff``: what moved between two registered versions, and why.

The document of ``--json``; every number is as it was computed, and null where there is none:

    {"before": VERSION, "after": VERSION,    as in ``models``, and "promoted": [when, ...], oldest first
     "verdict": "...",                       one line
     "standard_error_of": "difference" (how far the optimum moves by chance between these rows), "estimate" (A's own
                          optimum), or null; ``linreg.least_squares.standard_errors`` has the formulas
     "stopped": {"before", "after"},         standard errors from the optimum, the most of any parameter or prediction
     "targets": {TARGET: {"intercept": M, "coefficients": {FEATURE: M}}},    of the columns that both have
     "added": {"features", "targets"}, "removed": {"features", "targets"},
     "metrics": {NAME: {"before", "after"}},
     "config": {KEY: {"before", "after"}},   the keys that differ, but for [engine]; null where a run is gone
     "notes": ["...", ...]}                  what the standard errors are of, and why something is null

    M = {"before", "after", "move", "data", "columns", "penalty", "optimiser",    in target units per feature unit;
                                             move = data + columns + penalty + optimiser, to the bit
         "effect",                           of the move on a prediction one standard deviation above the mean
         "standard_error", "standard_errors": {"move", "data", "columns", "penalty", "optimiser"}}
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.cli.lookups import entry
from flows.cli.pages.diff import page, verdict
from flows.tracking import registry
from flows.tracking.model_reader import Contents
from flows.tracking.registry import Version
from flows.tracking.stores.store import Store, open_store
from linreg.errors import UserError
from linreg.least_squares.difference import Fitted, Penalty, difference
from linreg.least_squares.standard_errors import Shared
from linreg.least_squares.validity import FILLED, REGULARISED

_WHICH_FILES = ("data.path", "data.window", "data.window_by")  # they choose files, and these are compared by content
_COLUMNS = ("data.features", "data.targets", "data.formula", "data.categorical", "data.levels", "data.unseen")


@dataclass(frozen=True)
class Side:
    """One of the two versions, and all that is on record of it.

    Args:
        config: of its run; None where that is gone.
        promoted: when it became the champion, each time; oldest first.
    """

    version: Version
    contents: Contents
    config: Mapping[str, str] | None
    promoted: tuple[str, ...]

    @classmethod
    def of(cls, store: Store, ref: str) -> "Side":
        """What is known of the version that a REF names; errors as ``registry.contents``."""
        version = registry.lookup(store, ref)
        record = registry.history(store, version.name)
        promoted = tuple(r["when"] for r in record if r["to"] == version.version)
        return cls(version, registry.contents(store, version), registry.settings(store, version), promoted)

    @property
    def inference(self) -> str:
        """What its inference says; empty where none was kept."""
        return self.contents.inference.inference if self.contents.inference else ""

    def fitted(self) -> Fitted:
        """For ``difference``. Where the run is gone, the inference still tells whether there was a penalty."""
        if self.config is not None:
            c = self.config
            scaled = c["train.standardize"] == "true"
            penalty: Penalty | None = Penalty(float(c["train.weight_decay"]), float(c["train.l1"]), scaled)
        else:
            free = self.inference and REGULARISED not in self.inference
            penalty = Penalty() if free else None
        return Fitted(self.contents.model, self.contents.moments, penalty)

    def filled(self, name: str) -> list[str]:
        """Why standard errors would be too small, if values were filled in."""
        return [f"{name}: {line}" for line in self.inference.split("; ") if FILLED in line]

    def to_json(self) -> dict[str, Any]:
        """As in ``models``, with the times of its promotions."""
        return entry(self.version) | {"promoted": list(self.promoted)}


def diff(args: argparse.Namespace) -> tuple[object, str]:
    """Each coefficient's move, split into what moved it, worst first; metrics, data and config side by side."""
    store = open_store(create=False)
    before, after = (Side.of(store, ref) for ref in (args.before, args.after))
    _must_share(before, after)
    shared, note = _shared(before, after)
    filled = [*before.filled("before"), *after.filled("after")]
    moves = difference(before.fitted(), after.fitted(), shared=shared, reasons=filled)
    notes = [*([note] if moves.unit else []), *(f"no standard errors: {reason}" for reason in moves.no_errors)]
    notes += [line for line in moves.unexplained if line not in moves.no_errors]
    notes += _other_bases(before, after)
    line = verdict(moves, before.version, after.version, same_rows=shared == "same")
    document = {
        "before": before.to_json(),
        "after": after.to_json(),
        "verdict": line,
        "standard_error_of": moves.unit,
        "stopped": dict(zip(("before", "after"), moves.stopped, strict=True)),
        "targets": {name: target.to_json() for name, target in moves.targets.items()},
        "added": _only(after, before),
        "removed": _only(before, after),
        "metrics": _beside(before.version.metrics, after.version.metrics),
        "config": _changed(before, after),
        "notes": list(dict.fromkeys(notes)),
    }
    return document, page(document, moves, before.version, after.version)


def _must_share(before: Side, after: Side) -> None:
    a, b = before.contents.model.targets, after.contents.model.targets
    if not set(a) & set(b):
        raise UserError(
            f"{before.version.ref} predicts {', '.join(a)} and {after.version.ref} {', '.join(b)}: with no target in "
            "common there is nothing to compare; name two versions that predict the same"
        )


def _shared(before: Side, after: Side) -> tuple[Shared, str]:
    """Which training rows both versions have, and in words what the standard errors are then of."""
    own = f"standard errors are those of {before.version.ref} itself"
    if before.version.ref == after.version.ref:
        return "same", own
    if before.config is None or after.config is None:
        return None, f"{own}: which training rows the two share is not on record"
    if _sampling(before) != _sampling(after):
        return None, f"{own}: the training rows of the two were not chosen in the same way"
    if before.version.data.get("digest") == after.version.data.get("digest"):
        return "same", f"{own}: the training rows are the same"
    a, b = before.contents.lineage, after.contents.lineage
    if a is None or b is None:
        return None, f"{own}: which training rows the two share is not on record"
    by_key = before.config.get("data.key") not in (None, "none")  # a row's role does not hang on its file's name then
    a_names, b_names = ([digest if by_key else (name, digest) for name, digest in x.partitions] for x in (a, b))
    a_files, b_files = set(a_names), set(b_names)
    by_chance = "standard errors tell how far the optimum moves by chance"
    if a_files < b_files or b_files < a_files:
        small, large = (before, after) if a_files < b_files else (after, before)
        return "nested", f"{by_chance}: the files of {small.version.ref} are among those of {large.version.ref}"
    if not a_files & b_files:
        return "apart", f"{by_chance}: the two have no file in common"
    common = sum(weight for file, weight in zip(a_names, a.weights, strict=True) if file in b_files)
    which = f"the two share {len(a_files & b_files):,} of {len(a_files | b_files):,} files"
    return common, f"{by_chance}: {which}, taken to be like the others"


def _sampling(side: Side) -> dict[str, str]:
    """The keys that decide which rows of its files a version learns from."""
    config = side.config or {}
    drops = config.get("data.missing") != "error"  # rows go by the gaps in these columns
    rest = _WHICH_FILES if drops else (*_WHICH_FILES, *_COLUMNS)
    return {k: v for k, v in config.items() if k.startswith("data.") and k not in rest}


def _only(side: Side, other: Side) -> dict[str, list[str]]:
    """The columns that one has and the other has not."""
    a, b = side.contents.model, other.contents.model
    return {
        "features": [f for f in a.features if f not in b.features],
        "targets": [t for t in a.targets if t not in b.targets],
    }


def _other_bases(before: Side, after: Side) -> list[str]:
    """Categories whose coefficients are beside another level than before."""
    a, b = (dict(side.contents.model.design.levels) if side.contents.model.design else {} for side in (before, after))
    return [
        f"{c}: the base is {a[c][0]} in {before.version.ref} and {b[c][0]} in {after.version.ref}, so the coefficients "
        "of its levels are differences from another level; data.levels fixes the base"
        for c in a
        if c in b and a[c] and b[c] and a[c][0] != b[c][0]
    ]


def _changed(before: Side, after: Side) -> dict[str, Any] | None:
    """The keys of the config that differ; what [engine] says changes no result."""
    if before.config is None or after.config is None:
        return None
    settings = _beside(before.config, after.config)
    return {k: v for k, v in settings.items() if v["before"] != v["after"] and not k.startswith("engine.")}


def _beside(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"before": before.get(name), "after": after.get(name)} for name in {**before, **after}}
