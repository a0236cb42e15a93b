"""The benchmark's plumbing, at a tiny size: every contender runs, the document has the contract's keys. No timing."""

import json

import numpy as np
import pytest
import torch

from bench import __main__ as command
from bench import data, fullbatch, harness, lookups, pipeline, predict
from bench.harness import Result, in_turn, less_is_better, more_is_better, table

KEYS = {"case", "unit", "ours", "against", "ratio", "target"}


def result(target=None) -> Result:
    measured = {"ours": [(2.0,)], "peer": [(4.0,)], "limit": [(1.0,)]}
    return less_is_better("x", "s", measured, target or {}, note="how")


def test_fullbatch_runs_all_contenders():
    (result,) = fullbatch.run(rows=2000, epochs=20, loop_epochs=10, rounds=1)
    assert set(result.against) == {"autograd loop", "one pass"} == set(result.target) == set(result.ratio)


@pytest.mark.long
def test_pipeline_runs_all_contenders_and_gives_cpu_and_wall_time():
    cpu, wall = pipeline.run(rounds=1, epochs=3)
    assert (cpu.unit, wall.unit) == ("CPU s", "wall s")
    assert set(cpu.against) == {"plain script", "floor"} == set(wall.against) == set(wall.target)


@pytest.mark.long  # eleven processes
def test_lookups_measures_every_command_beside_mlflow_itself():
    results = lookups.run(rounds=1)
    assert [r.case for r in results[::2]] == ["lookups models", "lookups runs", "lookups show", "lookups diff"]
    for cpu, wall in zip(results[::2], results[1::2], strict=True):
        assert (cpu.case, cpu.unit, wall.unit) == (wall.case, "CPU s", "wall s")
        assert set(cpu.against) == {lookups.IMPORT, lookups.CLIENT} > set(cpu.target)


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
def test_predict_runs_all_contenders_and_they_agree():
    pytest.importorskip("polars")
    (result,) = predict.run(rows=3000, features=4, rounds=1)
    assert set(result.against) == {"pyfunc on pandas", "polars", "arrow copy"} == set(result.target)


def test_the_time_of_a_process_holds_that_of_its_children(tmp_path):
    burn = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.5: pass"
    cpu, wall = pipeline.cost(
        ["-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"], tmp_path
    )
    assert cpu > 0.5
    assert wall > 0.5


def test_a_process_that_fails_stops_the_case_with_what_it_said(tmp_path):
    with pytest.raises(RuntimeError, match="no such thing"):
        pipeline.cost(["-c", "raise SystemExit('no such thing')"], tmp_path)


def test_the_processes_of_a_case_inherit_no_server(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert not {"PREFECT_API_URL", "MLFLOW_TRACKING_URI"} & set(pipeline._environment(tmp_path))


def test_a_peer_that_takes_twice_as_long_or_has_half_the_speed_has_a_ratio_of_two():
    assert result().ratio == {"peer": 2.0, "limit": 0.5}
    speeds = {"ours": [(2.0,)], "peer": [(1.0,)], "limit": [(4.0,)]}
    assert more_is_better("x", "rows/s", speeds, {}, note="").ratio == {"peer": 2.0, "limit": 0.5}


def test_a_target_of_a_peer_that_did_not_run_is_left_out():
    assert result({"peer": 3.0, "absent": 2.0}).target == {"peer": 3.0}


def test_a_peer_that_is_not_installed_is_none_and_the_note_says_so():
    missing = harness.peer("no_such_library")
    assert missing is None
    assert harness.without(nosuch=missing, json=harness.peer("json")) == "; nosuch is not installed and left out"


def test_the_table_has_a_line_for_what_stands_alone_and_each_note_once():
    alone = less_is_better("growth, rows x1", "MB peak", {"ours": [(7.0,)]}, {}, note="how")
    lines = table([alone, result()]).splitlines()
    assert lines[1].split() == ["growth,", "rows", "x1", "7", "MB", "peak"]
    assert lines[-1] == "growth, rows x1: how"
    assert sum("how" in line for line in lines) == 1


def test_the_table_says_which_targets_are_reached():
    lines = table([result({"peer": 1.5, "limit": 0.77})]).splitlines()
    assert lines[1].split() == ["x", "peer", "2", "4", "s", "2", "1.5", "yes"]
    assert lines[2].split() == ["x", "limit", "2", "1", "s", "0.5", "0.77", "no"]


def test_contenders_run_in_turn_each_round_from_another_one():
    order = []
    contenders = {name: lambda name=name: order.append(name) or (len(order),) for name in "abc"}
    measured = in_turn(contenders, 3)
    assert "".join(order) == "abcbcacab"
    assert measured["a"] == [(1,), (6,), (8,)]


def test_a_result_is_the_median_of_its_measurements():
    result = less_is_better("x", "s", {"ours": [(1.0, 7.0), (9.0, 6.0), (2.0, 5.0)]}, {}, note="", column=1)
    assert (result.ours, result.spread) == (6.0, {"ours": (5.0, 7.0)})


def test_the_command_prints_and_keeps_the_contract_s_document(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "CASES", {"x": lambda: [result({"peer": 3.0})]})
    command.main(["x", "--json"])
    (printed,) = json.loads(capsys.readouterr().out)
    assert set(printed) == KEYS
    (kept,) = json.loads((tmp_path / "x.json").read_text())
    assert set(kept) == KEYS | {"spread", "note", "machine"}
    assert "peer" in (tmp_path / "x.txt").read_text()


def test_the_command_draws_what_is_kept_and_runs_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "DOCS", tmp_path)
    monkeypatch.setattr(command, "CASES", {"x": lambda: pytest.fail("a case was run")})
    command._keep("x", [result({"peer": 3.0})], "a table")
    command.main(["--chart"])
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "growth.png").exists()
    assert capsys.readouterr().out == ""


def test_an_unknown_case_is_told(capsys):
    with pytest.raises(SystemExit):
        command.main(["nosuch"])
    assert "fullbatch, pipeline" in capsys.readouterr().err


def test_contenders_that_disagree_stop_the_case(monkeypatch):
    rows = data.rows(*data.arrays(500, 3, 2))
    fullbatch._check_the_same(rows, 10)
    monkeypatch.setattr(fullbatch, "_loop", lambda *_: (torch.zeros(2, 3), torch.zeros(2)))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        fullbatch._check_the_same(rows, 10)


def test_the_data_are_the_same_every_time():
    first, second = (data.arrays(10, 3)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
