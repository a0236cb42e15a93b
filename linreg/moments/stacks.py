"""The records of many partitions side by side in arrays: hundreds of them are read, merged and written as one.

    stacks = stacked(list of (partition, record, whether by plain sums))    # those of the same columns together
    series = Series.of(places)                                             # of one role, in the order of the data set
    series[3]                                                              # a record, made when it is asked for

Shapes: n records, P columns, K = 1 + P.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from linreg.moments.missing import MomentsWithGaps
from linreg.moments.moments import Float, Moments

Item = TypeVar("Item")
Made = TypeVar("Made")
Ints = npt.NDArray[np.int64]
Recorded = tuple[int, MomentsWithGaps, bool]  # which partition, its record, whether that was computed by plain sums


class Level(NamedTuple):
    """The numbers of some records: rows, sums, shifts and factors of each."""

    rows_n: Ints
    sums_n3: Float
    shift_nP: Float
    root_nKK: Float

    def __len__(self) -> int:
        """How many records."""
        return int(self.rows_n.shape[0])

    def picked(self, which: Any) -> "Level":
        """Those of an index."""
        return Level(*(x[which] for x in self))

    def moments(self, i: int, features: tuple[str, ...], targets: tuple[str, ...]) -> Moments:
        """One record."""
        weight, logs, squares = self.sums_n3[i].tolist()
        rows, shift_P, root_KK = int(self.rows_n[i]), self.shift_nP[i], self.root_nKK[i]
        return Moments(features, targets, rows, weight, shift_P, root_KK, logs, squares)

    @classmethod
    def of(cls, records: Sequence[Moments]) -> "Level":
        """Of records of the same number of columns."""
        return cls(
            np.array([m.rows for m in records], np.int64),
            np.array([[m.weight, m.log_weight, m.square_weight] for m in records]),
            np.stack([m.shift_P for m in records]),
            np.stack([m.root_KK for m in records]),
        )


@dataclass(frozen=True)
class Stack:
    """Records of the same columns, of different partitions.

    Args:
        features, targets: the columns of the records, masks among them (``missing``).
        gaps: the features with gaps.
        which_n: the numbers of the partitions, rising.
        missing_n: how many values are missing.
        plain_n: 1 where the record was computed by plain sums.
        level: the numbers.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    gaps: tuple[str, ...]
    which_n: Ints
    missing_n: Ints
    plain_n: Ints
    level: Level

    def gapped(self, i: int) -> MomentsWithGaps:
        """One record."""
        return MomentsWithGaps(self.level.moments(i, self.features, self.targets), self.gaps, int(self.missing_n[i]))

    def rows_of(self, which: Ints) -> Ints:
        """Where the records of these partitions stand; -1: nowhere."""
        at = np.minimum(np.searchsorted(self.which_n, which), len(self.which_n) - 1)
        return np.where(self.which_n[at] == which, at, -1)


def stacked(records: Iterable[Recorded]) -> tuple[Stack, ...]:
    """The records of one role, those of the same columns together."""

    def columns(one: Recorded) -> tuple[tuple[str, ...], ...]:
        return one[1].moments.features, one[1].moments.targets, one[1].gaps

    return tuple(_stack(list(same)) for _, same in groupby(sorted(records, key=columns), columns))


def _stack(records: Sequence[Recorded]) -> Stack:
    which, gapped, plain = zip(*records, strict=True)
    first = gapped[0]
    missing = [g.missing for g in gapped]
    which_n, missing_n, plain_n = (np.array(x, np.int64) for x in (which, missing, plain))
    names = first.moments.features, first.moments.targets, first.gaps
    return Stack(*names, which_n, missing_n, plain_n, Level.of([g.moments for g in gapped]))


class Each(Sequence[Made], Generic[Item, Made]):
    """What is made of each item of a sequence, when it is asked for."""

    def __init__(self, items: Sequence[Item], make: Callable[[Item], Made]) -> None:
        self._items, self._make = items, make

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, i: int) -> Made: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Made]: ...
    def __getitem__(self, i: int | slice) -> Made | Sequence[Made]:
        return [self._make(x) for x in self._items[i]] if isinstance(i, slice) else self._make(self._items[i])


class Series(Sequence[MomentsWithGaps]):
    """The records of one role, in the order of the partitions; those without any are left out.

    Args:
        stacks: where they are.
        stack_n, row_n: which stack, and where in it.
        keys: of each record, what tells it from any other.
    """

    def __init__(self, stacks: Sequence[Stack], stack_n: Ints, row_n: Ints, keys: Sequence[bytes]) -> None:
        self.stacks, self.stack_n, self.row_n, self.keys = stacks, stack_n, row_n, keys

    def __len__(self) -> int:
        return len(self.stack_n)

    @overload
    def __getitem__(self, i: int) -> MomentsWithGaps: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[MomentsWithGaps]: ...
    def __getitem__(self, i: int | slice) -> MomentsWithGaps | Sequence[MomentsWithGaps]:
        if isinstance(i, slice):
            return [self[k] for k in range(len(self))[i]]
        found: MomentsWithGaps = self.stacks[self.stack_n[i]].gapped(int(self.row_n[i]))
        return found

    @property
    def plain(self) -> int:
        """How many were computed by plain sums."""
        return sum(int(s.plain_n[self.row_n[self.stack_n == k]].sum()) for k, s in enumerate(self.stacks))

    @cached_property
    def alike(self) -> bool:
        """Whether all are of the same columns, without gaps, and none is empty."""
        columns = {(s.features, s.gaps) for s in self.stacks}
        return len(columns) == 1 and not self.stacks[0].gaps and all(s.level.rows_n.all() for s in self.stacks)

    def picked(self, which: Ints) -> Level:
        """The numbers of some of them, if all are of the same columns."""
        stack_n, row_n = self.stack_n[which], self.row_n[which]
        used = np.unique(stack_n)
        found = [(np.flatnonzero(stack_n == k), self.stacks[k].level) for k in used]
        if len(found) == 1:
            only: Level = found[0][1]
            return only.picked(row_n)
        out = Level(*(np.empty((len(which), *x.shape[1:]), x.dtype) for x in found[0][1]))
        for at, level in found:
            for whole, part in zip(out, level, strict=True):
                whole[at] = part[row_n[at]]
        return out
