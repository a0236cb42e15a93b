"""Merging many records at once: the bits of one addition after the other."""

import numpy as np
import pyarrow as pa
import pytest

from linreg.moments.moments import Moments, merge
from linreg.moments.record_stack import merge_gapped, merge_moments
from linreg.moments.training_record import record_partition
from linreg.rows.rows import Rows


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 365, 1030])
@pytest.mark.parametrize("columns", [2, 9])
def test_merging_level_by_level_has_the_bits_of_one_addition_after_the_other(count: int, columns: int) -> None:
    rng = np.random.default_rng(count)
    names = tuple(f"x{i}" for i in range(columns - 1)), ("y",)
    weights = [rng.uniform(0.1, 2, 40) for _ in range(count)]
    parts = [Moments.of([rng.normal(5, 2, (40, columns))], *names, weights=[w]) for w in weights]
    stacked, in_pairs = merge_moments(parts), merge(parts)
    assert stacked.root_KK.tobytes() == in_pairs.root_KK.tobytes()
    assert stacked.shift_P.tobytes() == in_pairs.shift_P.tobytes()
    sums = ("rows", "weight", "log_weight", "square_weight")
    assert [getattr(stacked, s) for s in sums] == [getattr(in_pairs, s) for s in sums]


def test_records_with_gaps_merge_as_ever() -> None:
    tables = [pa.table({"a": [1.0, None, 4.0, 2.0], "y": [1.0, 2.0, 3.0, i]}) for i in (0.0, 5.0, 6.0)]
    parts = [record_partition(Rows([t], ("a",), ("y",), gaps=True))[0] for t in tables]
    assert merge_gapped(parts).moments.root_KK.tobytes() == merge(parts).moments.root_KK.tobytes()
