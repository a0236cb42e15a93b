"""Records of rows with gaps: against the rows filled in at once, however they are cut into blocks and files."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer

from bench import rational
from bench.digits import digits
from linreg.errors import UserError
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments, merge
from linreg.moments.training_record import merge_partitions

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


def same(moments: Moments, truth: Moments) -> None:
    assert (moments.features, moments.targets, moments.rows) == (truth.features, truth.targets, truth.rows)
    scale = np.abs(truth.root_KK).max(axis=0)
    assert moments.at(truth.shift_P) / scale == pytest.approx(truth.root_KK / scale, rel=1e-9, abs=1e-11)
    assert moments.solve().weight_OF == pytest.approx(truth.solve().weight_OF, rel=1e-9)


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 60), max_size=6), weighted=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_cut_into_blocks_gives_the_record_of_the_rows_filled_with_their_means(seed, cuts, weighted) -> None:
    z, w = gappy(seed)
    w = w if weighted else np.ones(len(z))
    parts = [p for p in np.split(np.arange(len(z)), sorted(cuts)) if p.size]
    weights = [w[p] for p in parts] if weighted else None
    record = MomentsWithGaps.of([z[p] for p in parts], FEATURES, TARGETS, weights=weights)
    truth = filled(z, w)
    assert record.missing == np.isnan(z).sum()
    assert record.mean_F() == pytest.approx(np.average(truth[:, :3], axis=0, weights=w), rel=1e-12)
    same(record.filled(record.mean_F()), Moments.of([truth], FEATURES, TARGETS, weights=[w] if weighted else None))


def test_the_means_are_scikit_learns() -> None:
    z, _ = gappy(1)
    imputer = SimpleImputer(strategy="mean").fit(z[:, :3])
    assert MomentsWithGaps.of([z], FEATURES, TARGETS).mean_F() == pytest.approx(imputer.statistics_, rel=1e-13)


def test_filling_file_by_file_would_be_wrong_and_is_not_what_happens() -> None:
    z, _ = gappy(2)
    z[:30, 0] += 5  # the first file has another mean
    files = [z[:30], z[30:]]
    apart = np.vstack([filled(f, np.ones(30)) for f in files])
    record = merge_partitions([MomentsWithGaps.of([f], FEATURES, TARGETS) for f in files])
    same(record.moments, Moments.of([filled(z, np.ones(60))], FEATURES, TARGETS))
    wrong = Moments.of([apart], FEATURES, TARGETS).solve().weight_OF
    assert record.moments.solve().weight_OF != pytest.approx(wrong, rel=1e-2)
    assert record.filled == np.isnan(z).sum()
    same(merge(p.moments for p in record.partitions), record.moments)


def test_rows_without_gaps_have_the_bits_of_the_plain_record() -> None:
    z = filled(gappy(3)[0], np.ones(60))
    blocks = [z[:25], z[25:]]
    record, plain = MomentsWithGaps.of(blocks, FEATURES, TARGETS), Moments.of(blocks, FEATURES, TARGETS)
    assert record.filled(record.mean_F()).root_KK.tobytes() == plain.root_KK.tobytes()
    assert (record.gaps, record.missing) == ((), 0)


def test_other_values_than_the_means_fill_too() -> None:
    """Validation rows are filled with the training means."""
    z, _ = gappy(4)
    fill = np.array([1.0, 2.0, 3.0])
    truth = np.column_stack([np.where(np.isnan(z[:, :3]), fill, z[:, :3]), z[:, 3:]])
    record = MomentsWithGaps.of(np.array_split(z, 5), FEATURES, TARGETS)
    same(record.filled(fill), Moments.of([truth], FEATURES, TARGETS))


def test_a_column_without_any_value_is_an_error_that_names_it() -> None:
    z, _ = gappy(5)
    z[:, 2] = np.nan
    with pytest.raises(UserError, match="column 'c' has no value in any training row: leave it out"):
        MomentsWithGaps.of(np.array_split(z, 3), FEATURES, TARGETS).mean_F()


@pytest.mark.parametrize("first", [True, False], ids=["first file", "last file"])
@pytest.mark.parametrize("far", [1.0, 1e6, 1e9, 1e12])
def test_a_file_without_a_column_costs_no_digits_of_it(far: float, first: bool) -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(300, 3)) + np.array([far, 0, 0])
    y = x @ [[1.0, 0.5], [2.0, 0.0], [-1.0, 1.0]] + rng.normal(size=(300, 2))
    x[:100, 0] = np.nan
    z = np.column_stack([x, y])
    files = np.split(z, 3) if first else np.split(z, 3)[::-1]
    ours = merge_partitions([MomentsWithGaps.of([f], FEATURES, TARGETS) for f in files]).moments
    plain = Moments.of([filled(z, np.ones(300))], FEATURES, TARGETS)
    truth = exact_slopes(x, y)
    ours_digits, plain_digits = (digits(m.solve().weight_OF.ravel(), truth) for m in (ours, plain))
    assert ours_digits >= plain_digits - 0.5


def exact_slopes(x_NF: np.ndarray, y_NO: np.ndarray) -> list[Decimal]:
    """Least-squares slopes of all targets, NaN filled with the column's mean, which no float64 has to hold."""
    columns = [[Fraction(v) for v in c if v == v] for c in x_NF.T.tolist()]
    means = [sum(c, Fraction(0)) / len(c) for c in columns]
    design = [
        [Fraction(1), *(m if v != v else Fraction(v) for v, m in zip(row, means, strict=True))] for row in x_NF.tolist()
    ]
    solutions = [rational.certify(design, list(map(Fraction, y_N)), centred=True) for y_N in y_NO.T.tolist()]
    return [slope for solution in solutions for slope in solution.parameters_P[1:]]


@pytest.mark.parametrize("rows", [100, 1000])
@pytest.mark.parametrize("empty", [0, 1, 4])
def test_a_constant_with_gaps_is_constant_though_a_file_has_none_of_it(empty: int, rows: int) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(5 * rows, 5))
        z[:, 1] = np.where(rng.random(5 * rows) < 0.3, np.nan, 0.3)
        z[empty * rows : (empty + 1) * rows, 1] = np.nan
        record = merge_partitions([MomentsWithGaps.of([part], FEATURES, TARGETS) for part in np.split(z, 5)]).moments
        assert record.spread_P[1] == 0
        assert record.solve().deficient == ("b",)


@pytest.mark.parametrize("heavy", [1e6, 1e10, 1e13, 1e17])
def test_the_mean_keeps_its_digits_where_the_gaps_have_nearly_all_the_weight(heavy: float) -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(size=(200, 5)) + np.array([10, 0, 0, 0, 0])
    z[:3, 0] = np.nan
    w = np.where(np.isnan(z[:, 0]), heavy, 1.0)
    mean_F = MomentsWithGaps.of(np.split(z, 4), FEATURES, TARGETS, weights=np.split(w, 4)).mean_F()
    assert mean_F[0] == pytest.approx(np.nanmean(z[:, 0]), rel=1e-12)
