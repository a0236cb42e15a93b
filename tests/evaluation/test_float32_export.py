"""What float32 can hold: the limits, the words, and the error that the limit stands for."""

import numpy as np
import pytest

from linreg.evaluation import float32_export
from tests.support.tables import moments_of


def far(ratio: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    x[:, 1] = (x[:, 1] - x[:, 1].mean()) / x[:, 1].std() + ratio
    return x


@pytest.mark.parametrize(
    ("ratio", "fits", "words"),
    [
        (0.0, True, ""),
        (9e3, True, ""),
        (2e4, True, "the mean of x1 is 2e+04 times its spread, more than float32 can hold well: mlflow.pytorch"),
        (9e4, True, "is imprecise; use mlflow.pyfunc or linreg predict"),
        (-2e5, False, "2e+05 times its spread, more than float32 can hold: the version has no mlflow.pytorch form"),
    ],
)
def test_columns_far_from_zero_are_told_and_then_refused(ratio: float, fits: bool, words: str) -> None:
    moments = moments_of(far(ratio), np.ones((400, 1)))
    assert float32_export.is_exportable(moments) == fits
    note = float32_export.warning(moments)
    assert words in note
    assert bool(note) == bool(words)


def test_a_constant_column_is_not_far() -> None:
    x = np.column_stack([np.full(50, 1e9), np.random.default_rng(1).normal(size=50)])
    assert float32_export.warning(moments_of(x, np.ones((50, 1)))) == ""


def test_at_the_limit_float32_moves_a_value_by_about_half_a_percent_of_the_spread() -> None:
    x = far(float32_export.REFUSE)[:, 1]
    assert 0.001 < np.abs(x.astype(np.float32) - x).max() < 0.006
