"""Columns of text for a terminal: whatever the names and the width, no column runs into the next.

Widths are columns of a terminal: East Asian wide characters take two, combining ones none. A table that is too wide has
its long texts shortened in the middle, and what still does not fit stands below, with the first column again.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

WIDTH = 100  # of a page's text
NARROWEST, WIDEST = 40, 200  # of a page
MOST_LETTERS = 28  # of a name in a text
LEAST_LETTERS = 12  # that a shortened cell keeps
MEASURES = ("train loss", "above optimum", "rmse", "R2", "judged on")  # of a run or a version
_GAP = "  "
_CUT = "…"


def page_width(otherwise: int = WIDEST) -> int:
    """The width of the terminal, as the command line finds it; ``otherwise`` where the page goes elsewhere."""
    columns = os.environ.get("COLUMNS", "")
    return min(max(int(columns), NARROWEST), WIDEST) if columns.isdecimal() and int(columns) else otherwise


def grid(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    indent: str = "",
    least: Sequence[int] = (),
) -> str:
    """Columns as wide as what they hold; texts to the left, numbers to the right.

    Args:
        width: of the page; None: ``page_width()``.
        indent: before each line.
        least: the widths that the columns have where the page has room for them.
    """
    room = (page_width() if width is None else width) - len(indent)
    columns = [[plain(cell) for cell in column] for column in zip(head, *rows, strict=True)]
    widths = [max([min(letters(title), MOST_LETTERS), *map(letters, cells)]) for title, *cells in columns]
    roomy = [max(w, le) for w, le in zip(widths, [*least, *[0] * (len(widths) - len(least))], strict=True)]
    blocks = [list(range(len(columns)))]
    if _total(roomy) <= room:
        widths = roomy
    else:
        floors = [_floor(column) for column in columns]
        blocks = blocks if _total(floors) <= room else list(_blocks(widths, floors, room))
        widths = _fitted(columns, blocks, widths, floors, room)
    titles = _titles([column[0] for column in columns], widths)
    texts = [_aligned(title, column[1:], w) for title, column, w in zip(titles, columns, widths, strict=True)]
    tables = (zip(*(texts[i] for i in block), strict=True) for block in blocks)
    return "\n\n".join("\n".join(indent + _GAP.join(row).rstrip() for row in table) for table in tables)


def _floor(column: Sequence[str]) -> int:
    """The least width of a column: a number is never cut, nor is a time; a text and a title may be."""
    title, *cells = column
    rigid = [letters(cell) for cell in cells if _is_rigid(cell)]
    soft = [min(letters(cell), LEAST_LETTERS) for cell in (title, *cells)]
    return max([*rigid, *soft])


def _blocks(widths: Sequence[int], floors: Sequence[int], room: int) -> Iterator[list[int]]:
    """Which columns stand side by side, the first in every block."""
    first = min(widths[0], max(floors[0], room // 3))
    block, used = [0], first
    for i in range(1, len(widths)):
        if len(block) > 1 and used + len(_GAP) + widths[i] > room:
            yield block
            block, used = [0], first
        block.append(i)
        used += len(_GAP) + widths[i]
    yield block


def _fitted(
    columns: Sequence[Sequence[str]],
    blocks: Sequence[Sequence[int]],
    widths: Sequence[int],
    floors: Sequence[int],
    room: int,
) -> list[int]:
    """The widths with which every block fits, as far as the floors let it: titles of numbers give way first."""
    out, numbers = list(widths), [all(map(_is_number, column[1:])) for column in columns]
    for block in blocks:
        while sum(out[i] for i in block) + len(_GAP) * (len(block) - 1) > room:
            able = [i for i in block if out[i] > floors[i]]
            if not able:
                break
            out[max(able, key=lambda i: (numbers[i], out[i]))] -= 1
    return out


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _titles(titles: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The titles, those that are shortened at one width: else they could look the same."""
    out = list(titles)
    long = [i for i, title in enumerate(titles) if letters(title) > widths[i]]
    most = min((widths[i] for i in long), default=0)
    for i, text in zip(long, shortened([titles[i] for i in long], most), strict=True):
        out[i] = text
    return out


def _aligned(title: str, cells: Sequence[str], width: int) -> list[str]:
    """A column, every text as wide as the column: numbers to the right."""
    right = all(map(_is_number, cells))
    return [_padded(text, width, right) for text in (title, *shortened(cells, width))]


