"""Columns of text for a terminal."""

import textwrap
from collections.abc import Mapping, Sequence

WIDTH = 100  # of a page
MOST_LETTERS = 28  # of a name
MEASURES = ("train loss", "above optimum", "rmse", "R2", "judged on")  # of a run or a version


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what they hold; texts to the left, numbers to the right."""
    table = [list(head), *[list(r) for r in rows]]
    widths = [max(len(r[i]) for r in table) for i in range(len(head))]
    right = [all(_is_number(r[i]) for r in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in table
    )


def fitted(head: Sequence[str], rows: Sequence[Sequence[str]], width: int = WIDTH) -> str:
    """The grid, the names in its first column cut as far as the width asks for."""
    over = max(map(len, grid(head, rows).splitlines())) - width
    most = max(12, max(len(name) for name, *_ in rows) - max(over, 0))
    return grid(head, [[short(name, most), *cells] for name, *cells in rows])


def wrapped(text: str, further: str = "    ") -> str:
    """The text as lines of a page, a little to the right; all but the first begin with ``further``."""
    return textwrap.fill(plain(text), WIDTH, initial_indent="  ", subsequent_indent=further)


def plain(text: str) -> str:
    """The text with line breaks and other unprintable characters escaped, so that it stays on its line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short(name: str, most: int = MOST_LETTERS) -> str:
    """The name in one line, cut to so many letters."""
    name = plain(name)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _is_number(text: str) -> bool:
    return not text or (text.lstrip("-<")[:1].isdigit() and not set(text) - set("0123456789.,e+-<"))


def measures(metrics: Mapping[str, float]) -> list[str]:
    """The cells of ``MEASURES`` but the last, empty where a metric was not kept."""
    names = ("train_loss", "excess_loss", "test_rmse", "test_r2")
    return [f"{metrics[n]:.5g}" if n in metrics else "" for n in names]
