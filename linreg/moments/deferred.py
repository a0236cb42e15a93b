"""The record of a partition that is made when it is asked for: with 1,000 levels one takes 8 MB, and a year's 2.9 GB.

What is kept is what it is made of, a record by level (``by_level``) or one with gaps (``missing_values``). Whoever goes
through many of them asks for one after the other, and holds none for longer than it is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from linreg.moments.moments import Moments
from linreg.threads import one_thread


@dataclass(frozen=True)
class DeferredMoments:
    """Some rows' record, not made yet.

    Args:
        features, targets, rows, weight: those of the record.
        make: makes it.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    rows: int
    weight: float
    make: Callable[[], Moments]

    @property
    def moments(self) -> Moments:
        """The record, the same bits each time."""
        with one_thread():  # the bits must not hang on how many threads there are
            return self.make()


PartitionMoments = Moments | DeferredMoments