def _padded(text: str, width: int, right: bool) -> str:
    spaces = " " * (width - letters(text))
    return spaces + text if right else text + spaces


def shortened(names: Sequence[str], most: int = MOST_LETTERS) -> list[str]:
    """Names in one line each, cut in the middle to so many columns; those that differ stay apart.

    >>> shortened(["the_long_name_1_of_a_sensor", "the_long_name_2_of_a_sensor"], 12)
    ['the…1_of_a_…', 'the…2_of_a_…']
    """
    out = {name: _cut(name, most) for name in dict.fromkeys(map(plain, names))}
    for group in _alike(out):
        start = next(
            (i for i, here in enumerate(zip(*group, strict=False)) if len(set(here)) > 1), min(map(len, group))
        )
        out |= {name: _from_where_they_differ(name, start, most) for name in group}
    for group in _alike(out):  # what sets them apart does not fit
        for number, name in enumerate(group[1:], start=2):
            out[name] = f"{_start(out[name], most - len(str(number)) - 1)}{_CUT}{number}"
    return [out[plain(name)] for name in names]


def _from_where_they_differ(name: str, start: int, most: int) -> str:
    """The beginning, and what follows the first letter that sets it apart; a number there is shown whole."""
    while start > 0 and name[start - 1].isdigit():
        start -= 1
    head = _start(name, most // 4)
    room = most - letters(head) - 1
    rest = name[start:]
    return f"{head}{_CUT}{rest if letters(rest) <= room else _start(rest, room - 1) + _CUT}"


def _alike(short_of: Mapping[str, str]) -> list[list[str]]:
    """The names that look the same, by group."""
    groups = defaultdict(list)
    for name, text in short_of.items():
        groups[text].append(name)
    return [group for group in groups.values() if len(group) > 1]


def short(name: str, most: int = MOST_LETTERS) -> str:
    """The name in one line, cut in the middle to so many columns."""
    return _cut(plain(name), most)


def _cut(name: str, most: int) -> str:
    if letters(name) <= most:
        return name
    head = _start(name, most // 2)
    return f"{head}{_CUT}{_start(name, most - letters(head) - 1, back=True)}"


def _start(text: str, most: int, *, back: bool = False) -> str:
    """As much of the beginning, or of the end, as so many columns hold; a letter keeps its combining marks."""
    clusters: list[str] = []
    for letter in text:
        if clusters and not letters(letter):
            clusters[-1] += letter
        else:
            clusters.append(letter)
    kept: list[str] = []
    for cluster in reversed(clusters) if back else clusters:
        most -= letters(cluster)
        if most < 0:
            break
        kept.append(cluster)
    return "".join(reversed(kept) if back else kept)


def letters(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def wrapped(text: str, further: str = "    ", *, first: str = "  ") -> str:
    """The text as lines of a page, as wide as the terminal and at most ``WIDTH``.

    Args:
        further: what all lines but the first begin with.
        first: what that one begins with.
    """
    room = min(page_width(WIDTH), WIDTH)
    lines, line, bare = [], first, True
    for word in re.findall(r"\S*`[^`]*`\S*|\S+", plain(text)):  # a command stays in one piece, to be copied
        if not bare and letters(line) + 1 + letters(word) > room:
            lines.append(line)
            line, bare = further, True
        while "`" not in word and letters(line) + letters(word) > room:
            piece = _start(word, room - letters(line))
            lines.append(line + piece)
            line, word, bare = further, word[len(piece) :], True
        line += word if bare else f" {word}"
        bare = False
    return "\n".join([*lines, line])


def flowing(text: str, further: str = "  ", *, first: str = "  ") -> str:
    """``wrapped`` for a terminal; elsewhere one line, which a search finds whole."""
    return wrapped(text, further, first=first) if page_width(0) else first + plain(text)


def plain(text: str) -> str:
    """The text with line breaks and other unprintable characters escaped, so that it stays on its line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_number(text: str) -> bool:
    return not text or (text.lstrip("-<")[:1].isdigit() and not set(text) - set("0123456789.,e+-<"))


def _is_rigid(text: str) -> bool:
    return not set(text) - set("0123456789.,e+-<:T")


def measures(metrics: Mapping[str, float]) -> list[str]:
    """The cells of ``MEASURES`` but the last, empty where a metric was not kept."""
    names = ("train_loss", "excess_loss", "test_rmse", "test_r2")
    return [f"{metrics[n]:.5g}" if n in metrics else "" for n in names]
