"""``linreg plan``: what the eigenvalues say before the first epoch, and what k-fold validation says of the optimum."""

import argparse
from dataclasses import asdict

from flows.cli.plan_page import page
from linreg import config_file
from linreg.crossval import CrossValidation, cross_validation, fold_count, fold_records
from linreg.dataset import load
from linreg.device import resolve
from linreg.moments import merge
from linreg.plan import plan as make_plan
from linreg.trainers import choose

_SHOWN = ("largest_stable_learning_rate", "condition_number", "optimum_loss", "epochs_to", "advice")


def plan(args: argparse.Namespace) -> tuple[object, str]:
    """Read the data once and tell what to expect."""
    config = config_file.load(args.config, args.settings)
    choose(config.train)
    resolve(config.train.device, config.train.dtype)
    dataset = load(config.data, dtype=config.train.dtype, folds=fold_count)  # type: ignore[call-arg]
    folds = fold_records(dataset.folds)  # type: ignore[attr-defined]
    found = make_plan(merge(folds), config.train)
    validated = cross_validation(folds, config.train)
    everything = asdict(found) | {"advice": [*found.advice, *_lines(validated)]}
    text = page(found, len(dataset.train), config.train.learning_rate, validated)
    return {name: everything[name] for name in _SHOWN}, text


def _lines(validated: CrossValidation | str) -> list[str]:
    """What the document has room for: the findings as lines of advice."""
    return [validated] if isinstance(validated, str) else [validated.findings, *validated.advice]
