"""The trainers by name, and how a config picks one.

A new trainer is one file in ``trainers/``, its class below, and its name in ``config.TrainerName``.
"""

from dataclasses import fields
from typing import Any

from linreg.config import Config, TrainConfig
from linreg.errors import UserError
from linreg.training.trainers.builtin import Builtin
from linreg.training.trainers.contract import Problem, State, Trainer
from linreg.training.trainers.exact import Exact
from linreg.training.trainers.fused import Fused
from linreg.training.trainers.gram import Gram
from linreg.training.trainers.manual import Manual

__all__ = ["TRAINERS", "Problem", "State", "Trainer", "check", "choose"]

TRAINERS: dict[str, type[Any]] = {t.name: t for t in (Manual, Builtin, Gram, Fused, Exact)}


def choose(config: TrainConfig) -> tuple[Trainer, str]:
    """The trainer that a config names, with its hyperparameters, and why it is that one.

    A rate that is ``auto`` stays so: the record decides on it (``prepare``).

    Raises:
        UserError: the trainer cannot do what the config asks of it.
    """
    name, why = _automatic(config) if config.trainer == "auto" else (config.trainer, "named in train.trainer")
    cls = TRAINERS[name]
    _check(cls, config)
    return with_hyperparameters(cls, config), why


def with_hyperparameters(cls: type[Any], config: TrainConfig) -> Trainer:
    """A trainer of a class with the config's own hyperparameters."""
    trainer: Trainer = cls(**{f.name: getattr(config, f.name) for f in fields(cls)})
    return trainer


def _automatic(config: TrainConfig) -> tuple[str, str]:
    """The fastest trainer for the batches, and why it is that one."""
    if not config.batch_size:
        return "gram", "auto: full batches need only the moments"
    if config.l1:
        raise UserError("train.l1 and train.batch_size do not go together: set one of the two to 0")
    if _kind(config) == "mps":
        return "builtin", "auto: mini batches need the rows, and train.device names a GPU that fused does not run on"
    return "fused", "auto: mini batches need the rows, and one compiled pass an epoch is the fastest"


def _kind(config: TrainConfig) -> str:
    """The type of the device that ``train.device`` names: without its number."""
    return config.device.partition(":")[0]


def check(config: Config) -> None:
    """Refuse a config that asks for what cannot be, before anything is read.

    Raises:
        UserError: the trainer cannot do what is asked of it, or patience has no rows to watch.
    """
    choose(config.train)
    if config.train.patience and not config.data.validation_fraction:
        raise UserError("train.patience needs validation rows: set data.validation_fraction")


def _check(cls: type[Any], config: TrainConfig) -> None:
    """Refuse what the trainer cannot do, before anything is read; the line names those that can."""
    options = {
        "batch_size": ("mini_batches", bool(config.batch_size), "set it to 0"),
        "l1": ("takes_l1", bool(config.l1), "set it to 0"),
        "schedule": ("iterates", config.schedule != "constant", 'set it to "constant"'),
        "patience": ("iterates", bool(config.patience), "set it to 0"),
        "warm_start": ("iterates", bool(config.warm_start), "leave it out"),
    }
    for key, (ability, wanted, remedy) in options.items():
        if wanted and not getattr(cls, ability):
            able = ", ".join(n for n, t in TRAINERS.items() if getattr(t, ability))
            raise UserError(f"train.trainer '{cls.name}' takes no train.{key}: {remedy}, or choose one of {able}")
    kind = _kind(config)
    able = ", ".join(n for n, t in TRAINERS.items() if kind in t.devices)  # none: auto, or no device at all
    if cls.needs_rows and able and kind not in cls.devices:
        raise UserError(f"train.trainer '{cls.name}' does not run on {kind}: leave train.device out, or choose {able}")
    if cls.iterates and config.l1 and config.momentum:
        raise UserError("train.l1 and train.momentum do not go together: set momentum to 0, or choose trainer exact")
