"""Compiled records: the factor that numpy's QR gives of the same rows, the same bits always, and plain sums only where
they lose nothing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from flows.results import outcome
from linreg.moments import from_rows
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.training_record import record_partition, record_rows
from linreg.rows.rows import LEAF, Rows
from tests.support import tables
from tests.support.processes import WITHOUT_VECTORS, compiled_for

METHODS = ("R", "plain")


def rows_of(n: int, f: int, o: int = 1, *, weighted: bool = False, seed: int = 0, dtype: str = "float64") -> Rows:
    rng = np.random.default_rng(seed)
    x_NF = rng.normal(size=(n, f)) * rng.uniform(0.1, 10, f) + rng.normal(size=f) * 100
    y_NO = x_NF @ rng.normal(size=(f, o)) + rng.normal(size=(n, o))
    return tables.rows_of(x_NF.astype(dtype), y_NO.astype(dtype), rng.uniform(0.1, 4, n) if weighted else None)


def table_of(rows: Rows) -> pa.Table:
    return pa.concat_tables([piece for piece, _ in rows.table_blocks()]).combine_chunks()


def by_numpy(rows: Rows) -> Moments:
    return Moments.of(rows.blocks(), rows.features, rows.targets, weights=rows.block_weights())


def close(a: Moments, b: Moments, rel: float) -> None:
    assert (a.rows, a.features, a.targets) == (b.rows, b.features, b.targets)
    assert (a.weight, a.log_weight, a.square_weight) == pytest.approx((b.weight, b.log_weight, b.square_weight))
    np.testing.assert_allclose(a.mean_P, b.mean_P, rtol=1e-13, atol=1e-13 * float(b.spread_P.max()))
    scale = np.maximum(np.linalg.norm(b.centred_PP, axis=0), 1e-300)
    np.testing.assert_allclose(a.centred_PP / scale, b.centred_PP / scale, atol=rel)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal rows", "weights"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("n", "f", "o"), [(1, 2, 1), (7, 2, 1), (128, 3, 2), (129, 4, 1), (1000, 6, 1), (3001, 34, 2), (500, 131, 1)]
)
def test_the_record_is_that_of_numpy_s_qr_on_the_rows(n: int, f: int, o: int, method: str, weighted: bool) -> None:
    rows = rows_of(n, f, o, weighted=weighted)
    record, taken = from_rows.moments(rows, method=method)
    assert taken == method
    assert not np.tril(record.root_KK, -1).any()
    assert (np.diag(record.root_KK) >= 0).all()
    close(record, by_numpy(rows), 1e-12 if method == "R" else 1e-10)


@pytest.mark.parametrize("method", ["R", "numpy"])
@pytest.mark.parametrize("seed", range(6))
def test_a_sum_of_columns_is_found_among_more_rows_than_a_leaf_has_and_nearly_a_sum_is_none(
    seed: int, method: str
) -> None:
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(LEAF + 5000, 3)), rng.normal(size=LEAF + 5000)
    for near, rank in ((0.0, 2), (1e-6, 3)):
        columns = {"a": x[:, 0], "b": x[:, 0] + 2 * x[:, 2] + near * noise, "c": x[:, 2], "y": noise}
        solution = from_rows.moments(Rows([pa.table(columns)], ("a", "b", "c"), ("y",)), method=method)[0].solve()
        assert (solution.rank, solution.deficient) == (rank, ("a", "b", "c") if rank == 2 else ())


def test_float32_integers_and_booleans_are_taken_at_their_exact_values() -> None:
    rng = np.random.default_rng(3)
    columns = {
        "a": rng.normal(size=5000).astype(np.float32),
        "b": rng.integers(-9, 9, 5000),
        "c": rng.integers(0, 2, 5000).astype(bool),
        "y": rng.normal(size=5000),
    }
    rows = Rows([pa.table(columns)], ("a", "b", "c"), ("y",))
    close(from_rows.moments(rows, method="R")[0], by_numpy(rows), 1e-13)


def test_columns_in_pieces_and_slices_are_the_same_rows() -> None:
    table = table_of(rows_of(2000, 3))
    parted = pa.concat_tables([table.slice(0, 700), table.slice(700, 1), table.slice(701)])
    offset = pa.concat_tables([table.slice(1990), table]).combine_chunks().slice(10)
    records = (from_rows.moments(Rows([t], ("x0", "x1", "x2"), ("y0",)))[0] for t in (table, parted, offset))
    of_whole, of_parted, of_offset = (record.root_KK.tobytes() for record in records)
    assert of_whole == of_parted == of_offset


@pytest.mark.parametrize("weighted", [False, True], ids=["equal rows", "weights"])
@pytest.mark.parametrize("method", METHODS)
def test_chosen_rows_give_the_bits_of_tables_that_have_no_others(method: str, weighted: bool) -> None:
    rows = rows_of(LEAF + 9000, 3, weighted=weighted)
    table, names = table_of(rows), (rows.features, rows.targets)
    chosen = np.flatnonzero(np.random.default_rng(1).uniform(size=len(table)) < 0.95).astype(np.uint32)
    some = Rows([table, table], *names, weight=rows.weight, row_numbers=[chosen, None])
    cut = [table.take(chosen[chosen < LEAF]), table.take(chosen[chosen >= LEAF]), table]
    alone = Rows(cut, *names, weight=rows.weight)
    assert len(some) == len(alone)
    a, b = (from_rows.moments(r, method=method)[0] for r in (some, alone))
    assert a.root_KK.tobytes() == b.root_KK.tobytes()
    assert a.shift_P.tobytes() == b.shift_P.tobytes()


def test_a_leaf_begins_at_the_same_row_of_the_table_whatever_rows_are_chosen() -> None:
    table = table_of(rows_of(2 * LEAF + 10, 1))
    few = np.array([5, LEAF - 1, LEAF, 2 * LEAF + 9], np.uint32)
    assert [len(b) for b in Rows([table], ("x0",), ("y0",), row_numbers=[few]).blocks()] == [2, 1, 1]
    first_only = Rows([table], ("x0",), ("y0",), row_numbers=[np.array([2 * LEAF], np.uint32)])
    assert [len(b) for b in first_only.blocks()] == [1]


def test_a_run_says_which_files_were_recorded_by_plain_sums(monkeypatch) -> None:
    first, second = table_of(rows_of(500, 3)), table_of(rows_of(500, 3, seed=1))
    both = Rows([first, second], ("x0", "x1", "x2"), ("y0",))
    assert record_rows(both).plain == 0
    monkeypatch.setattr(from_rows, "PAYS", 0)
    monkeypatch.setattr(from_rows, "LONG", 0)
    record = record_rows(both)
    assert record.plain == 2
    assert outcome._plain_sums_note(SimpleNamespace(record=record)).startswith("moments by plain sums")
    assert "of 1 of 2 files by plain sums" in outcome._plain_sums_note(SimpleNamespace(record=replace(record, plain=1)))
    assert outcome._plain_sums_note(SimpleNamespace(record=replace(record, plain=0))) == ""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lightest", [0.0, 1e-12])
def test_rows_that_weigh_next_to_nothing_do_not_shift_the_others(method: str, lightest: float) -> None:
    table = table_of(rows_of(9000, 3, weighted=True))
    far = np.arange(9000) < 2000
    columns = {name: np.where(far, 1e9, table[name].to_numpy()) for name in ("x0", "x1", "x2")}
    columns |= {"y0": table["y0"].to_numpy(), "w": np.where(far, lightest, 1.0)}
    rows = Rows([pa.table(columns)], ("x0", "x1", "x2"), ("y0",), weight="w")
    record, expected = from_rows.moments(rows, method=method)[0], by_numpy(rows)
    np.testing.assert_allclose(record.solution.weight_OF, expected.solution.weight_OF, rtol=1e-6 if lightest else 1e-10)
    none = Rows([pa.table(columns | {"w": np.zeros(9000)})], ("x0", "x1", "x2"), ("y0",), weight="w")
    assert from_rows.moments(none, method=method)[0].weight == 0


@pytest.mark.parametrize("method", METHODS)
def test_any_number_of_threads_gives_the_same_bits(method: str) -> None:
    rows = rows_of(3 * LEAF + 77, 3)
    first, *others = (from_rows.moments(rows, method=method, threads=n)[0] for n in (1, 2, 5))
    close(first, by_numpy(rows), 1e-12)
    assert all(first.root_KK.tobytes() == m.root_KK.tobytes() for m in others)


def test_leaves_that_weigh_nothing_are_left_out(monkeypatch) -> None:
    monkeypatch.setattr("linreg.rows.rows.LEAF", 100)
    table = table_of(rows_of(350, 2, weighted=True))
    weights = table["w"].to_numpy().copy()
    weights[:200] = 0
    rows = Rows([table.set_column(3, "w", pa.array(weights))], ("x0", "x1"), ("y0",), weight="w")
    close(from_rows.moments(rows, method="R")[0], by_numpy(rows), 1e-12)


BITS = """
import sys; sys.path[:0] = ["."]
from linreg.moments import from_rows
from tests.moments.test_from_rows import rows_of
for f in (3, 40):
    print(from_rows.moments(rows_of(3000, f), method="R")[0].root_KK.tobytes().hex())
