"""The grid of a sweep: which keys take which values, and the configs that come of it, in order.

    grid = read(["train.learning_rate=0.1,0.2", "train.seed=0,1"])
    models = members(config, grid)          # four, the last key running fastest

Everything that can be wrong with it is told before a file is opened.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from linreg.config import Config
from linreg.config_file import typed
from linreg.errors import UserError

MOST_MODELS = 1000

Grid = Mapping[str, Sequence[Any]]  # keys in the order in which they were given, each with its values

_NOT = {  # why a key, or a section, has no place in a grid
    "train.device": "where a model is trained is not what it is: set it for all models",
    "train.warm_start": "the models of a sweep start alike: set it for all of them",
    "data": "the models of a sweep share one reading of one data set: run once for each value",
    "gate": "it trains no model: set it once",
    "drift": "it trains no model: set it once",
    "engine": "it trains no model: set it once",
    "model": "all models of a sweep are candidates for one name: set it once",
    "experiment": "it trains no model: set it once",
}


@dataclass(frozen=True)
class Member:
    """One model of a sweep.

    Args:
        values: of the swept keys.
        config: whole, these values in it.
    """

    values: Mapping[str, Any]
    config: Config

    @property
    def label(self) -> str:
        """What it is recognised by: ``learning_rate=0.1 seed=2``."""
        return label(self.values)


def label(values: Mapping[str, Any]) -> str:
    """The values in one line; the section, the same for all of them, is left out."""
    return " ".join(f"{key.removeprefix('train.')}={plain(value)}" for key, value in values.items())


def plain(value: Any) -> str:
    """A value as one would set it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def read(texts: Sequence[str], settings: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Read ``a.b=v1,v2`` texts; the values by the key's type, as those of ``--set``.

    Args:
        texts: one for each key.
        settings: the ``a.b=v`` settings beside them, which name other keys.

    Raises:
        UserError: a key is unknown, has no place in a grid or is named twice, or a value is missing or wrong.
    """
    grid: dict[str, list[Any]] = {}
    held = {setting.partition("=")[0].strip() for setting in settings}
    for text in texts:
        key, equals, listed = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise UserError(f"--grid '{text}' is not of the form section.key=value,value")
        if key in grid:
            raise UserError(f"--grid names {key} twice: give all its values at once, as in --grid {key}=1,2")
        if key in held:
            raise UserError(f"{key} is in --set and in --grid: leave one of them out")
        grid[key] = _values(key, listed)
    return grid


def _values(key: str, listed: str) -> list[Any]:
    parts = [part.strip() for part in listed.split(",")]
    _check_key(key)
    if not all(parts):
        raise UserError(f"--grid {key}={listed} lacks a value: write {key}=VALUE,VALUE")
    return [typed(key, part) for part in parts]


def _check_key(key: str) -> None:
    typed(key)  # an unknown key is told first
    why = _NOT.get(key) or _NOT.get(key.partition(".")[0])
    if why:
        raise UserError(f"{key} cannot be in a grid: {why}")


def members(config: Config, grid: Grid) -> tuple[Member, ...]:
    """Every combination of the grid's values, the last key running fastest.

    Args:
        config: of all the keys that are not swept.

    Raises:
        UserError: there are no values, too many or equal ones, or a config that comes of them makes no sense.
    """
    if not grid:
        raise UserError("the grid names no key: give --grid section.key=value,value")
    for key, values in grid.items():
        _check_key(key)
        if not values:
            raise UserError(f"the grid gives {key} no value")
        twice = [v for i, v in enumerate(values) if v in values[:i]]
        if twice:
            raise UserError(f"the grid gives {key} the value {plain(twice[0])} twice: name each once")
    count = math.prod(len(values) for values in grid.values())
    if count > MOST_MODELS:
        raise UserError(f"the grid makes {count:,} models, more than {MOST_MODELS:,}: take fewer values")
    return tuple(_member(config, dict(zip(grid, combined, strict=True))) for combined in product(*grid.values()))


def _member(config: Config, values: dict[str, Any]) -> Member:
    own = {key.removeprefix("train."): typed(key, value) for key, value in values.items()}
    if config.train == replace(config.train, tolerance=None):  # it is what goes with the rate, and so it stays
        own = {"tolerance": None} | own
    try:
        return Member(values, replace(config, train=replace(config.train, **own)))
    except UserError as e:
        raise UserError(f"the model with {label(values)}: {e}") from e


def first(texts: Sequence[str]) -> list[str]:
    """The grid's first combination as settings: the config that stands for the whole is one that makes sense."""
    return [f"{key}={listed.split(',')[0].strip()}" for key, _, listed in (t.partition("=") for t in texts)]
