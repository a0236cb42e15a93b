"""Records of rows with gaps: against the rows filled in at once, however they are cut into blocks and files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer

from linreg.errors import UserError
from linreg.gaps import Gapped
from linreg.moments import Moments, merge
from linreg.record import joined

FEATURES, TARGETS = ("a", "b", "c"), ("y", "q")


def gappy(seed: int, rows: int = 60, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, F + O) with NaN among the features, and weights; columns of other sizes, far from zero."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)) * [1, 100, 1e-3] + [0, 1e4, 3]
    x[rng.random((rows, 3)) < share] = np.nan
    x[0] = [0.1, 1e4 + 7, 3.0]
    x[1:8, 1] = np.nan  # a block without any value
    return np.column_stack([x, rng.normal(size=(rows, 2))]), rng.uniform(0.1, 5, size=rows)


def filled(z_NP: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
    x = z_NP[:, :3]
    means = [np.average(c[~np.isnan(c)], weights=weight_N[~np.isnan(c)]) for c in x.T]
    return np.column_stack([np.where(np.isnan(x), means, x), z_NP[:, 3:]])


def same(found: Moments, truth: Moments) -> None:
    assert (found.features, found.targets, found.rows) == (truth.features, truth.targets, truth.rows)
    scale = np.abs(truth.root_KK).max(axis=0)
    assert found.at(truth.shift_P) / scale == pytest.approx(truth.root_KK / scale, rel=1e-9, abs=1e-11)
    assert found.solve().weight_OF == pytest.approx(truth.solve().weight_OF, rel=1e-9)


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 60), max_size=6), weighted=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_cut_into_blocks_gives_the_record_of_the_rows_filled_with_their_means(seed, cuts, weighted) -> None:
    z, w = gappy(seed)
    w = w if weighted else np.ones(len(z))
    parts = [p for p in np.split(np.arange(len(z)), sorted(cuts)) if p.size]
    weights = [w[p] for p in parts] if weighted else None
    record = Gapped.of([z[p] for p in parts], FEATURES, TARGETS, weights=weights)
    truth = filled(z, w)
    assert record.missing == np.isnan(z).sum()
    assert record.mean_F() == pytest.approx(np.average(truth[:, :3], axis=0, weights=w), rel=1e-12)
    same(record.filled(record.mean_F()), Moments.of([truth], FEATURES, TARGETS, weights=[w] if weighted else None))


def test_the_means_are_scikit_learns() -> None:
    z, _ = gappy(1)
    imputer = SimpleImputer(strategy="mean").fit(z[:, :3])
    assert Gapped.of([z], FEATURES, TARGETS).mean_F() == pytest.approx(imputer.statistics_, rel=1e-13)


def test_filling_file_by_file_would_be_wrong_and_is_not_what_happens() -> None:
    z, _ = gappy(2)
    z[:30, 0] += 5  # the first file has another mean
    files = [z[:30], z[30:]]
    apart = np.vstack([filled(f, np.ones(30)) for f in files])
    record = joined([Gapped.of([f], FEATURES, TARGETS) for f in files])
    same(record.moments, Moments.of([filled(z, np.ones(60))], FEATURES, TARGETS))
    assert record.moments.solve().weight_OF != pytest.approx(
        Moments.of([apart], FEATURES, TARGETS).solve().weight_OF, rel=1e-2
    )
    assert record.filled == np.isnan(z).sum()
    same(merge(record.partitions), record.moments)


def test_rows_without_gaps_have_the_bits_of_the_plain_record() -> None:
    z = filled(gappy(3)[0], np.ones(60))
    blocks = [z[:25], z[25:]]
    record, plain = Gapped.of(blocks, FEATURES, TARGETS), Moments.of(blocks, FEATURES, TARGETS)
    assert record.filled(record.mean_F()).root_KK.tobytes() == plain.root_KK.tobytes()
    assert (record.gaps, record.missing) == ((), 0)


def test_other_values_than_the_means_fill_too() -> None:
    """Validation rows are filled with the training means."""
    z, _ = gappy(4)
    fill = np.array([1.0, 2.0, 3.0])
    truth = np.column_stack([np.where(np.isnan(z[:, :3]), fill, z[:, :3]), z[:, 3:]])
    same(Gapped.of(np.array_split(z, 5), FEATURES, TARGETS).filled(fill), Moments.of([truth], FEATURES, TARGETS))


def test_a_column_without_any_value_is_an_error_that_names_it() -> None:
    z, _ = gappy(5)
    z[:, 2] = np.nan
    with pytest.raises(UserError, match="column 'c' has no value in any training row: leave it out"):
        Gapped.of(np.array_split(z, 3), FEATURES, TARGETS).mean_F()


def test_no_rows_are_an_error() -> None:
    with pytest.raises(UserError, match="no rows to learn from"):
        Gapped.of([], FEATURES, TARGETS)
