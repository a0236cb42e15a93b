"""The page of ``linreg sweep``: its models, best first."""

from collections.abc import Sequence

from flows.cli.pages.columns import flowing, grid
from flows.results.outcome import Outcome
from flows.results.sweep_table import Row, best_first
from linreg.selection.grid import plain

_MOST_ROWS = 20


def page(outcome: Outcome) -> str:
    """The models, best first, and those that failed with their reasons."""
    if not outcome.runs:  # the data drifted
        return "no model was trained"
    rows = [row for row in best_first(outcome.runs) if row.loss is not None]
    failed = [row for row in outcome.runs if row.loss is None]
    lines = [f"{len(outcome.runs):,} models, best first by {outcome.ranked_on}", "", _table(rows[:_MOST_ROWS])]
    if len(rows) > _MOST_ROWS:
        lines.append(f"... and {len(rows) - _MOST_ROWS:,} more: --json, or sweep.csv of the run, has them all")
    lines += [flowing(f"failed: {row.name}: {row.error}", first="") for row in failed[:_MOST_ROWS]]
    if len(failed) > _MOST_ROWS:
        lines.append(f"... and {len(failed) - _MOST_ROWS:,} more that failed")
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> str:
    keys = [key.removeprefix("train.") for key in rows[0].values]
    errors = any(row.standard_error is not None for row in rows)
    head = [*keys, rows[0].ranked_by, *(["standard error"] if errors else []), "train loss", "above optimum", "epochs"]
    return grid([*head, "run"], [[*_cells(row, errors), row.run_id[:8]] for row in rows])


def _cells(row: Row, errors: bool) -> list[str]:
    metrics = row.metrics or {}
    measures = [row.loss, *([row.standard_error] if errors else [])]
    measures += [metrics.get("train_loss"), metrics.get("excess_loss")]
    numbers = ["" if m is None else f"{m:.6g}" for m in measures]
    return [*map(plain, row.values.values()), *numbers, "" if row.epochs is None else f"{row.epochs:,}"]
