"""The first rows of a file of predictions, for people: its features, then each prediction with its interval.

    preview(Path("scored.csv"), ("temp",), ("apples",), 200)       # lines; none where there is nothing to read back

It reads a few rows of the file's beginning, whatever its size.
"""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from flows.cli.pages.columns import WIDEST, WIDTH, grid, letters, page_width, short, shortened
from linreg.errors import apart

MOST_ROWS = 5

Row = Mapping[str, object]


def preview(
    output: Path, features: Sequence[str], targets: Sequence[str], rows: int, *, texts: Collection[str] = ()
) -> Iterator[str]:
    """The lines of a table that fits the page; features are left out where they would not fit.

    Args:
        texts: those of the features whose text is shown as it is.
    """
    first = _first(output) if output.is_file() else []
    if not first:
        return
    width = page_width(WIDTH)
    count = [[apart("row", [*features, *targets]), *map(str, range(1, len(first) + 1))]]
    inputs = []
    for title, name in zip(shortened(features), features, strict=True):
        show = _text if name in texts else _number
        inputs.append([title, *(show(row[name]) for row in first)])
    predicted = [
        [head, *(_predicted(row, name) for row in first)]
        for head, name in zip(shortened(targets), targets, strict=True)
    ]
    for columns in (
        [*count, *inputs, *predicted],
        *([*count, *predicted[:n]] for n in range(len(predicted), 0, -1)),
    ):
        head, *body = zip(*columns, strict=True)
        text = grid(head, body, width=WIDEST**2)  # not in blocks: features make way
        if max(map(letters, text.splitlines())) <= width:
            break
    else:
        text = grid(head, body, width=width)
    yield from ("", text)
    if rows > len(first):
        yield f"and {rows - len(first):,} more"


def _first(output: Path) -> list[Row]:
    if output.suffix.lower() == ".csv":
        with output.open(newline="", encoding="utf-8") as lines:
            return list(islice(csv.DictReader(lines), MOST_ROWS))
    import pyarrow.parquet as pq

    with pq.ParquetFile(output) as file:
        return next((batch.to_pylist() for batch in file.iter_batches(batch_size=MOST_ROWS)), [])


def _predicted(row: Row, target: str) -> str:
    value = _number(row[f"predicted_{target}"])
    if not value or not (low := _number(row.get(f"low_{target}"))):
        return value
    return f"{value} ({low} to {_number(row[f'high_{target}'])})"


def _number(value: object) -> str:
    """Five digits; nothing for a gap. A feature may be a truth value: that is told as a CSV has it."""
    text = "" if value is None else str(value).lower()
    return text if text in ("", "true", "false") else f"{float(text):.5g}"


def _text(value: object) -> str:
    return "" if value is None else short(str(value))
