"""A section of the config, and the checks that its values go through."""

from typing import ClassVar

from linreg.errors import UserError, nearest

LARGEST = 1e38  # a hyperparameter that float32 holds too: torch refuses others with an error of its own


class Section:
    """A table of the config. Pydantic, by which prefect checks a flow's parameters, refuses other keys too."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def require(ok: bool, key: str, remedy: str, value: object = None) -> None:
    """Refuse what is not so, by its key, with what to do."""
    if not ok:
        raise UserError(f"{key} {remedy}" + ("" if value is None else f", not {value!r}"))


def choice(value: str, known: tuple[str, ...], key: str) -> None:
    """Refuse a word that is not among those known, with the nearest."""
    if value not in known:
        raise UserError(f"{key} '{value}' is unknown{nearest(value, known)}")
