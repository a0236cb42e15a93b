"""``linreg sweep``: many models in one reading of the data, the best one through the gate."""

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.cli.pages.columns import grid as columns
from flows.orchestration.local_server import local_server
from flows.results.sweep_table import Row, best_first
from linreg import config_file
from linreg.config import Config
from linreg.errors import UserError
from linreg.selection import grid

if TYPE_CHECKING:
    from flows.results.outcome import Outcome

_MOST_ROWS = 20


def sweep(args: argparse.Namespace) -> tuple[object, str]:
    """Run the sweep's flow on a config and a grid; a mistake in one of them starts no server."""
    swept = grid.read(args.grid, args.settings)
    config = _first(args)
    models = [model.config for model in grid.members(config, swept)]
    with local_server():  # before seconds of imports
        from flows.cli.pages.summary import summary

        _check(models)
        from flows.sweep_pipeline import run_sweep  # prefect takes seconds to import: a wrong grid is told at once

        outcome = run_sweep(config, swept)
    settings = [word for setting in args.settings for word in ("--set", setting)]
    return outcome.to_json(), f"{page(outcome)}\n\n{summary(outcome, shlex.join([args.config, *settings]))}"


def _first(args: argparse.Namespace) -> Config:
    """The config with the grid's first values, which are to blame where it is right without them."""
    first = grid.first(args.grid)
    try:
        return config_file.load(args.config, [*args.settings, *first])
    except UserError as e:
        config_file.load(args.config, args.settings)
        line = str(e).removeprefix(f"config {args.config}: ")
        raise UserError(f"--grid, first values ({', '.join(first)}): {line}", details=e.details) from e


def _check(models: Sequence[Config]) -> None:
    """Refuse what no model or no ranking can do."""
    from linreg.selection.ranking import way_of
    from linreg.training.choose import check

    for model in models:
        check(model)
    way_of(models)


def page(outcome: "Outcome") -> str:
    """The models, best first, and those that failed with their reasons."""
    if not outcome.runs:  # the data drifted
        return "no model was trained"
    rows = [row for row in best_first(outcome.runs) if row.loss is not None]
    failed = [row for row in outcome.runs if row.loss is None]
    lines = [f"{len(outcome.runs):,} models, best first by {outcome.ranked_on}", "", _table(rows[:_MOST_ROWS])]
    if len(rows) > _MOST_ROWS:
        lines.append(f"... and {len(rows) - _MOST_ROWS:,} more: --json, or sweep.csv of the run, has them all")
    lines += [f"failed: {row.name}: {row.error}" for row in failed[:_MOST_ROWS]]
    if len(failed) > _MOST_ROWS:
        lines.append(f"... and {len(failed) - _MOST_ROWS:,} more that failed")
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> str:
    keys = [key.removeprefix("train.") for key in rows[0].values]
    errors = any(row.standard_error is not None for row in rows)
    head = [*keys, rows[0].ranked_by, *(["standard error"] if errors else []), "train loss", "above optimum", "epochs"]
    return columns([*head, "run"], [[*_cells(row, errors), row.run_id[:8]] for row in rows])


def _cells(row: Row, errors: bool) -> list[str]:
    metrics = row.metrics or {}
    measures = [row.loss, *([row.standard_error] if errors else [])]
    measures += [metrics.get("train_loss"), metrics.get("excess_loss")]
    numbers = ["" if m is None else f"{m:.6g}" for m in measures]
    return [*map(grid.plain, row.values.values()), *numbers, "" if row.epochs is None else f"{row.epochs:,}"]