"""


@pytest.mark.long
def test_the_bits_are_those_of_a_machine_without_vectors(tmp_path) -> None:
    assert compiled_for({}, BITS, tmp_path) == compiled_for(WITHOUT_VECTORS, BITS, tmp_path)


def test_no_value_behind_a_column_is_read() -> None:
    """NaN stands right behind the rows: it would be in every sum."""
    values = np.full(1003, np.nan)
    values[:1001] = np.random.default_rng(0).normal(size=1001)
    table = pa.table({"x": values, "y": values[::-1].copy()[::-1]}).slice(0, 1001)
    record, _ = from_rows.moments(Rows([table], ("x",), ("y",)))
    assert np.isfinite(record.root_KK).all()


def test_plain_sums_are_for_long_partitions_of_unlike_columns_alone(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 3))
    y = x @ [1.0, 2.0, 3.0]

    def method(**columns: np.ndarray) -> str:
        names = tuple(n for n in columns if n != "y")
        return from_rows.moments(Rows([pa.table(columns)], names, ("y",)))[1]

    noisy = {"a": x[:, 0], "b": x[:, 1], "y": y + rng.normal(size=4000)}
    assert method(**noisy) == "numpy"
    monkeypatch.setattr(from_rows, "PAYS", 0)
    assert method(**noisy) == "R"
    monkeypatch.setattr(from_rows, "LONG", 0)
    assert method(**noisy) == "plain"
    assert method(**noisy, near=x[:, 0] + 1e-4 * x[:, 1]) == "R"
    assert method(a=x[:, 0], b=x[:, 1], c=x[:, 2], y=y + 1e-6 * rng.normal(size=4000)) == "R"
    assert method(**noisy, same=np.full(4000, 0.1)) == "R"


def test_columns_that_become_alike_after_the_first_leaf_are_recorded_again_by_reflections(monkeypatch) -> None:
    monkeypatch.setattr(from_rows, "PAYS", 0)
    monkeypatch.setattr(from_rows, "LONG", 0)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2 * LEAF))
    a[LEAF:] *= 1e6
    b[LEAF:] = a[LEAF:] * (1 + 1e-7 * b[LEAF:])
    rows = Rows([pa.table({"a": a, "b": b, "y": rng.normal(size=2 * LEAF)})], ("a", "b"), ("y",))
    record, method = from_rows.moments(rows)
    assert method == "R"
    close(record, by_numpy(rows), 1e-12)


def test_the_record_takes_the_compiled_way_for_many_rows_and_numpy_s_for_few_and_for_gaps(monkeypatch) -> None:
    rows, gappy = rows_of(3000, 5), rows_of(3000, 5, seed=1)
    assert record_partition(rows)[1] == "numpy"
    small = record_rows(rows)
    monkeypatch.setattr(from_rows, "PAYS", 0)
    assert record_partition(rows)[1] == "R"
    close(record_rows(rows).moments, small.moments, 1e-12)
    table = table_of(gappy)
    holes = pa.array(np.where(np.arange(3000) == 7, np.nan, table["x2"].to_numpy()))
    table = table.set_column(table.column_names.index("x2"), "x2", holes)
    gappy = Rows([table], rows.features, rows.targets, gaps=True)
    record, method = record_partition(gappy)
    assert method == "numpy"
    expected = MomentsWithGaps.of(gappy.blocks(), rows.features, rows.targets)
    assert record.moments.root_KK.tobytes() == expected.moments.root_KK.tobytes()
    others = Rows([table], rows.features, rows.targets, gaps=True, row_numbers=[np.arange(8, 3000, dtype=np.uint32)])
    assert record_partition(others)[1] == "R"
