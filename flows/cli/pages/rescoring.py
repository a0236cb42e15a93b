"""The table of ``linreg models --rescore``."""

from collections.abc import Iterator, Sequence

from flows.cli.pages.columns import flowing, grid
from flows.cli.pages.heading import at, judged_on
from flows.tracking.rescore import Rescored


def table(versions: Sequence[Rescored]) -> Iterator[str]:
    """The versions of one model with their metrics on the rows, the best marked; and what is to be said of them."""
    rows = versions[0].rows
    if rows is None:
        yield flowing(f"{versions[0].version.name}: {versions[0].note}", first="")
        return
    what = "test rows" if rows.held_out else "training rows (it holds out none: data.test_fraction = 0)"
    yield flowing(
        f"{rows.of.name} on the {rows.record.rows:,} {what} of version {rows.of.version}, registered "
        f"{rows.of.created[:19]}, data digest {str(rows.of.data.get('digest', ''))[:12]}",
        first="",
    )
    best = min((v.scores.mse for v in versions if v.scores and v.fair), default=None)
    head = ["version", "aliases", "rmse", "R2", "", "rmse when registered", "judged on"]
    yield grid(head, [_cells(v, best) for v in versions])
    yield from (flowing(f"{v.version.ref}: {v.note}", "    ") for v in versions if v.note)


def _cells(rescored: Rescored, best: float | None) -> list[str]:
    v, s = rescored.version, rescored.scores
    now = [f"{s.to_json()['rmse']:.5g}", f"{s.r2:.5g}"] if s else ["", ""]
    mark = "best" if s and rescored.fair and s.mse == best else "see below" if rescored.note else ""
    before = f"{v.metrics['test_rmse']:.5g}" if "test_rmse" in v.metrics else ""
    return [v.ref, at(v), *now, mark, before, judged_on(v)]
