"""``linreg plan``: what the eigenvalues say before the first epoch, and what k-fold validation says of the optimum."""

import argparse
from dataclasses import asdict, replace
from functools import reduce
from operator import add

from flows.cli.pages.plan import page
from linreg import config_file
from linreg.config import Config
from linreg.errors import UserError
from linreg.files.faults import without_rows
from linreg.ingest.dataset import find_files
from linreg.ingest.records import record_dataset
from linreg.model import LinearModel
from linreg.selection.folds import FOLDS, enough
from linreg.selection.kfold import CrossValidation, cross_validation
from linreg.training.choose import check
from linreg.training.device import resolve
from linreg.training.plan import plan as make_plan

_SHOWN = ("largest_stable_learning_rate", "condition_number", "optimum_loss", "epochs_to", "advice")


def plan(args: argparse.Namespace) -> tuple[object, str]:
    """Read the data once and tell what to expect."""
    config = config_file.load(args.config, args.settings)
    check(config)
    resolve(config.train.device, config.train.dtype)
    start = _start(config)
    train = config.train if start else replace(config.train, warm_start="")
    of_files: list[str] = []
    partitions = find_files(config.data, tell=of_files.append)
    data = record_dataset(config.data, partitions=partitions, dtype=config.train.dtype, held=(), folds=FOLDS)
    ranges = reduce(add, data.extents) if train.batch_size else None
    forecast = make_plan(data.record.moments, train, start, ranges)
    validated = cross_validation(enough(data.folds), config.train)
    if empty := data.dataset.empty:
        of_files.append(without_rows(empty))
    forecast = replace(forecast, advice=(*of_files, *forecast.advice))
    findings = asdict(forecast) | {"advice": [*filter(None, [forecast.rate]), *forecast.advice, *_lines(validated)]}
    text = page(forecast, data.dataset.train_rows, config.train, validated)
    return {name: findings[name] for name in _SHOWN}, text


def _start(config: Config) -> LinearModel | None:
    """The model that ``train.warm_start`` names; a plan without one needs no store."""
    if not config.train.warm_start:
        return None
    from flows.steps.ingest import starts_cold, warm_start
    from flows.tracking.stores.store import open_store

    try:
        store = open_store(create=False)
    except UserError:
        if starts_cold(config):  # as the run will, which makes the store
            return None
        raise
    warm = warm_start(store, config)
    return warm.model if warm else None


def _lines(validated: CrossValidation | str) -> list[str]:
    """What the document has room for: the findings as lines of advice."""
    return [validated] if isinstance(validated, str) else [validated.findings, *validated.advice]
