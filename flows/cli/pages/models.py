"""The page of ``linreg models``: the version in use, all versions, and the record of promotions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.cli.pages.columns import MEASURES, flowing, grid, measures, plain
from flows.cli.pages.heading import at, judged_on, trained_on
from flows.tracking.registry import Version


def page(versions: Sequence[Version], histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The versions, newest first.

    Args:
        histories: the record of promotions of each of their models, oldest first.
    """
    if not versions:
        return "nothing is registered yet: linreg run CONFIG does it"
    head = ["version", "aliases", "created", "trainer", "trained on", *MEASURES]
    lines = [
        *(_in_use(name, history) for name, history in histories.items()),
        "",
        grid(head, [_cells(v) for v in versions]),
    ]
    for name, history in histories.items():
        lines += ["", flowing(f"Champions of {name}", first=""), *_promotions(history)]
    return "\n".join(lines)


def _cells(version: Version) -> list[str]:
    origin = [version.created[:19], version.trainer or "", trained_on(version)]
    return [version.ref, at(version), *origin, *measures(version.metrics), judged_on(version)]


def _in_use(name: str, history: Sequence[Mapping[str, Any]]) -> str:
    """Which version ``NAME`` alone means, since when and why."""
    if not history or history[-1]["to"] is None:
        return plain(f"No version of {name} is in use: linreg promote {name}/VERSION chooses one")
    last = history[-1]
    return flowing(f"In use: {name}/{last['to']}, since {last['when'][:19]}: {last['why']}", first="")


def _promotions(history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not history:
        yield "  none yet"
    for move in reversed(history):
        champions = f"{_number(move['from'])} -> {_number(move['to'])}"
        words = f"{move['action']}: {champions}, by {move['who']}: {move['why']}"
        yield flowing(words, "    ", first=f"  {move['when'][:19]}  ")


def _number(version: int | None) -> str:
    return f"version {version}" if version else "none"
