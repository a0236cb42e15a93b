"""Records on a card: sums of products against numpy's, factors against LAPACK's and against exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from linreg.kernels.cuda import cholesky_qr as dense
from linreg.kernels.cuda import record
from linreg.kernels.cuda import reduction as sums
from linreg.kernels.cuda import transfer as feed

ON_CARD = torch.cuda.is_available()
COLUMNS = [1, 3, 4, 7, 8, 9, 23, 24, 33, 40, 65, 71]


def columns(count: int, rows: int, dtype=np.float64) -> np.ndarray:
    rng = np.random.default_rng(count)
    return (rng.normal(size=(count, rows)) + rng.normal(size=(count, 1))).astype(dtype)


def products_of(z_PN: np.ndarray, shift_P: np.ndarray, root_N: np.ndarray | None) -> np.ndarray:
    v = np.vstack([np.ones(z_PN.shape[1]), z_PN.astype(np.float64) - shift_P[:, None]])
    v = v if root_N is None else v * root_N
    return v @ v.T


def tensors(device: torch.device, *arrays: np.ndarray | None) -> list[torch.Tensor | None]:
    return [None if a is None else torch.from_numpy(a).to(device) for a in arrays]


@pytest.mark.parametrize("weighted", [False, True], ids=["equal rows", "weights"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", COLUMNS)
def test_a_kernel_s_sums_of_products_are_numpy_s(count, dtype, weighted, device, monkeypatch) -> None:
    products = pytest.importorskip("linreg.kernels.cuda.gram_kernels", reason="Triton is not installed")
    monkeypatch.setattr(products, "SPAN", 1024 if count <= products.NARROW else 32)  # the interpreter is slow
    n = products.SPAN + 17
    z, rng = columns(count, n, dtype), np.random.default_rng(0)
    shift, root = z.mean(axis=1).astype(np.float64) + 0.1, np.sqrt(rng.uniform(0, 2, n)) if weighted else None
    z_PN, shift_P, root_N = tensors(device, z, shift, root)
    square = sums.tree(products.squares(z_PN, shift_P, root_N, n)).cpu().numpy()
    ours, expected = record.ones_first(square, *products.layout(count), count), products_of(z, shift, root)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-14 * np.abs(expected).max())


@pytest.mark.parametrize("weighted", [False, True], ids=["equal rows", "weights"])
@pytest.mark.parametrize("count", [2, 80])
def test_torch_s_sums_of_products_are_numpy_s(count, weighted, device) -> None:
    n = sums.LEAF + 100
    z = columns(count, n)
    shift, root = z.mean(axis=1) + 0.1, np.sqrt(np.random.default_rng(0).uniform(0, 2, n)) if weighted else None
    ours = sums.tree(dense.leaf_sums(*tensors(device, z, shift, root), n)).cpu().numpy()
    expected = products_of(z, shift, root)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def exact_slopes(x_NF: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """Least squares with an intercept of integers, in whole numbers: what is true of them."""
    a = [[1, *map(int, row)] for row in x_NF]
    k = len(a[0])
    gram = [[Fraction(sum(r[i] * r[j] for r in a)) for j in range(k)] for i in range(k)]
    right = [Fraction(sum(r[i] * int(y) for r, y in zip(a, y_N, strict=True))) for i in range(k)]
    for i in range(k):
        for j in range(i + 1, k):
            factor = gram[j][i] / gram[i][i]
            gram[j] = [b - factor * c for b, c in zip(gram[j], gram[i], strict=True)]
            right[j] -= factor * right[i]
    out = [Fraction(0)] * k
    for i in reversed(range(k)):
        out[i] = (right[i] - sum(gram[i][j] * out[j] for j in range(i + 1, k))) / gram[i][i]
    return np.array([float(b) for b in out[1:]])


def slopes(root_KK: np.ndarray) -> np.ndarray:
    return np.linalg.solve(root_KK[1:-1, 1:-1], root_KK[1:-1, -1])


def digits(found: np.ndarray, true: np.ndarray) -> float:
    return float(-np.log10(max(np.abs(found / true - 1).max(), 1e-16)))


@pytest.mark.parametrize("apart", [10**7, 10**3, 3], ids=["well conditioned", "alike", "collinear to 1e-7"])
def test_it_is_as_good_as_lapack_on_the_rows(apart: int, device) -> None:
    rng = np.random.default_rng(apart)
    x = rng.integers(-(10**7), 10**7, size=(12_000, 3))
    x[:, 2] = x[:, 0] + rng.integers(-apart, apart + 1, size=len(x))
    y = x @ np.array([3, -2, 5]) + rng.integers(-5, 6, size=len(x)) + 10**9
    true = exact_slopes(x, y)
    z = np.column_stack([x, y]).astype(np.float64)
    found = record.factor(record.OnCard(torch.from_numpy(z.T.copy()).to(device)), device)
    lapack = slopes(np.linalg.qr(np.column_stack([np.ones(len(z)), z - found.shift_P]), mode="r"))
    assert found.way == "whitened"
    assert digits(slopes(found.root_KK), true) >= digits(lapack, true) - 1


def test_a_mean_of_a_million_spreads_costs_no_digit(device) -> None:
    z = columns(3, 20_000) + 1e6
    found = record.factor(record.OnCard(torch.from_numpy(z).to(device)), device)
    centred = np.linalg.qr((z - z.mean(axis=1, keepdims=True)).T, mode="r")
    ours = np.linalg.svd(found.root_KK[1:, 1:], compute_uv=False)
    np.testing.assert_allclose(ours, np.linalg.svd(centred, compute_uv=False), rtol=1e-11)


def test_rows_that_a_sample_does_not_show_are_whitened_again(device) -> None:
    """Values far from everywhere in a stretch that the sample hardly meets: the first factor is wrong by 1000."""
    z = columns(3, 100_000)
    z[:, 50_001:50_011] *= 1e5
    found = record.factor(record.OnCard(torch.from_numpy(z).to(device)), device)
    assert found is not None
    lapack = record.upright(np.linalg.qr(np.column_stack([np.ones(z.shape[1]), z.T - found.shift_P]), mode="r"))
    np.testing.assert_allclose(np.abs(np.diag(found.root_KK)), np.abs(np.diag(lapack)), rtol=1e-12)


@pytest.mark.parametrize("what", ["constant", "twice the same", "not a number"])
def test_what_has_no_good_factor_is_left_to_the_cpu(what: str, device) -> None:
    z = columns(3, 10_000)
    z[1] = {"constant": np.full(10_000, 3.0), "twice the same": z[0], "not a number": np.full(10_000, np.nan)}[what]
    assert record.factor(record.OnCard(torch.from_numpy(z).to(device)), device) is None


def test_plain_sums_serve_where_rows_are_many_and_columns_unlike(device, monkeypatch) -> None:
    monkeypatch.setattr(record, "LONG", 1)
    z = columns(4, 70_000, np.float32)
    alike = np.vstack([z, z[:1] + 1e-4 * columns(1, 70_000, np.float32)])
    found, other = (record.factor(record.OnCard(torch.from_numpy(a).to(device)), device) for a in (z, alike))
    assert (found.way, other.way) == ("plain", "whitened")
    lapack = record.upright(
        np.linalg.qr(np.column_stack([np.ones(70_000), z.T.astype(np.float64) - found.shift_P]), mode="r")
    )
    np.testing.assert_allclose(found.root_KK, lapack, rtol=0, atol=1e-11 * np.abs(lapack).max())


def host(z: np.ndarray, device: torch.device, weight_N=None, chosen=None) -> feed.Host:
    """Columns cut into leaves, as Arrow hands them out; of the rows ``chosen``, where that is given."""
    n = z.shape[1] if chosen is None else len(chosen)

    def read(i: int) -> feed.Leaf:
        start, stop = i * sums.LEAF, min((i + 1) * sums.LEAF, n)
        w = None if weight_N is None else weight_N[start:stop]
        if chosen is None:
            return feed.Leaf([c[start:stop] for c in z], None, w)
        return feed.Leaf(list(z), chosen[start:stop], w)

    return feed.Host(read, -(-n // sums.LEAF), device)


@pytest.mark.parametrize("chunk", [1, 1 << 22], ids=["a leaf a chunk", "several"])
@pytest.mark.parametrize("way", ["plain", "whitened"])
def test_from_host_memory_it_has_the_bits_of_rows_on_the_card(way: str, chunk: int, device, monkeypatch) -> None:
    monkeypatch.setattr(feed, "CHUNK", chunk)
    monkeypatch.setattr(record, "_sampled", lambda *_: (np.zeros(4), np.eye(5)))  # the samples are others
    z = columns(4, 5 * sums.LEAF + 321)
    # squares: their roots are the same ones in numpy and torch
    w = np.random.default_rng(0).integers(0, 4, z.shape[1]).astype(np.float64) ** 2
    on_card = record.OnCard(*tensors(device, z, w))
    ours, theirs = (record.factor(s, device, way=way) for s in (host(z, device, w), on_card))
    assert ours.root_KK.tobytes() == theirs.root_KK.tobytes()


def test_rows_of_a_role_are_gathered_on_their_way(device) -> None:
    z = columns(3, 90_000, np.float32)
    chosen = np.flatnonzero(np.random.default_rng(0).uniform(size=90_000) < 0.8).astype(np.uint32)
    found = record.factor(host(z, device, chosen=chosen), device)
    rows = np.column_stack([np.ones(len(chosen)), z[:, chosen].T.astype(np.float64) - found.shift_P])
    np.testing.assert_allclose(found.root_KK.T @ found.root_KK, rows.T @ rows, rtol=0, atol=1e-9)


def test_the_same_rows_give_the_same_bits(device) -> None:
    z = columns(5, 200_000)
    for way in ("plain", "whitened"):
        first, again = (record.factor(host(z, device), device, way=way).root_KK.tobytes() for _ in range(2))
        assert first == again


@pytest.mark.gpu
@pytest.mark.parametrize("count", [4, 33, 65, 71])
def test_on_a_card_all_rows_of_many_leaves_are_there(count: int, device) -> None:
    z = columns(count, 300_000)
    shift = z.mean(axis=1)
    products = pytest.importorskip("linreg.kernels.cuda.gram_kernels")
    squares = products.squares(*tensors(device, z, shift), None, z.shape[1])
    ours = record.ones_first(sums.tree(sums.leaves(squares)).cpu().numpy(), *products.layout(count), count)
    expected = products_of(z, shift, None)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


@pytest.mark.gpu
def test_ten_million_rows_have_the_record_of_the_cpu(device) -> None:
    for needed in ("numba", "scipy", "safetensors", "threadpoolctl"):
        pytest.importorskip(needed, reason="the CPU's record needs it")
    import pyarrow as pa

    from linreg.moments import from_rows as leaves
    from linreg.rows.rows import Rows

    z = np.random.default_rng(0).standard_normal((33, 10_000_000), dtype=np.float32)
    names = tuple(f"x{i}" for i in range(32))
    rows = Rows([pa.table({**dict(zip(names, z[:32], strict=True)), "y": z[32]})], names, ("y",))
    ours, theirs = record.moments(rows, device)[0], leaves.moments(rows)[0]
    assert ours.rows == theirs.rows
    np.testing.assert_allclose(ours.solve().weight_OF, theirs.solve().weight_OF, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.solve().residual_O, theirs.solve().residual_O, rtol=1e-12)
