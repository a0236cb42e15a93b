"""``linreg run``: the flow, once."""

import argparse
import shlex

from flows.orchestration.local_server import local_server
from linreg import config_file


def run(args: argparse.Namespace) -> tuple[object, str]:
    """Run the flow on a config; one that cannot be read starts no server."""
    config = config_file.load(args.config, args.settings)
    with local_server():  # before seconds of imports
        from flows.cli.pages.run import summary
        from linreg.training.choose import check
        from linreg.training.device import resolve

        check(config)
        resolve(config.train.device, config.train.dtype)
        from flows.pipeline import run_flow  # prefect takes seconds to import: a wrong config is told at once

        outcome = run_flow(config)
    settings = [word for setting in args.settings for word in ("--set", setting)]
    return outcome.to_json(), summary(outcome, shlex.join([args.config, *settings]))
