"""The rows of one role, Arrow columns underneath: as fixed blocks for the moments, as tensors where rows are needed.

Columns stay as wide as in the file and become float64 a block at a time. It reads no file and checks no value.

Shapes: N rows, F features, O targets.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from linreg.rows.batches import place
from linreg.threads import in_threads

_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
LEAF = 65_536  # rows of a table in a block, fixed: the order of additions, so the bits of a record, hang on it
Float = npt.NDArray[np.float64]
RowNumbers = npt.NDArray[np.uint32]  # a table has fewer than 2^32 rows
TableBlock = tuple[
    pa.Table, RowNumbers | None
]  # a part of a table, and the numbers of its rows that count; None: all do


class Rows:
    """The rows of one role, in the order of the partitions and of the rows in them.

    Args:
        tables: one table a partition, all of the same columns; only features may be null.
        features: names of the F inputs.
        targets: names of the O outputs.
        weight: the column that says how much a row counts; empty: all count the same.
        gaps: whether features may be missing, to be filled with their means over the training rows.
        chosen: the numbers of the rows of each table that belong here, rising; None: all of them. Tables of several
            roles are shared between these, not copied.
    """

    def __init__(
        self,
        tables: Sequence[pa.Table],
        features: tuple[str, ...],
        targets: tuple[str, ...],
        *,
        weight: str = "",
        gaps: bool = False,
        chosen: Sequence[RowNumbers | None] = (),
    ) -> None:
        self.features = features
        self.targets = targets
        self.weight = weight
        self.gaps = gaps
        self._tables = tuple(tables)
        self._chosen = tuple(chosen) or (None,) * len(self._tables)
        self._counts = [len(t) if c is None else len(c) for t, c in zip(self._tables, self._chosen, strict=True)]

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
        how: dict[str, Any] = {"weight": self.weight, "gaps": self.gaps}
        parts = zip(self._tables, self._chosen, self._counts, strict=True)
        return [Rows([t], *names, chosen=[c], **how) for t, c, count in parts if count]

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
        dtype: torch.dtype,
        *,
        fill_F: Float | None = None,
        scaled: tuple[Float, Float] | None = None,
        mixed: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows as ``x_NF``, ``y_NO``: contiguous, on the CPU; no float64 copy of the whole is made.

        Args:
            fill_F: what stands for a missing feature, shape (F,); None: NaN does.
            scaled: centre and scale, shape (F,) each: the features become ``(x - centre) / scale``, in float64 before
                any rounding.
            mixed: whether each row goes to its random place (``batches.place``).
        """
        f, o = len(self.features), len(self.targets)
        # numpy asks for large pages, torch does not: rows read in any order then cost no look-up of their address
        x_NF, y_NO = (np.empty((len(self), k), _NUMPY[dtype]) for k in (f, o))
        plain = fill_F is None and scaled is None and not mixed

        def put(placed: tuple[int, TableBlock]) -> None:
            start, (piece, some) = placed
            rows = self._places(start, _count(piece, some), mixed)
            if plain:  # each column as it is, without a float64 block in between
                for j, values in enumerate(columns(piece, some, (*self.features, *self.targets))):
                    (x_NF[rows, j] if j < f else y_NO[rows, j - f])[:] = values
                return
            values = block(piece, some, (*self.features, *self.targets))
            x = values[:, :f]
            if fill_F is not None:
                x = np.where(np.isnan(x), fill_F, x)
            if scaled is not None:
                x = (x - scaled[0]) / scaled[1]
            x_NF[rows], y_NO[rows] = x, values[:, f:]

        in_threads(put, self.placed())
        return torch.from_numpy(x_NF), torch.from_numpy(y_NO)

    @property
    def table_rows(self) -> int:
        """How many rows the tables have, those of other roles included."""
        return sum(map(len, self._tables))

    def complete(self, names: Sequence[str] = ()) -> bool:
        """Whether no row lacks a value in these columns; of the features, unless others are named."""
        if not names and not self.gaps:
            return True
        some = [n for n in names or self.features if not all(_whole(table[n]) for table in self._tables)]
        return not any(np.isnan(values).any() for piece in self.pieces() for values in columns(*piece, some))

    def placed(self) -> Iterator[tuple[int, TableBlock]]:
        """The rows of each leaf, where they lie, with the number of rows before them."""
        done = 0
        for piece in self.pieces():
            yield done, piece
            done += _count(*piece)

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
        out = np.empty((len(self), len(columns)))
        done = 0
        for leaf in self._leaves(columns):
            out[done : done + len(leaf)] = leaf
            done += len(leaf)
        return out

    def has(self, columns: Sequence[str]) -> bool:
        """Whether all these columns are held."""
        held = set(self._tables[0].column_names) if self._tables else {*self.features, *self.targets}
        return set(columns) <= held

    def pieces(self) -> Iterator[TableBlock]:
        """The rows of each leaf, where they lie: nothing is copied. Leaves without any are left out.

        A leaf is a block of ``LEAF`` rows of a table, those that do not belong here included: so it begins and ends at
        the same rows for every role, and is known before the rows before it have been read.
        """
        for table, chosen in zip(self._tables, self._chosen, strict=True):
            for start in range(0, len(table), LEAF):
                piece = table.slice(start, LEAF)
                if chosen is None:
                    yield piece, None
                    continue
                here = slice(*np.searchsorted(chosen, [start, start + len(piece)]))
                if here.stop > here.start:
                    yield piece, None if here.stop - here.start == len(piece) else chosen[here] - np.uint32(start)

    def full_pieces(self) -> Iterator[TableBlock]:
        """The same rows, ``LEAF`` of those that belong here in each piece, but for the last of a table."""
        for table, chosen in zip(self._tables, self._chosen, strict=True):
            for start in range(0, len(table) if chosen is None else len(chosen), LEAF):
                if chosen is None:
                    yield table.slice(start, LEAF), None
                    continue
                some = chosen[start : start + LEAF]
                first, last = int(some[0]), int(some[-1])
                yield table.slice(first, last + 1 - first), some - some[0]

    def _leaves(self, columns: Sequence[str]) -> Iterator[Float]:
        return (block(piece, some, columns) for piece, some in self.pieces())


def _count(piece: pa.Table, some: RowNumbers | None) -> int:
    return len(piece) if some is None else len(some)


def columns(piece: pa.Table, some: RowNumbers | None, names: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
    """Columns of a piece, each of shape (n,): as they lie where they are of floats, else as float64."""
    for name in names:
        yield _native(piece[name]) if some is None else _native(piece[name])[some]


def block(piece: pa.Table, some: RowNumbers | None, columns: Sequence[str]) -> Float:
    """Columns of a piece, float64 of shape (n, len(columns))."""
    out = np.empty((_count(piece, some), len(columns)))
    for j, name in enumerate(columns):
        values = float64(piece[name])
        out[:, j] = values if some is None else values[some]
    return out


def _native(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """The column as it lies where it is of floats, else as float64."""
    single = pa.types.is_float32(column.type) and not column.null_count
    return np.asarray(column.to_numpy()) if single else float64(column)


def _whole(column: pa.ChunkedArray) -> bool:
    """Whether no value is missing: null or NaN."""
    return not column.null_count and not (pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py())


def float64(column: pa.ChunkedArray) -> Float:
    """The column as float64, null as NaN; no copy where it is float64 in one piece already."""
    if not pa.types.is_float64(column.type):
        column = pc.cast(column, pa.float64(), safe=False)
    return np.asarray(column.to_numpy())
