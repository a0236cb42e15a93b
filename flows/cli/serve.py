"""``linreg serve``: the flow on a schedule, until stopped."""

import argparse

from flows.orchestration.address import check_files
from linreg import config_file


def serve(args: argparse.Namespace) -> None:
    """Serve the config's deployment on its schedule."""
    config = config_file.load(args.config, args.settings)
    check_files()
    from flows.deploy import serve as serve_deployment  # prefect takes seconds to import

    serve_deployment(config, name=args.name, cron=args.cron, interval=args.interval, timezone=args.timezone)
