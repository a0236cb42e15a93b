"""The grid of a sweep: what it is read as, which configs come of it, and what is refused with which words."""

import re

import pytest

from linreg.errors import UserError
from linreg.selection import grid
from tests.support.flows import crops


def test_values_are_read_by_the_type_of_their_key() -> None:
    texts = ["train.learning_rate=1e-2, 1", "train.seed=0,7", "train.nesterov=true,false", "train.trainer=gram,exact"]
    values = grid.read(texts)
    assert values == {
        "train.learning_rate": [0.01, 1.0],
        "train.seed": [0, 7],
        "train.nesterov": [True, False],
        "train.trainer": ["gram", "exact"],
    }
    assert [type(v) for v in values["train.learning_rate"]] == [float, float]


def test_members_are_the_product_with_the_last_key_running_fastest() -> None:
    config = crops(train={"epochs": 5})
    models = grid.members(config, {"train.learning_rate": [0.1, 0.2], "train.seed": [0, 1, 2]})
    values = [(m.config.train.learning_rate, m.config.train.seed) for m in models]
    assert values == [(r, s) for r in (0.1, 0.2) for s in (0, 1, 2)]
    assert models[1].label == "learning_rate=0.1 seed=1"
    assert all(m.config.train.epochs == 5 and m.config.data == config.data for m in models)


def test_a_tolerance_that_is_not_named_goes_with_each_rate() -> None:
    for base in ({"learning_rate": "auto"}, {"learning_rate": 0.3}):
        models = grid.members(crops(train=base), {"train.learning_rate": ["auto", 0.1]})
        assert [m.config.train.tolerance for m in models] == ["auto", 0.0]
    named = grid.members(crops(train={"tolerance": 1e-3}), {"train.learning_rate": ["auto", 0.1]})
    assert [m.config.train.tolerance for m in named] == [1e-3, 1e-3]
    assert grid.read(["train.learning_rate=auto,0.1"]) == {"train.learning_rate": ["auto", 0.1]}


def test_whole_numbers_of_a_form_become_the_numbers_that_a_config_holds() -> None:
    (member,) = grid.members(crops(), {"train.learning_rate": [1]})
    assert member.config.train.learning_rate == 1.0
    assert isinstance(member.config.train.learning_rate, float)


def test_the_config_may_make_sense_with_the_grids_values_alone() -> None:
    texts = ["train.learning_rate=0.1,0.2"]
    assert grid.first([*texts, "train.seed= 3 ,4"]) == ["train.learning_rate=0.1", "train.seed=3"]


WRONG = {
    "no value list": (["train.seed"], "not of the form"),
    "empty list": (["train.seed="], "lacks a value"),
    "a value left out": (["train.seed=1,,2"], "lacks a value"),
    "unknown key": (["train.learning_rat=1"], "did you mean 'learning_rate'"),
    "unknown section": (["trian.seed=1"], "did you mean 'train'"),
    "a section": (["train=1"], "is a section"),
    "a wrong type": (["train.seed=1,a"], "train.seed must be a whole number, not 'a'"),
    "a key named twice": (["train.seed=1", "train.seed=2"], "twice"),
    "data": (["data.split_seed=1,2"], "share one reading of one data set"),
    "the gate": (["gate.max_rmse=1,2"], "trains no model"),
    "the model": (["model=a,b"], "candidates for one name"),
    "the experiment": (["experiment=a,b"], "trains no model"),
    "the device": (["train.device=cpu,cuda"], "where a model is trained is not what it is"),
    "a warm start": (["train.warm_start=m/1,m/2"], "start alike"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_name(case: str) -> None:
    texts, words = WRONG[case]
    with pytest.raises(UserError, match=re.escape(words)):
        grid.read(texts)


def test_a_key_in_set_and_grid_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.seed is in --set and in --grid"):
        grid.read(["train.seed=1,2"], ["train.epochs=5", "train.seed = 3"])


MAKES_NO_SENSE = {
    "nothing": ({}, "names no key"),
    "no value": ({"train.seed": []}, "gives train.seed no value"),
    "the same twice": ({"train.learning_rate": [0.1, 1e-1]}, "the value 0.1 twice"),
    "too many": ({"train.seed": list(range(101)), "train.epochs": list(range(1, 11))}, "1,010 models, more than 1,000"),
    "a value out of range": ({"train.momentum": [0.5, 1.0]}, "momentum=1.0: train.momentum must be"),
    "values that do not go together": (
        {"train.momentum": [0.9, 0.0], "train.nesterov": [True]},
        "the model with momentum=0.0 nesterov=true: train.nesterov needs",
    ),
    "another section": ({"data.missing": ["drop"]}, "cannot be in a grid"),
    "a wrong type": ({"train.seed": [True]}, "train.seed must be a whole number"),
}


@pytest.mark.parametrize("case", MAKES_NO_SENSE)
def test_a_grid_whose_models_make_no_sense_is_refused(case: str) -> None:
    values, words = MAKES_NO_SENSE[case]
    with pytest.raises(UserError, match=re.escape(words)):
        grid.members(crops(), values)


def test_a_thousand_models_are_taken() -> None:
    models = grid.members(crops(), {"train.seed": list(range(100)), "train.epochs": list(range(1, 11))})
    assert len({m.config.train for m in models}) == 1000
