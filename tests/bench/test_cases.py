"""The benchmark's cases, at tiny sizes: every contender runs, and contenders that disagree stop the case. No timing."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench import chart, data, descents, exact, file_to_model, growth, ingest, limits, minibatch, predict, sweep
from linreg.training.trainers import builtin

TINY = 1 << 20  # bytes of a read
LOOP_AND_SGD = {minibatch.LOOP, minibatch.SGD}


def small(shape, rows=2000):
    return replace(shape, rows=rows, loop_rows=rows)


@pytest.mark.long  # compiles a kernel a shape
def test_minibatch_runs_all_contenders_at_every_shape(monkeypatch):
    real = descents.choose  # the batches of ``fused`` without its compiler
    monkeypatch.setattr(descents, "choose", lambda c: real(replace(c, trainer="builtin")))
    results = minibatch.run(rows=5000, rounds=1, read_bytes=TINY)
    assert [r.case.partition("B=")[2] for r in results] == ["5 shuffled", "64 shuffled", "64 in order", "1024 shuffled"]
    for r in results:
        assert set(r.against) == LOOP_AND_SGD | {minibatch.READ} == set(r.ratio)
        assert r.unit == "M rows/s"
    assert [set(r.target) for r in results[::3]] == [LOOP_AND_SGD] * 2
    assert [r.target[minibatch.READ] for r in results[1:3]] == [0.25, 0.5]


def test_minibatch_measures_the_trainer_shuffled_and_in_order():
    assert [(descents.ours(s).name, descents.ours(s).shuffle) for s in minibatch.SHAPES[1:3]] == [
        ("fused", True),
        ("fused", False),
    ]


def test_a_trainer_that_walks_other_batches_stops_minibatch():
    shape = small(minibatch.SHAPES[0])
    for shuffle in (True, False):
        trainer = builtin.Builtin(shape.learning_rate, batch_size=shape.batch_size, shuffle=shuffle)
        descents.same_loop(replace(shape, shuffle=shuffle), trainer)
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            descents.same_loop(replace(shape, shuffle=not shuffle), trainer)


def test_an_sgd_regressor_that_learns_nothing_stops_minibatch(monkeypatch):
    shape = small(minibatch.SHAPES[0])
    idle = SimpleNamespace(coef_=np.zeros(3), intercept_=np.zeros(1))
    monkeypatch.setattr(descents, "sgd", lambda *_, **__: idle)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        descents.same_loss(shape, descents.ours(shape), descents.prepared(shape, shape.rows), None)


def test_minibatch_runs_without_scikit_learn(monkeypatch):
    monkeypatch.setattr(minibatch, "peer", lambda _: None)
    monkeypatch.setattr(minibatch, "SHAPES", minibatch.SHAPES[:1])
    (result,) = minibatch.run(rows=500, rounds=1, read_bytes=TINY)
    assert set(result.target) == {minibatch.LOOP}
    assert "SGDRegressor is not installed" in result.note


def test_the_torch_threads_are_as_before_after_minibatch():
    before = torch.get_num_threads()
    with descents.one_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_exact_runs_all_contenders_for_every_kind_and_width():
    pytest.importorskip("sklearnex")
    results = exact.run(rows=600, rounds=1, read_bytes=TINY)
    assert [r.case for r in results] == [f"exact F={f} {kind}" for f in (3, 32, 256) for kind in exact.KINDS]
    for r in results:
        assert set(r.against) == {exact.ONEDAL, exact.SKLEARN, exact.READ}
        assert exact.ONEDAL in r.target


@pytest.mark.long  # likewise
def test_exact_leaves_out_a_peer_that_is_not_there(monkeypatch):
    monkeypatch.setattr(exact, "ROWS", {3: 600})
    real = exact.peer
    monkeypatch.setattr(exact, "peer", lambda name: None if name.startswith("sklearnex") else real(name))
    for result in exact.run(rounds=1, read_bytes=TINY):
        assert set(result.against) == {exact.SKLEARN, exact.READ}
        assert "oneDAL is not installed" in result.note


@pytest.mark.long
def test_each_kind_of_record_is_ours_in_a_result_of_its_own(monkeypatch):
    monkeypatch.setattr(exact, "KINDS", {"plain": exact.KINDS["R"], "R": exact.KINDS["R"]})
    monkeypatch.setattr(exact, "ROWS", {3: 600})
    plain, r = exact.run(rounds=1, read_bytes=TINY)
    assert (plain.case, r.case) == ("exact F=3 plain", "exact F=3 R")
    assert "R" not in plain.against
    assert set(plain.target) - {exact.ONEDAL} == {exact.SKLEARN}


def test_coefficients_that_differ_stop_exact():
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        exact._check_the_same({"a": lambda: np.ones(3), "b": lambda: np.ones(3) + 1e-6})


def test_ingest_runs_all_contenders_in_every_layout():
    pytest.importorskip("polars")
    results = ingest.run(rows=2000, rounds=1)
    assert [r.case for r in results] == [
        "ingest Parquet to row-major",
        "ingest Parquet to columns",
        "ingest CSV to columns",
    ]
    assert [r.target[ingest.POLARS] for r in results] == [1, 0.7, 0.8]
    assert all(set(r.against) == {ingest.POLARS, ingest.DECODE} for r in results)


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
@pytest.mark.parametrize(
    ("case", "target"),
    [
        (ingest, {}),
        (file_to_model, {file_to_model.LIMIT: 0.6}),
        (predict, {name: predict.TARGET[name] for name in ("pyfunc on pandas", "arrow copy")}),
    ],
)
def test_a_case_runs_without_polars_and_says_so(monkeypatch, case, target):
    monkeypatch.setattr(case, "peer", lambda _: None)
    for result in case.run(rows=2000, rounds=1):
        assert "polars is not installed" in result.note
        assert result.target == target
        assert "polars" not in result.against


def test_values_that_differ_stop_ingest(tmp_path):
    path = data.parquet(tmp_path / "rows.parquet", 100, *ingest.SHAPE)
    ours, others = ingest._load(path), [a + 1 for a in ingest._values(ingest._load(path))]
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        ingest._check_the_same({"ours": lambda: ours, "peer": lambda: tuple(others)})


def test_matrices_in_another_layout_stop_ingest():
    a = np.ones((3, 2), np.float32)
    with pytest.raises(AssertionError):
        ingest._check_the_same({"ours": lambda: (a,), "peer": lambda: (np.asfortranarray(a),)})


def test_file_to_model_runs_all_contenders():
    pytest.importorskip("polars")
    (result,) = file_to_model.run(rows=20_000, rounds=1)
    assert set(result.against) == {file_to_model.PEER, file_to_model.LIMIT} == set(result.target)


@pytest.mark.parametrize("wrong", [{"r2": 0.1}, {"test_rows": 400_000}, {"weight_F": np.ones(32)}])
def test_another_model_stops_file_to_model(wrong):
    right = file_to_model.Tested(np.zeros(32), 0.97, 200_000)
    file_to_model._check_the_same(right, replace(right, r2=0.971), 1_000_000)
    with pytest.raises(AssertionError):
        file_to_model._check_the_same(right, replace(right, **wrong), 1_000_000)


@pytest.mark.long  # a process a size
def test_growth_measures_every_size_and_its_chart_can_be_drawn(tmp_path):
    results = growth.run(rows=200, rounds=1, widths=(8, 16))
    sizes = ("rows x1", "rows x10", "rows x100", "F=8", "F=16")
    names = [f"growth {work}, {size}" for work in ("record", "predict") for size in sizes]
    assert [(r.case, r.unit) for r in results] == [(name, unit) for name in names for unit in ("s", growth.MEGABYTES)]
    assert [dict(r.target) for r in results[2:4]] == [{"10 times x1": growth.LINEAR}, {"x1": growth.FLAT}]
    (tmp_path / "growth.json").write_text(
        json.dumps([{**r.to_json(), "note": r.note, "machine": "here"} for r in results])
    )
    assert [p.name for p in chart.draw(tmp_path, tmp_path, ["growth", "nosuch"])] == ["bench.png", "growth.png"]


def test_a_size_of_growth_prints_its_seconds_and_its_peak_memory(tmp_path, capsys):
    path = data.parquet(tmp_path / "rows.parquet", 500, 8)
    growth.main("record", str(path), "8")
    elapsed, megabytes = json.loads(capsys.readouterr().out)
    assert elapsed > 0
    assert 10 < megabytes < 1e6


@pytest.mark.long
def test_a_size_of_growth_that_fails_stops_the_case_with_what_it_said():
    with pytest.raises(RuntimeError, match="nosuch"):
        growth._cost("nosuch", "rows.parquet", 8)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bandwidth_is_of_the_whole_array_for_any_number_of_threads(threads):
    assert limits.read_bandwidth(limits.memory(TINY), threads=threads) > 0


def test_a_pass_that_skips_words_is_no_measure():
    words = limits.memory(TINY)
    words[7] = 0
    with pytest.raises(AssertionError):
        limits.read_bandwidth(words)


def test_the_rows_of_every_seed_are_of_one_linear_model():
    tables = [data.arrays(70_000, 3, 2, seed=seed) for seed in (0, 1)]
    first, second = (np.linalg.lstsq(x, y)[0] for x, y in tables)
    np.testing.assert_allclose(first, second, atol=0.05)
    assert not np.array_equal(tables[0][0], tables[1][0])
    again = data.arrays(70_000, 3, 2)
    np.testing.assert_array_equal(again[0], tables[0][0])
    assert again[0].dtype == np.float32


@pytest.mark.long
def test_sweep_measures_sixteen_models_beside_one():
    results = sweep.run(rows=4000, rounds=1)
    assert [r.case for r in results] == ["sweep F=3 O=2 B=5", "sweep F=32 O=1 B=64"]
    for r in results:
        assert set(r.against) == {sweep.ONE, sweep.SGD} == set(r.ratio) == set(r.target)


def test_a_model_that_is_another_one_in_company_stops_sweep(monkeypatch):
    step = sweep.step_many
    monkeypatch.setattr(sweep, "step_many", lambda t, p, s: step(t, p, s)[::-1])
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        sweep.run(rows=4000, rounds=1)
