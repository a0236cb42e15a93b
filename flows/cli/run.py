"""``linreg run``: the flow, once."""

import argparse
import shlex

from flows.cli.pages.summary import summary
from linreg import config_file
from linreg.training.choose import check
from linreg.training.device import resolve


def run(args: argparse.Namespace) -> tuple[object, str]:
    """Run the flow on a config."""
    config = config_file.load(args.config, args.settings)
    check(config)
    resolve(config.train.device, config.train.dtype)
    from flows.pipeline import run_flow  # prefect takes seconds to import: a wrong config is told at once

    outcome = run_flow(config)
    settings = [word for setting in args.settings for word in ("--set", setting)]
    return outcome.to_json(), summary(outcome, shlex.join([args.config, *settings]))
