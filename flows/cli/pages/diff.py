"""The page of ``linreg diff``: the verdict in a line, the versions side by side, and the coefficients that moved most.

It fits the terminal. The whole is in ``--json``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from flows.cli.pages.columns import WIDTH, grid, page_width, plain, short, shortened, wrapped
from flows.cli.pages.heading import at, judged_on
from flows.tracking.registry import Version
from linreg.least_squares.coefficient_changes import Causes, CoefficientChange, Difference

MOST = 20  # coefficients
_NEAR = 0.01  # standard errors: nearer is told as "within 0.01"
_ROUNDING = 1e-9  # standard errors: less is how numbers are rounded
_PARTS = tuple(f.name for f in fields(Causes))
_Named = tuple[str, str, CoefficientChange]  # target, name, move


def verdict(difference: Difference, before: Version, after: Version, *, same_rows: bool) -> str:
    """What moved and why, in one line."""
    if before.ref == after.ref:
        return f"both are {before.ref}: nothing moved"
    if not any(move.causes for _, _, move in difference):
        return f"what moved is listed, not why: {'; '.join(difference.unexplained)}"
    by_data = "the data moved the optimum" + (" no further than chance may" if difference.data_may_be_chance else "")
    by_data = by_data if _by_more_than_rounding(difference, "data") else "the data moved nothing"
    causes = ["the training rows are the same" if same_rows else _moved(difference, "data", by_data)]
    causes += [
        _moved(difference, part, cause)
        for part, cause in (("columns", "the other columns moved it"), ("penalty", "the other penalty moved it"))
        if _by_more_than_rounding(difference, part)
    ]
    return "; ".join([*causes, _stopped(difference, before, after)])


def page(document: Mapping[str, Any], difference: Difference, before: Version, after: Version) -> str:
    """All of it."""
    title = f"{before.ref} {at(before)}".rstrip() + "  ->  " + f"{after.ref} {at(after)}".rstrip()
    lines = [
        wrapped(title, "  ", first=""),
        wrapped(document["verdict"]),
        "",
        *_versions(document, before, after),
        "",
        *_table(difference),
    ]
    lines += ["", *map(wrapped, [*document["notes"], *_chance(difference)])]
    for word in ("added", "removed"):
        names = [f"{n} (target)" for n in document[word]["targets"]] + document[word]["features"]
        lines += [wrapped(f"{word}: {', '.join(shortened(names))}")] if names else []
    return "\n".join([*lines, *_config(document["config"])]).rstrip()


def _by_more_than_rounding(difference: Difference, part: str) -> bool:
    """Whether one of the causes moved a coefficient; where there are no standard errors, however little."""
    moved = [(m, getattr(m.causes, part)) for _, _, m in difference if m.causes]
    return any(value and abs(m.in_errors(value) or 1) > _ROUNDING for m, value in moved)


def _moved(difference: Difference, part: str, words: str) -> str:
    """How far one of the causes moved a coefficient at most."""
    if not _by_more_than_rounding(difference, part):
        return words
    moved = [(t, n, m, getattr(m.causes, part)) for t, n, m in difference if m.causes]
    in_errors = [(abs(size), t, n) for t, n, m, v in moved if (size := m.in_errors(v)) is not None]
    if in_errors:
        size, target, name = max(in_errors)
        return f"{words}: {_title(difference, target, name)} by {_errors(size)}"
    spread = [(abs(v) * m.spread, t, n) for t, n, m, v in moved if m.spread is not None]
    if not spread:
        return words
    size, target, name = max(spread)
    return f"{words}: {_title(difference, target, name)} by {size:.3g} a standard deviation of {plain(name)}"


def _stopped(difference: Difference, before: Version, after: Version) -> str:
    """What the optimisers did: in standard errors; where there are none, how far above its optimum each loss is."""
    a, b = difference.stopped
    if a is not None and b is not None:
        if max(a, b) <= _NEAR:
            return f"the optimiser stopped within {_NEAR} standard errors of it both times"
        return _moved(difference, "optimiser", "the optimiser stopped elsewhere")
    shares = [
        v.metrics["excess_loss"] / v.metrics["train_loss"] for v in (before, after) if v.metrics.get("train_loss")
    ]
    if len(shares) < 2:
        return "how near the optimiser came is not on record"
    return f"{100 * shares[0]:.2g}% of the loss was above its optimum before, and {100 * shares[1]:.2g}% is after"


def _versions(document: Mapping[str, Any], before: Version, after: Version) -> Iterator[str]:
    """The two side by side."""
    facts: dict[str, Callable[[Version], str]] = {
        "trained by": lambda v: v.trainer or "",
        "training rows": lambda v: f"{v.data.get('train_rows', 0):,} of {v.data.get('rows', 0):,}",
        "digest": lambda v: str(v.data.get("digest", ""))[:12],
        "rmse": lambda v: _measure(v, "test_rmse"),
        "R2": lambda v: _measure(v, "test_r2"),
        "judged on": judged_on,
        "loss": lambda v: _measure(v, "train_loss"),
        "  above optimum": lambda v: _measure(v, "excess_loss"),
        "  from optimum": lambda v: _from_optimum(document["stopped"]["before" if v is before else "after"]),
        "registered": lambda v: v.created[:19],
    }
    rows = [[name, value(before), value(after)] for name, value in facts.items()]
    promoted = [" ".join(when[:19] for when in document[side]["promoted"][-2:]) for side in ("before", "after")]
    rows.append(["champion from", *(p or "never" for p in promoted)])
    yield grid(["", before.ref, after.ref], rows, width=page_width(WIDTH))


def _measure(version: Version, name: str) -> str:
    return f"{version.metrics[name]:.6g}" if name in version.metrics else ""


def _from_optimum(distance: float | None) -> str:
    if distance is None:
        return ""
    return f"within {_NEAR} of its own se" if distance <= _NEAR else f"up to {distance:.2g} of its own se"


def _table(difference: Difference) -> Iterator[str]:
    """The moves, worst first: in standard errors where there are some, else in the coefficients' own units."""
    moves = sorted(difference, key=_size, reverse=True)
    used = [
        p for p in _PARTS if p in ("data", "optimiser") or any(m.causes and getattr(m.causes, p) for *_, m in moves)
    ]
    own = difference.unit is None
    head = ["before", "after", "move", *([] if own else ["in se"]), *used]
    rows = [[_title(difference, t, n), *_cells(m, used, own=own)] for t, n, m in moves[:MOST]]
    yield grid(["", *head], rows, width=page_width(WIDTH))
    if len(moves) > MOST:
        yield wrapped(f"and {len(moves) - MOST:,} more that moved less: --json lists them all", "  ", first="")
    if not own:
        words = f"(in se: the move in standard errors; so are {', '.join(used[:-1])} and {used[-1]}, its parts)"
        yield wrapped(words, " ", first="")


