"""The page of ``linreg init``: every column with its role and why, and what to type next."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from flows.cli.pages.columns import grid, plain, short
from flows.cli.pages.command import command
from linreg.profile.proposal import Proposal
from linreg.profile.roles import ColumnRole

_MOST_LISTED = 100  # columns of an error
_LETTERS = 16  # of a type


def page(proposal: Proposal, looked_at: str, output: Path) -> str:
    """The whole page.

    Args:
        looked_at: the rows, in words.
        output: the config that was written.
    """
    name = shlex.quote(str(output))
    return "\n".join(
        [
            plain(f"{output} written, from {looked_at}"),
            "",
            *_table(proposal.columns),
            "",
            "Next",
            plain(f"  {command()} plan {name}"),
            plain(f"  {command()} run {name}"),
        ]
    )


def listing(columns: Sequence[ColumnRole]) -> list[str]:
    """The columns, for an error that asks for one of them."""
    shown = columns[:_MOST_LISTED]
    rows = [[short(c.name), short(c.type, _LETTERS), *_counts(c)] for c in shown]
    more = [f"and {len(columns) - len(shown):,} more"] if len(columns) > len(shown) else []
    return [*grid(["column", "type", "missing", "distinct"], rows).splitlines(), *more]


def _table(columns: Sequence[ColumnRole]) -> Iterator[str]:
    """The reasons stand behind the grid, however long they are."""
    rows = [[short(c.name), short(c.type, _LETTERS), *_counts(c), c.role] for c in columns]
    head, *lines = grid(["column", "type", "missing", "distinct", "role"], rows).splitlines()
    width = max(map(len, [head, *lines]))
    yield f"{head:<{width}}  why"
    yield from (f"{line:<{width}}  {plain(c.why)}" for line, c in zip(lines, columns, strict=False))


def _counts(column: ColumnRole) -> list[str]:
    return [f"{column.missing:,}", "" if column.distinct is None else f"{column.distinct:,}"]
