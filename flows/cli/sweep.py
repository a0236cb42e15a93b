"""``linreg sweep``: many models in one reading of the data, the best one through the gate."""

import argparse
import shlex
from collections.abc import Sequence

from flows.orchestration.local_server import local_server
from linreg import config_file
from linreg.config import Config
from linreg.errors import UserError
from linreg.selection import grid


def sweep(args: argparse.Namespace) -> tuple[object, str]:
    """Run the sweep's flow on a config and a grid; one of them that cannot be read starts no server."""
    swept = grid.read(args.grid, args.settings)
    config = _first(args)
    models = [model.config for model in grid.members(config, swept)]
    with local_server():  # before seconds of imports
        from flows.cli.pages.run import summary
        from flows.cli.pages.sweep import page

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
