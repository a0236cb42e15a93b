"""``linreg plan``: what the eigenvalues say before the first epoch."""

import argparse
from dataclasses import asdict, replace

from linreg import config_file
from linreg.config import Config
from linreg.dataset import load
from linreg.device import resolve
from linreg.model import LinearModel
from linreg.plan import Plan
from linreg.plan import plan as make_plan
from linreg.record import record
from linreg.trainers import choose

_SHOWN = ("largest_stable_learning_rate", "condition_number", "optimum_loss", "epochs_to", "advice")


def plan(args: argparse.Namespace) -> tuple[object, str]:
    """Read the data once and tell what to expect."""
    config = config_file.load(args.config, args.settings)
    choose(config.train)
    resolve(config.train.device, config.train.dtype)
    rows = load(config.data, dtype=config.train.dtype).train
    start = _start(config)
    how = config.train if start else replace(config.train, warm_start="")
    found = make_plan(record(rows).moments, how, start)
    everything = asdict(found)
    return {name: everything[name] for name in _SHOWN}, _page(found, len(rows), config.train.learning_rate)


def _start(config: Config) -> LinearModel | None:
    """The model that ``train.warm_start`` names; a plan without one needs no store."""
    if not config.train.warm_start:
        return None
    from flows.ingest import warm_start
    from flows.tracking.store import open_store

    warm = warm_start(open_store(create=False), config)
    return warm.model if warm else None


def _page(found: Plan, rows: int, rate: float) -> str:
    condition = "infinite: columns are constant or determine each other"
    if found.condition_number is not None:
        condition = f"{found.condition_number:.4g}"
    lines = [
        ("training rows", f"{rows:,}"),
        ("largest stable rate", f"{found.largest_stable_learning_rate:.4g} (the config's: {rate:g})"),
        ("condition number", condition),
        ("best possible loss", f"{found.optimum_loss:.6g}"),
        *((f"epochs to {share}", "never" if n is None else f"{n:,}") for share, n in found.epochs_to.items()),
    ]
    table = "\n".join(f"{name:<22}{text}" for name, text in lines)
    return table + "".join(f"\n  {line}" for line in found.advice)
