"""Records made by torch, on a GPU where there is one: against LAPACK, exact arithmetic and the CPU's own."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from bench import rational
from bench.digits import digits
from linreg.moments import from_rows, on_device
from linreg.moments.moments import Moments, upright
from linreg.moments.training_record import record_partition, record_rows
from linreg.rows.rows import LEAF, Rows
from tests.moments.test_from_rows import by_numpy, close, rows_of, table_of


def made_on(device: torch.device, rows: Rows) -> Moments:
    moments, method = from_rows.moments(rows, device=device)
    assert method == from_rows.DEVICE
    return moments


def columns(count: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.normal(size=(count, rows)) + rng.normal(size=(count, 1))


@pytest.mark.parametrize("weighted", [False, True], ids=["equal rows", "weights"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "f", "o"), [(1, 2, 1), (7, 9, 1), (LEAF + 100, 3, 2), (2000, 70, 1)])
def test_the_record_is_that_of_the_cpu(n: int, f: int, o: int, dtype: str, weighted: bool, device) -> None:
    rows = rows_of(n, f, o, weighted=weighted, dtype=dtype)
    close(made_on(device, rows), by_numpy(rows), 1e-12)


def test_integers_booleans_and_chosen_rows_are_taken_at_their_exact_values(device) -> None:
    rng = np.random.default_rng(0)
    n = LEAF + 9000
    a, b = rng.normal(size=n).astype(np.float32), rng.integers(-9, 9, n)
    table = {"a": a, "b": b, "c": rng.integers(0, 2, n).astype(bool), "y": a - 2 * b + rng.normal(size=n)}
    chosen = [np.flatnonzero(rng.uniform(size=n) < 0.7).astype(np.uint32)]
    weight = {"w": rng.integers(0, 3, n).astype(float)}
    rows = Rows([pa.table(table | weight)], ("a", "b", "c"), ("y",), weight="w", row_numbers=chosen)
    close(made_on(device, rows), by_numpy(rows), 1e-12)


def test_rows_that_weigh_nothing_are_not_there(device) -> None:
    table = table_of(rows_of(2 * LEAF, 2, weighted=True))
    weights = table["w"].to_numpy().copy()
    weights[: LEAF + 500] = 0
    rows = Rows([table.set_column(3, "w", pa.array(weights))], ("x0", "x1"), ("y0",), weight="w")
    close(made_on(device, rows), by_numpy(rows), 1e-12)
    none = Rows([table.set_column(3, "w", pa.array(0 * weights))], ("x0", "x1"), ("y0",), weight="w")
    assert (made_on(device, none).rows, made_on(device, none).weight) == (0, 0)


@pytest.mark.parametrize("kind", ["constant", "twice the same", "a sum of others"])
def test_columns_that_are_constant_or_determine_each_other_are_found_as_on_the_cpu(kind: str, device) -> None:
    x = columns(3, LEAF + 5000)
    x[1] = {"constant": np.full(x.shape[1], 0.1), "twice the same": x[0], "a sum of others": x[0] + 2 * x[2]}[kind]
    table = pa.table({"a": x[0], "b": x[1], "c": x[2], "y": x[0] - x[2] + columns(1, x.shape[1])[0]})
    rows = Rows([table], ("a", "b", "c"), ("y",))
    ours, theirs = made_on(device, rows).solution, by_numpy(rows).solution
    assert (ours.rank, ours.deficient) == (theirs.rank, theirs.deficient) != (3, ())
    np.testing.assert_allclose(ours.weight_OF, theirs.weight_OF, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(ours.residual_O, theirs.residual_O, rtol=1e-12)


def slopes(root_KK: np.ndarray) -> np.ndarray:
    return np.linalg.solve(root_KK[1:-1, 1:-1], root_KK[1:-1, -1])


@pytest.mark.parametrize("apart", [10**7, 10**3, 3], ids=["well conditioned", "alike", "collinear to 1e-7"])
def test_the_factor_is_as_good_as_lapack_s_of_the_rows(apart: int, device) -> None:
    rng = np.random.default_rng(apart)
    x = rng.integers(-(10**7), 10**7, size=(1_500, 3))
    x[:, 2] = x[:, 0] + rng.integers(-apart, apart + 1, size=len(x))
    y = x @ np.array([3, -2, 5]) + rng.integers(-5, 6, size=len(x)) + 10**9
    z_PN = np.column_stack([x, y]).T.astype(np.float64)
    root, shift = on_device.factor(list(z_PN), None, device)
    true = rational.of_arrays(x, y).parameters_P[1:]
    lapack = upright(np.linalg.qr(np.column_stack([np.ones(len(x)), z_PN.T - shift]), mode="r"))
    assert digits(slopes(root), true) >= digits(slopes(lapack), true) - 1


def test_a_mean_of_a_million_spreads_costs_no_digit(device) -> None:
    z_PN = columns(3, 20_000) + 1e6
    root, _ = on_device.factor(list(z_PN), None, device)
    centred = np.linalg.qr((z_PN - z_PN.mean(axis=1, keepdims=True)).T, mode="r")
    ours, theirs = (np.linalg.svd(r, compute_uv=False) for r in (root[1:, 1:], centred))
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


def test_any_number_of_threads_gives_the_same_bits(device) -> None:
    rows = rows_of(3 * LEAF + 77, 5)
    first, *others = (from_rows.moments(rows, device=device, threads=n)[0] for n in (1, 2, 3))
    assert all(first.root_KK.tobytes() == m.root_KK.tobytes() for m in others)


def test_a_partition_with_gaps_is_recorded_on_the_cpu_and_the_others_on_the_device(device) -> None:
    whole = pa.table({"a": [1.0, 2.0, 4.0], "y": [1.0, 2.0, 3.0]})
    gappy = pa.table({"a": [None, 2.0, 5.0], "y": [0.0, 2.0, 3.0]})
    rows = Rows([whole, gappy], ("a",), ("y",), gaps=True)
    assert [record_partition(part, device)[1] for part in rows.partitions()] == [from_rows.DEVICE, from_rows.NUMPY]
    close(record_rows(rows, device).moments, record_rows(rows).moments, 1e-12)
    assert record_rows(rows, device).filled == 1
