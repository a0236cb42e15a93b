"""What can become of a column, and of a key of the config. It decides nothing."""

from dataclasses import dataclass
from typing import Any

FEATURE, CATEGORICAL, TARGET, KEY, LEFT_OUT = "feature", "categorical", "target", "key", "left out"


@dataclass(frozen=True)
class ColumnRole:
    """What becomes of a column.

    Args:
        role: ``target``, ``feature``, ``categorical``, ``key`` or ``left out``.
        why: one short sentence.
        missing: how many of the rows looked at lack a value.
        distinct: how many values these have; None where they cannot be told apart.
    """

    name: str
    type: str
    role: str
    why: str
    missing: int
    distinct: int | None


@dataclass(frozen=True)
class Setting:
    """The value of a key of ``[data]``, and why."""

    value: Any
    why: str
