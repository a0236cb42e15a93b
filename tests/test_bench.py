"""The benchmark's plumbing, at a tiny size: every contender runs, the document has the contract's keys. No timing."""

import pytest

from bench import fullbatch
from bench.harness import in_turn, less_is_better, table

KEYS = {"case", "unit", "ours", "against", "ratio", "target"}


def test_fullbatch_runs_all_contenders_and_checks_that_they_agree():
    result = fullbatch.run(rows=2000, epochs=20, loop_epochs=10, rounds=1)
    assert set(result.against) == {"autograd loop", "one pass"} == set(result.target)
    assert set(result.to_json()) == KEYS
    assert "fullbatch" in table([result])


def test_a_peer_that_takes_twice_as_long_has_a_ratio_of_two():
    result = less_is_better("x", "s", {"ours": 2.0, "peer": 4.0, "limit": 1.0}, {}, "")
    assert result.ratio == {"peer": 2.0, "limit": 0.5}


def test_contenders_run_in_turn_and_give_their_median():
    order = []
    values = {"a": iter([1.0, 9.0, 2.0]), "b": iter([5.0, 5.0, 5.0])}
    contenders = {name: lambda name=name: order.append(name) or next(values[name]) for name in values}
    assert in_turn(contenders, 3) == {"a": 2.0, "b": 5.0}
    assert order == ["a", "b"] * 3


def test_contenders_that_disagree_stop_the_case(monkeypatch):
    monkeypatch.setattr(fullbatch, "RATE", 0.1)
    data = fullbatch._rows(500)
    right = fullbatch._ours(data, 10)
    monkeypatch.setattr(fullbatch, "_ours", lambda _data, _epochs: right)
    fullbatch._check_the_same(data)
    monkeypatch.setattr(fullbatch, "_loop", lambda data, _epochs: _other(data))
    with pytest.raises(AssertionError):
        fullbatch._check_the_same(data)


def _other(_data):
    import torch

    return torch.zeros(2, 3), torch.zeros(2)
