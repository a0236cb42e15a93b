"""Columns of text for a terminal."""

from collections.abc import Sequence

WIDTH = 100  # of a page
MOST_LETTERS = 28  # of a name


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what they hold; texts to the left, numbers to the right."""
    table = [list(head), *[list(r) for r in rows]]
    widths = [max(len(r[i]) for r in table) for i in range(len(head))]
    right = [all(_is_number(r[i]) for r in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in table
    )


def plain(text: str) -> str:
    """The text with line breaks and other unprintable characters escaped, so that it stays on its line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short(name: str, most: int = MOST_LETTERS) -> str:
    """The name in one line, cut to so many letters."""
    name = plain(name)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _is_number(text: str) -> bool:
    return not text or (text.lstrip("-<")[:1].isdigit() and not set(text) - set("0123456789.,e+-<"))
