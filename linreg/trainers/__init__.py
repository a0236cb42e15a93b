"""The trainers by name, and how a config picks one. A new trainer is one file here and one line below."""

from dataclasses import fields
from typing import Any

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.trainers.builtin import Builtin
from linreg.trainers.contract import Problem, State, Trainer
from linreg.trainers.exact import Exact
from linreg.trainers.gram import Gram
from linreg.trainers.manual import Manual

__all__ = ["TRAINERS", "Problem", "State", "Trainer", "choose"]

TRAINERS: dict[str, type[Any]] = {t.name: t for t in (Manual, Builtin, Gram, Exact)}


def choose(config: TrainConfig) -> tuple[Trainer, str]:
    """The trainer that a config names, with its hyperparameters, and why it is that one.

    Raises:
        UserError: the trainer cannot do what the config asks of it.
    """
    name, why = config.trainer, "named in train.trainer"
    if name == "auto":
        name = "builtin" if config.batch_size else "gram"
        why = "auto: mini batches need the rows" if config.batch_size else "auto: full batches need only the moments"
    cls = TRAINERS[name]
    if config.batch_size and not cls.mini_batches:
        able = ", ".join(n for n, t in TRAINERS.items() if t.mini_batches)
        raise UserError(f"train.trainer '{name}' takes no train.batch_size: set it to 0, or choose one of {able}")
    takes = {f.name for f in fields(cls)}
    trainer: Trainer = cls(**{name: getattr(config, name) for name in takes})
    return trainer, why
