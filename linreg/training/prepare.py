"""What is settled before the first epoch: which trainer, whether the rate can converge, the rows as it sees them.

    training = prepare(config, validation=None, start=None).on(objective, None)

It runs no epoch: that is ``fit``'s and ``fit_many``'s.

Shapes: N rows, F features, O targets.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial, reduce
from operator import add
from typing import Any

import torch

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges, categories_of
from linreg.rows.batches import mixes
from linreg.rows.rows import Rows
from linreg.training.choose import Problem, Trainer, choose, with_hyperparameters
from linreg.training.convergence import converges, dtype_of, stable_rate, start_of
from linreg.training.descent import first_rate
from linreg.training.device import resolve
from linreg.training.history import History, OnEpoch, or_standardize
from linreg.training.learning_rate import Rate, automatic
from linreg.training.trainers.exact import Exact


@dataclass(frozen=True)
class TrainerChoice:
    """A trainer that can do what a config asks for.

    Args:
        config: as it was asked for; of a ``Training``, with numbers in place of an ``auto`` rate.
        trainer, why: chosen for it, and why that one.
        device: where its tensors will be.
        rate: the numbers that an ``auto`` rate came to and why, in words; empty where there is none.
    """

    config: TrainConfig
    trainer: Trainer
    why: str
    device: torch.device
    rate: str = ""

    def on(self, objective: Objective, start: LinearModel | None, ranges: Ranges | None = None) -> "Training":
        """The choice with a record to train on; without any rows yet.

        Args:
            ranges: of the rows' columns, features first, for an ``auto`` rate of mini-batches; None: not known.

        Raises:
            UserError: the rate cannot converge, or the dtype cannot hold the start.
        """
        if self.trainer.needs_rows and not objective.moments.intercept:
            what = f"trainer {self.trainer.name} walks rows and trains an intercept, which data.formula leaves out"
            raise UserError(f'{what}: set train.batch_size = 0 and train.trainer = "auto" (or gram, exact)')
        choice = self._with_rate(objective, start, ranges)
        config, dtype = choice.config, dtype_of(self.config)
        check_rate(objective, config, choice.trainer, start)
        start_of(objective, config, start)  # refused where the dtype cannot hold it
        warm_DO = None if start is None else objective.theta(start)
        return Training(choice, Problem(objective, None, None, config.seed, dtype, self.device, warm_DO=warm_DO))

    def _with_rate(self, objective: Objective, start: LinearModel | None, ranges: Ranges | None) -> "TrainerChoice":
        """The choice with numbers in place of an ``auto`` rate; ``exact`` where auto may take it and no rate will do.

        Raises:
            UserError: the trainer is named, and no rate will do.
        """
        config, trainer = self.config, self.trainer
        if config.learning_rate != "auto" or not trainer.iterates:
            return self
        rate = automatic(objective, config, start, ranges, in_rows=trainer.needs_rows)
        if not rate.obstacle or config.force or config.patience:
            trainer = with_hyperparameters(type(trainer), rate.config)
            return replace(self, config=rate.config, trainer=trainer, rate=rate.words)
        if config.trainer != "auto":
            raise UserError(refusal(rate, trainer.name))
        return self.closed_form(rate.obstacle)

    @property
    def may_change(self) -> bool:
        """Whether the trainer was ours to choose, and the rate too: then no model has to stay short of the optimum."""
        config = self.config
        return bool(self.rate) and config.trainer == "auto" and not config.force and not config.patience

    def closed_form(self, why: str) -> "TrainerChoice":
        """``exact`` in the place of a descent that does not come near enough."""
        config = replace(self.config, trainer="exact", schedule="constant")
        device = torch.device("cpu")
        return replace(self, config=config, trainer=Exact(), why=f"auto: {why}, so exact", device=device, rate="")


@dataclass(frozen=True)
class Training:
    """A training that has passed its checks: what ``loop`` runs."""

    choice: TrainerChoice
    problem: Problem

    def with_rows(self, x_NF: torch.Tensor, y_NO: torch.Tensor, weight_N: torch.Tensor | None) -> "Training":
        """The same with the rows that ``design`` gives."""
        return replace(self, problem=replace(self.problem, x_NF=x_NF, y_NO=y_NO, weight_N=weight_N))

    def closed_form(self, why: str) -> "Training":
        """The same with ``exact``; ``why`` is in words."""
        return replace(self, choice=self.choice.closed_form(why))

    def history(self, validation: Moments | None, on_epoch: OnEpoch | None) -> History:
        """An empty history for it."""
        config = self.choice.config
        epochs = config.epochs if self.choice.trainer.iterates else 0
        return History(self.problem.objective, config, epochs, validation, on_epoch)


def prepare(config: TrainConfig, *, validation: Moments | None, start: LinearModel | None) -> TrainerChoice:
    """Choose the trainer and check what needs no record.

    Raises:
        UserError: the trainer or the device cannot do what is asked, or something that it needs was not given.
    """
    trainer, why = choose(config)
    device = resolve(config.device, config.dtype)
    wanted = config.device != "auto" or trainer.uses_gpu_by_default
    device = device if wanted and device.type in trainer.devices else torch.device("cpu")
    _check_given(config, validation, start)
    return TrainerChoice(config, trainer, why, device)


def shared_objectives(moments: Moments) -> Callable[[TrainConfig], Objective]:
    """The trained loss of any config; configs of the same loss share it, decompositions and all."""
    objective = cache(partial(Objective.of, moments))
    return lambda config: objective(standardize=config.standardize, weight_decay=config.weight_decay, l1=config.l1)


def _check_given(config: TrainConfig, validation: Moments | None, start: LinearModel | None) -> None:
    if config.patience and validation is None:
        raise UserError(
            "train.patience needs validation rows: set data.validation_fraction, and hand their record over"
        )
    if bool(config.warm_start) != (start is not None):
        raise UserError("train.warm_start and the model to start from go together: give both, or neither")


def check_rate(objective: Objective, config: TrainConfig, trainer: Trainer, start: LinearModel | None = None) -> None:
    """Refuse a full-batch rate that cannot converge; ``train.force`` overrides.

    Raises:
        UserError: the line names the largest stable rate.
    """
    full = trainer.iterates and not 0 < config.batch_size < objective.moments.rows
    if full and not config.force and not converges(objective, config, start):
        limit = stable_rate(objective, config)
        falls = "" if config.schedule == "constant" else f", and the schedule {config.schedule} comes down too late"
        if config.patience and falls:
            falls = f", and train.patience may stop before the schedule {config.schedule} comes down"
        raise UserError(
            f"train.learning_rate {first_rate(config):g} cannot converge: the largest stable rate is {limit:.4g}"
            f"{falls}; choose one below it (half of it is a good start{or_standardize(config)}), "
            "or set train.force = true"
        )


def refusal(rate: Rate, trainer: str) -> str:
    """Why a named trainer cannot do with an ``auto`` rate, and what to do, in a line."""
    remedies = ", ".join([*rate.remedies, 'train.trainer = "auto" (it takes exact)'])
    return (
        f'train.learning_rate "auto" finds none for train.trainer {trainer}: {rate.obstacle}; set {remedies}, or '
        "train.force = true"
    )


def means(objective: Objective) -> Float:
    """The means of the training rows, shape (F,): what stands for a missing feature."""
    return objective.moments.mean_P[: len(objective.moments.features)]


def ranges_for(config: TrainConfig, rows: Rows) -> Ranges | None:
    """The ranges of the rows' columns, where an ``auto`` rate of mini-batches needs them."""
    if config.learning_rate != "auto" or not config.batch_size:
        return None
    ranges = reduce(add, (Ranges.of(block_NP.T) for block_NP in rows.blocks()))
    return replace(ranges, categories=categories_of(rows.design))


def design(
    rows: Rows, config: TrainConfig, objective: Objective, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """The rows in the trained coordinates, scaled in float64 before any rounding to the dtype: x_NF, y_NO, weight_N."""
    mixed, dtype = config.shuffle and mixes(len(rows), config.batch_size), dtype_of(config)
    scaled: dict[str, Any] = {"scaled": (objective.centre_F, objective.scale_F)} if config.standardize else {}
    fill_F = means(objective) if rows.gaps else None
    x_NF, y_NO = (t.to(device) for t in rows.tensors(dtype, mixed=mixed, fill_F=fill_F, **scaled))
    return x_NF, y_NO, _row_weights(rows.weights(mixed=mixed), device, dtype)


def _row_weights(weight_N: Float | None, device: torch.device, dtype: torch.dtype) -> torch.Tensor | None:
    """How much each row counts, 1 on average, shape (N,): a batch is then divided by its size, whatever the weights."""
    return None if weight_N is None else torch.from_numpy(weight_N / weight_N.mean()).to(device, dtype)
