"""The rows of one role, Arrow columns underneath: as fixed blocks for the moments, as tensors where rows are needed.

Columns stay as wide as in the file and become float64 a block at a time. It reads no file and checks no value.

Shapes: N rows, F features, O targets.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linreg.design import Design
from linreg.metrics import Float
from linreg.rows.batches import place
from linreg.rows.terms import float64, prepared
from linreg.rows.terms import values as term_values
from linreg.threads import in_threads

if TYPE_CHECKING:  # scoring needs no tensors, and torch takes a second to import
    import torch

LEAF = 65_536  # rows of a table in a block, fixed: the order of additions, so the bits of a record, hang on it
RowNumbers = npt.NDArray[np.uint32]  # a table has fewer than 2^32 rows
TableBlock = tuple[pa.Table, RowNumbers | None]  # a slice of a table, and which of its rows count; None: all do


class Rows:
    """The rows of one role, in the order of the partitions and of the rows in them.

    Args:
        tables: one table a partition, all of the same columns; only features may be null.
        features: names of the F inputs.
        targets: names of the O outputs.
        design: what the features are, where they are not columns of the tables.
        weight: the column that says how much a row counts; empty: all count the same.
        gaps: whether features may be missing, to be filled with their means over the training rows.
        row_numbers: those of each table that belong here, rising; None: all of them. Tables of several
            roles are shared between these, not copied.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> len(rows), rows.features
    (15, ('temp', 'rainfall', 'humidity'))
    >>> x_NF, y_NO = rows.arrays()
    >>> x_NF.shape, y_NO.shape
    ((15, 3), (15, 2))
    """

    def __init__(
        self,
        tables: Sequence[pa.Table],
        features: tuple[str, ...],
        targets: tuple[str, ...],
        *,
        design: Design | None = None,
        weight: str = "",
        gaps: bool = False,
        row_numbers: Sequence[RowNumbers | None] = (),
    ) -> None:
        self.features = features
        self.targets = targets
        self.design = design
        self.weight = weight
        self.gaps = gaps
        self._tables = tuple(tables)
        self._row_numbers = tuple(row_numbers) or (None,) * len(self._tables)
        self._counts = [len(t) if c is None else len(c) for t, c in zip(self._tables, self._row_numbers, strict=True)]

    def __len__(self) -> int:
        return sum(self._counts)

    def blocks(self) -> Iterator[Float]:
        """The rows of each leaf: float64, C-contiguous, (n, F + O), targets last."""
        return self._leaves((*self.features, *self.targets))

    def block_weights(self) -> Iterator[Float] | None:
        """The weights of the rows of each of ``blocks``, float64 of shape (n,); None where all count the same."""
        return (leaf[:, 0] for leaf in self._leaves([self.weight])) if self.weight else None

    def partitions(self) -> "list[Rows]":
        """The rows of each partition by themselves; those without any are left out."""
        names = self.features, self.targets
        options: dict[str, Any] = {"design": self.design, "weight": self.weight, "gaps": self.gaps}
        parts = zip(self._tables, self._row_numbers, self._counts, strict=True)
        return [Rows([t], *names, row_numbers=[c], **options) for t, c, count in parts if count]

    def weights(self, *, mixed: bool = False) -> Float | None:
        """How much each row counts, float64 of shape (N,), in the order of ``tensors``; None where all do the same."""
        if not self.weight:
            return None
        weight_N = self.select([self.weight])[:, 0]
        if not mixed:
            return weight_N
        out = np.empty_like(weight_N)
        out[place(0, len(self), len(self))] = weight_N
        return out

    def tensors(
        self,
        dtype: "torch.dtype",
        *,
        fill_F: Float | None = None,
        scaled: tuple[Float, Float] | None = None,
        mixed: bool = False,
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """The rows as ``x_NF``, ``y_NO``: contiguous, on the CPU; no float64 copy of the whole is made.

        Args:
            fill_F: what stands for a missing feature, shape (F,); None: NaN does.
            scaled: centre and scale, shape (F,) each: the features become ``(x - centre) / scale``, in float64 before
                any rounding.
            mixed: whether each row goes to its random place (``batches.place``).
        """
        import torch

        names, f, o = (*self.features, *self.targets), len(self.features), len(self.targets)
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        # numpy asks for large pages, torch does not: rows read in any order then cost no look-up of their address
        x_NF, y_NO = (np.empty((len(self), k), kind) for k in (f, o))
        plain = fill_F is None and scaled is None and not mixed

        def fill(start_and_block: tuple[int, TableBlock]) -> None:
            start, (table, numbers) = start_and_block
            rows = self._places(start, _count(table, numbers), mixed)
            if plain:  # each column as it is, without a float64 block in between
                for j, values in enumerate(columns(table, numbers, names, self.design)):
                    (x_NF[rows, j] if j < f else y_NO[rows, j - f])[:] = values
                return
            values = block(table, numbers, names, self.design)
            x = values[:, :f]
            if fill_F is not None:
                x = np.where(np.isnan(x), fill_F, x)
            if scaled is not None:
                x -= scaled[0]
                x /= scaled[1]
            x_NF[rows], y_NO[rows] = x, values[:, f:]

        in_threads(fill, self.placed_blocks())
        return torch.from_numpy(x_NF), torch.from_numpy(y_NO)

    @property
    def table_rows(self) -> int:
        """How many rows the tables have, those of other roles included."""
        return sum(map(len, self._tables))

    def complete(self, names: Sequence[str] = ()) -> bool:
        """Whether no row lacks a value in these columns; of the features, unless others are named."""
        if not names and not self.gaps:
            return True
        inputs = {name: made_of(name, self.design) for name in names or self.features}
        gaps = [
            c
            for c in {c for some in inputs.values() for c in some}
            if not all(_is_complete(t[c]) for t in self._tables)
        ]
        incomplete = [name for name, some in inputs.items() if set(some) & set(gaps)]
        values = (column for block in self.table_blocks() for column in columns(*block, incomplete, self.design))
        return not any(np.isnan(column).any() for column in values)

    def placed_blocks(self) -> Iterator[tuple[int, TableBlock]]:
        """The rows of each leaf, where they lie, with the number of rows before them."""
        start = 0
        for block in self.table_blocks():
            yield start, block
            start += _count(*block)

    def _places(self, start: int, count: int, mixed: bool) -> Any:
        return place(start, start + count, len(self)) if mixed else slice(start, start + count)

    def arrays(self) -> tuple[Float, Float]:
        """The rows as float64 ``x_NF``, ``y_NO``."""
        return self.select(self.features), self.select(self.targets)

    def select(self, columns: Sequence[str]) -> Float:
        """Any columns held, the optional ones too: float64 of shape (N, len(columns)).

        Raises:
            KeyError: a column is not held.
        """
        if not self.has(columns):
            raise KeyError(next(c for c in columns if not self.has([c])))
        values = np.empty((len(self), len(columns)))
        start = 0
        for leaf in self._leaves(columns):
            values[start : start + len(leaf)] = leaf
            start += len(leaf)
        return values

    def head(self, columns: Sequence[str], count: int) -> list[list[Any]]:
        """The first rows of some columns as Python values, None where one is missing; not one at the end of a table."""
        table, numbers = next(self.table_blocks())
        rows = table.select(columns).slice(0, count) if numbers is None else table.select(columns).take(numbers[:count])
        return [[None if x != x else x for x in row.values()] for row in rows.to_pylist()]  # NaN is not itself

    def has(self, columns: Sequence[str]) -> bool:
        """Whether all these columns are held."""
        names = set(self._tables[0].column_names) if self._tables else {*self.features, *self.targets}
        return all(name in names or {*made_of(name, self.design)} <= names for name in columns)

    def table_blocks(self) -> Iterator[TableBlock]:
        """The rows of each leaf, where they lie: nothing is copied. Leaves without any are left out.

        A leaf is a block of ``LEAF`` rows of a table, those that do not belong here included: so it begins and ends at
        the same rows for every role, and is known before the rows before it have been read.
        """
        for table, numbers in zip(self._tables, self._row_numbers, strict=True):
            for start in range(0, len(table), LEAF):
                leaf = table.slice(start, LEAF)
                if numbers is None:
                    yield leaf, None
                    continue
                inside = slice(*np.searchsorted(numbers, [start, start + len(leaf)]))
                if inside.stop > inside.start:
                    yield leaf, None if inside.stop - inside.start == len(leaf) else numbers[inside] - np.uint32(start)

    def _leaves(self, columns: Sequence[str]) -> Iterator[Float]:
        return (block(table, numbers, columns, self.design) for table, numbers in self.table_blocks())


def _count(table: pa.Table, numbers: RowNumbers | None) -> int:
    return len(table) if numbers is None else len(numbers)


def columns(
    table: pa.Table, numbers: RowNumbers | None, names: Sequence[str], design: Design | None = None
) -> Iterator[npt.NDArray[Any]]:
    """Columns of a block, or terms of them, each of shape (n,): as they lie where they are of floats, or as float64."""
    chosen = None if numbers is None else numbers.astype(np.intp)  # what numpy takes without a copy for each column
    if design:
        table = prepared(table, design)
    for name in names:
        term = design.terms.get(name) if design else None
        values = _native(table[name]) if term is None else term_values(table, term)
        yield values if chosen is None else values.take(chosen)


def block(table: pa.Table, numbers: RowNumbers | None, names: Sequence[str], design: Design | None = None) -> Float:
    """Columns of a block, or terms of them, float64 of shape (n, len(names))."""
    values_NP = np.empty((_count(table, numbers), len(names)))
    for j, values in enumerate(columns(table, numbers, names, design)):
        values_NP[:, j] = values
    return values_NP


def made_of(name: str, design: Design | None) -> tuple[str, ...]:
    """The columns of the tables that a feature or a target is made of: itself, where nothing says otherwise."""
    return design.made_of(name) if design else (name,)


def _native(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """The column as it lies where it is of floats, else as float64."""
    single = pa.types.is_float32(column.type) and not column.null_count
    return np.asarray(column.to_numpy()) if single else float64(column)


def _is_complete(column: pa.ChunkedArray) -> bool:
    """Whether no value is missing: null or NaN."""
    return not column.null_count and not (pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py())
