"""The record of the rows, against LAPACK and scikit-learn; how many digits it keeps: ``tests/bench/test_digits.py``."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from linreg.errors import UserError
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import PANEL, Moments, merge
from tests.support.tables import X5, X15, Y5, Y15, moments_of


def test_the_optimum_is_scikit_learns() -> None:
    for x, y in ((X5, Y5), (X15, Y15)):
        peer = LinearRegression().fit(x, y)
        solution = moments_of(x, y).solve()
        intercept = solution.bias_O - solution.weight_OF @ solution.mean_F
        assert solution.weight_OF == pytest.approx(peer.coef_, rel=1e-10)
        assert intercept == pytest.approx(peer.intercept_, rel=1e-9)
        assert solution.residual_O == pytest.approx(((peer.predict(x) - y) ** 2).sum(axis=0), rel=1e-9)


def test_the_record_holds_count_means_spreads_and_products() -> None:
    z = np.hstack([X15, Y15])
    m = moments_of(X15, Y15)
    assert (m.rows, m.weight) == (15, 15.0)
    assert m.mean_P == pytest.approx(z.mean(axis=0), rel=1e-14)
    assert m.spread_P == pytest.approx(z.std(axis=0), rel=1e-13)
    assert m.centred_PP.T @ m.centred_PP == pytest.approx(15 * np.cov(z.T, bias=True), rel=1e-12)
    about = m.at(np.zeros(5))
    design = np.column_stack([np.ones(15), z])
    assert about.T @ about == pytest.approx(design.T @ design, rel=1e-13)
    assert not np.tril(m.root_KK, -1).any()
    assert (np.diag(m.root_KK) >= 0).all()


def close(a: Moments, b: Moments) -> None:
    """Equal to rounding, each column in its own units."""
    size = np.linalg.norm(a.centred_PP, axis=0) + np.sqrt(a.weight) * np.abs(a.mean_P) * 1e-3 + 1e-300
    assert (a.rows, a.weight) == (b.rows, pytest.approx(b.weight, rel=1e-14))
    assert np.abs(a.mean_P - b.mean_P).max() <= 1e-12 * np.abs(np.concatenate([a.mean_P, size])).max()
    ours, theirs = a.centred_PP / size, b.centred_PP / size
    assert np.abs(ours.T @ ours - theirs.T @ theirs).max() <= 1e-11


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 4),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    seed=st.integers(0, 2**32 - 1),
    far=st.sampled_from([0.0, 1.0, 1e3]),
    data=st.data(),
)
def test_any_blocks_merged_in_any_order_are_the_record_of_all_rows(
    rows: int, columns: int, cuts: list[int], seed: int, far: float, data: st.DataObject
) -> None:
    z = np.random.default_rng(seed).normal(size=(rows, columns + 1)) + far
    names = tuple(f"x{i}" for i in range(columns)), ("y",)
    blocks = [b for b in np.split(z, sorted(min(c, rows) for c in cuts)) if len(b)]
    leaves = [Moments.leaf(b, *names) for b in data.draw(st.permutations(blocks))]
    while len(leaves) > 1:  # any tree
        i = data.draw(st.integers(0, len(leaves) - 2))
        leaves[i : i + 2] = [leaves[i] + leaves[i + 1]]
    close(leaves[0], Moments.leaf(z, *names))


def test_the_same_blocks_give_the_same_bits() -> None:
    z = np.random.default_rng(1).normal(size=(3 * PANEL + 17, 4)) + 5
    blocks = np.array_split(z, 5)
    first, second = (Moments.of(iter(blocks), ("a", "b", "c"), ("y",)) for _ in range(2))
    assert first.root_KK.tobytes() == second.root_KK.tobytes()
    assert first.shift_P.tobytes() == second.shift_P.tobytes()
    kept = merge([Moments.leaf(b, ("a", "b", "c"), ("y",)) for b in blocks])
    assert kept.root_KK.tobytes() == first.root_KK.tobytes()


def test_a_block_of_many_panels_is_the_same_record() -> None:
    z = np.random.default_rng(2).normal(size=(2 * PANEL + 5, 3))
    m = Moments.of([z], ("a", "b"), ("y",))
    assert m.centred_PP.T @ m.centred_PP == pytest.approx(len(z) * np.cov(z.T, bias=True), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=15, max_size=15).filter(lambda w: sum(w) > 0))
def test_a_weighted_row_counts_as_often_as_its_weight(times: list[int]) -> None:
    z, w = np.hstack([X15, Y15]), np.array(times)
    weighted = Moments.leaf(z, ("a", "b", "c"), ("u", "v"), w.astype(float))
    repeated = Moments.leaf(np.repeat(z, w, axis=0), ("a", "b", "c"), ("u", "v"))
    assert weighted.rows == np.count_nonzero(w)
    assert weighted.weight == w.sum()
    assert weighted.mean_P == pytest.approx(repeated.mean_P, rel=1e-13)
    products = (m.centred_PP.T @ m.centred_PP for m in (weighted, repeated))
    assert next(products) == pytest.approx(next(products), rel=1e-11, abs=1e-9)


def test_rows_of_weight_zero_are_as_if_they_were_not_there() -> None:
    z = np.hstack([X15, Y15])
    names = ("a", "b", "c"), ("u", "v")
    none = Moments.leaf(z, *names, np.zeros(15))
    some = Moments.leaf(z[:5], *names)
    assert none.rows == 0
    assert (none + some) is some
    assert (some + none) is some


@pytest.mark.parametrize("record", [Moments, MomentsWithGaps])
def test_no_rows_are_an_error_of_the_user(record) -> None:
    with pytest.raises(UserError, match="no rows to learn from"):
        record.of([np.empty((0, 2))], ("a",), ("y",))


def test_records_of_different_columns_do_not_add_up() -> None:
    a, b = (Moments.leaf(np.ones((2, 2)), (name,), ("y",)) for name in "ab")
    with pytest.raises(ValueError, match="different columns"):
        a + b


def test_one_row_predicts_its_own_target() -> None:
    solution = moments_of(X5[:1], Y5[:1]).solve()
    assert (solution.rank, solution.residual_O.tolist()) == (0, [0.0, 0.0])
    assert solution.bias_O.tolist() == Y5[0].tolist()
    assert not solution.weight_OF.any()


def test_fewer_rows_than_features_give_the_smallest_slopes_in_scaled_columns() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(4, 6)) * [1, 10, 100, 1, 1, 1], rng.normal(size=(4, 1))
    solution = moments_of(x, y).solve()
    centred, spread = x - x.mean(axis=0), x.std(axis=0)
    smallest = np.linalg.pinv(centred / spread) @ (y - y.mean(axis=0))
    assert solution.rank == 3
    assert solution.weight_OF[0] * spread == pytest.approx(smallest[:, 0], rel=1e-10)
    assert solution.residual_O[0] == pytest.approx(0, abs=1e-25)


def test_the_truncated_optimum_has_lapacks_residual() -> None:
    rng = np.random.default_rng(14)
    x = rng.normal(size=(30, 2))
    x = np.column_stack([x, x[:, 0] - x[:, 1]])
    y = rng.normal(size=(30, 2))
    design = np.column_stack([np.ones(30), x])
    fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    solution = moments_of(x, y).solve()
    assert solution.residual_O == pytest.approx(((y - fitted) ** 2).sum(axis=0), rel=1e-12)
    assert (x - solution.mean_F) @ solution.weight_OF.T + solution.bias_O == pytest.approx(fitted, rel=1e-9, abs=1e-12)


def deficient(*columns: np.ndarray) -> tuple[int, tuple[str, ...]]:
    x = np.column_stack(columns)
    y = np.random.default_rng(0).normal(size=(len(x), 1))
    solution = moments_of(x, y).solve()
    return solution.rank, solution.deficient


def test_rank_names_the_columns_that_are_constant_or_determine_each_other() -> None:
    rng = np.random.default_rng(6)
    a, b, c = rng.normal(size=(3, 200))
    assert deficient(a, b, c) == (3, ())
    assert deficient(a, np.full(200, 0.1), c) == (2, ("x1",))
    assert deficient(a, b, a) == (2, ("x0", "x2"))
    assert deficient(a, b, 3 * a - 2 * b, c) == (3, ("x0", "x1", "x2"))
    assert deficient(a + 1e6, 0.1 * (a + 1e6), c) == (2, ("x0", "x1"))
    assert deficient(1e-9 * a, 1e9 * b, 1e-9 * a + 0 * c) == (2, ("x0", "x2"))
    assert deficient(np.zeros(200), a) == (1, ("x0",))
    assert deficient(np.full(200, 1e9 + 0.1), a) == (1, ("x0",))


def test_rank_leaves_columns_alone_that_are_only_nearly_collinear_or_constant_however_far_another_is() -> None:
    a, b, c = np.random.default_rng(8).normal(size=(3, 200))
    assert deficient(a, a + 1e-6 * b) == (2, ())
    assert deficient(a, 1e6 + b) == (2, ())
    assert deficient(1e-150 * a, 1e150 * b) == (2, ())
    assert deficient(a, a + 1e-5 * b, c + 1e12) == (3, ())


@pytest.mark.parametrize("far", [0.0, 1e3, 1e6, 1e9])
def test_sums_of_columns_are_found_however_far_from_zero_and_nothing_else_is(far: float) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = (rng.normal(size=(100, 12)) + far * rng.uniform(0, 1, size=12)) * 10 ** rng.uniform(-3, 3, size=12)
        assert deficient(*x.T) == (12, ())
        total = x[:, 1] + x[:, 4] + x[:, 7]
        rank, names = deficient(*x.T, total)
        assert rank == 12
        assert "x12" in names


def test_a_constant_that_no_binary_fraction_holds_is_constant_over_many_leaves() -> None:
    rng = np.random.default_rng(9)
    blocks = [np.column_stack([np.full(1000, 0.1), rng.normal(size=(1000, 2))]) for _ in range(40)]
    m = Moments.of(blocks, ("rate", "b"), ("y",))
    assert m.spread_P[0] == 0
    assert m.solve().deficient == ("rate",)


def test_a_record_comes_back_from_its_file_to_the_bit(tmp_path) -> None:
    m = moments_of(X15, Y15)
    m.save(tmp_path / "m.safetensors")
    back = Moments.load(tmp_path / "m.safetensors")
    assert (back.features, back.targets, back.rows, back.weight) == (m.features, m.targets, m.rows, m.weight)
    assert back.root_KK.tobytes() == m.root_KK.tobytes()
    assert back.shift_P.tobytes() == m.shift_P.tobytes()


def test_a_record_that_is_missing_or_cut_is_refused_and_a_flipped_bit_of_its_header_is_no_other_error(tmp_path) -> None:
    path = tmp_path / "m.safetensors"
    moments_of(X15, Y15).save(path)
    content = path.read_bytes()
    for size in range(0, len(content), 5):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match="not a whole moments file"):
            Moments.load(path)
    refused = 0
    for i in range(8 + int.from_bytes(content[:8], "little")):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        try:
            Moments.load(path)
        except UserError:
            refused += 1
    assert refused > 100
    with pytest.raises(UserError, match="not a whole moments file"):
        Moments.load(tmp_path / "none.safetensors")