def _size(named: _Named) -> tuple[float, float]:
    """What moves are sorted by: standard errors, and where there are none the effect on a prediction."""
    move = named[2]
    size, effect = move.in_errors(move.change), move.effect
    return (-1.0 if size is None else abs(size), 0.0 if effect is None else abs(effect))


def _cells(move: CoefficientChange, used: Iterable[str], *, own: bool) -> list[str]:
    numbers = [f"{move.before:.6g}", f"{move.after:.6g}", f"{move.change:.3g}"]
    parts = [getattr(move.causes, p) if move.causes else None for p in used]
    if own:
        return [*numbers, *("" if p is None else f"{p:.3g}" for p in parts)]
    sizes = [None if p is None else move.in_errors(p) for p in (move.change, *parts)]
    return [*numbers, *("" if s is None else f"{s:.2f}" if abs(s) < 1e6 else f"{s:.3g}" for s in sizes)]


def _chance(difference: Difference) -> Iterator[str]:
    """What the largest of so many would be by chance alone."""
    count, limit = difference.largest_by_chance
    if count:
        yield f"by chance alone the largest of {count:,} passes {limit:.2f} in 1 case of 20"


def _config(changed: Mapping[str, Any] | None) -> Iterator[str]:
    """The keys that differ."""
    if changed is None:
        yield "the config of a run is gone: which keys differ is not known"
    elif changed:
        shown = [[k, *(short(v[s] or "", 34) for s in ("before", "after"))] for k, v in changed.items()]
        yield "\n" + grid(["config", "", ""], shown, width=page_width(WIDTH))


def _title(difference: Difference, target: str, name: str) -> str:
    return plain(name if len(difference.targets) == 1 else f"{name} ({target})")


def _errors(size: float) -> str:
    return f"{size:.2g} standard errors" if size < 100 else f"{size:,.0f} standard errors"
