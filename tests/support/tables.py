"""The tutorial's tables and printed numbers, and rows made from plain arrays. No test stands here."""

import numpy as np
import pyarrow as pa

from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments, merge
from linreg.moments.training_record import record_partition
from linreg.rows.rows import Rows

FEATURES, TARGETS = ("temp", "rainfall", "humidity"), ("apples", "oranges")
X5 = np.array([[73, 67, 43], [91, 88, 64], [87, 134, 58], [102, 43, 37], [69, 96, 70]], dtype=float)
Y5 = np.array([[56, 70], [81, 101], [119, 133], [22, 37], [103, 119]], dtype=float)
X15 = np.vstack(
    [
        X5,
        [[74, 66, 43], [91, 87, 65], [88, 134, 59], [101, 44, 37], [68, 96, 71]],
        [[73, 66, 44], [92, 87, 64], [87, 135, 57], [103, 43, 36], [68, 97, 70]],
    ]
)
Y15 = np.vstack(
    [
        Y5,
        [[57, 69], [80, 102], [118, 132], [21, 38], [104, 118]],
        [[57, 69], [82, 100], [118, 134], [20, 38], [102, 120]],
    ]
)

# Printed by the tutorial; the weights with four decimals, so that what follows from them agrees to 2e-4.
PRINTED_WEIGHT = np.array([[0.7171, -0.4566, 0.3752], [-2.4049, -0.1775, 0.8105]])
PRINTED_BIAS = np.array([0.4293, -0.6531])
PRINTED_PREDICTIONS = np.array(
    [[38.3222, -153.2487], [49.5216, -183.2430], [23.3985, -186.6518], [67.8257, -223.5927], [32.3434, -126.8929]]
)
PRINTED_LOSS, PRINTED_NEXT_LOSS = 37871.85546875, 25911.462890625
PRINTED_WEIGHT_GRADIENT = np.array([[-2534.6836, -4315.5259, -2314.0107], [-22704.0098, -23523.1172, -14637.0957]])
PRINTED_BIAS_GRADIENT = np.array([-33.9177, -266.7258])
PRINTED_DIGITS = 2e-4


def names(x_NF: np.ndarray, y_NO: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tutorial's names where the columns are as many as its own, else x0, x1, ... and y0, y1, ..."""
    if (x_NF.shape[1], y_NO.shape[1]) == (3, 2):
        return FEATURES, TARGETS
    return tuple(f"x{i}" for i in range(x_NF.shape[1])), tuple(f"y{i}" for i in range(y_NO.shape[1]))


def rows_of(x_NF: np.ndarray, y_NO: np.ndarray, weight_N: np.ndarray | None = None) -> Rows:
    features, targets = names(x_NF, y_NO)
    columns = dict(zip([*features, *targets], np.hstack([x_NF, y_NO]).T.copy(), strict=True))
    if weight_N is None:
        return Rows([pa.table(columns)], features, targets)
    return Rows([pa.table(columns | {"w": weight_N})], features, targets, weight="w")


def random_rows(n: int, f: int, o: int, *, weighted: bool = False) -> Rows:
    """Standard normal features, targets that follow from them up to noise, on request weights."""
    rng = np.random.default_rng(0)
    x_NF = rng.normal(size=(n, f))
    y_NO = x_NF @ rng.normal(size=(f, o)) + 3 + 0.5 * rng.normal(size=(n, o))
    return rows_of(x_NF, y_NO, rng.uniform(0.2, 3, n) if weighted else None)


def moments_of(x_NF: np.ndarray, y_NO: np.ndarray) -> Moments:
    return Moments.of([np.hstack([x_NF, y_NO])], *names(x_NF, y_NO))


def record_with_gaps(rows: Rows) -> MomentsWithGaps:
    """The record of some rows, a partition at a time, their gaps still open."""
    return merge([record_partition(part)[0] for part in rows.partitions()])
