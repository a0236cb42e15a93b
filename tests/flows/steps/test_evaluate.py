"""What a model is judged beside, what the gate then says, why it is not compared, why it has no standard errors."""

from dataclasses import replace

import pytest

from flows.steps.ingest import ingest
from flows.tracking import registry
from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.ingest.dataset import read_dataset
from tests.support.flows import EXACT, noisy, noisy_config
from tests.support.steps import register_run, train

GRAM = TrainConfig(trainer="gram", learning_rate=0.3, epochs=50, device="cpu", dtype="float64")
GAPS = "gaps.csv"  # the same rows, some of them with missing values


@pytest.fixture
def store(folder, store):
    noisy(folder / "noisy.csv")
    noisy(folder / "gaps.csv", gaps=True)
    (folder / "days").mkdir()
    for day in range(33):
        noisy(folder / "days" / f"{day}.csv", 12, seed=day)
    noisy(folder / "narrow.csv").drop(columns="c").to_csv(folder / "narrow.csv", index=False)
    return store


def held_out(path="noisy.csv", config=EXACT, **data):
    return noisy_config(path, config, **{"test_fraction": 0.4} | data)


def warm(ref):
    return held_out(config=TrainConfig(trainer="gram", epochs=1, learning_rate=1e-3, device="cpu", warm_start=ref))


OTHER = replace(noisy_config(), model="other")  # trained on today's test rows too
NIGHTS = {  # the configs of one night after another, and what is said of the last
    "better": ([held_out(features=("a",)), held_out()], "took over from version 1: "),
    "worse": ([held_out(), held_out(features=("a",))], "times the loss"),
    "equal": ([held_out(), held_out(config=replace(EXACT, seed=1))], "the new one is equally good, 95% interval"),
    "better by file": ([held_out("days", features=("a",)), held_out("days")], " partitions of "),
    "another split": (
        [held_out(), held_out(split_seed=1)],
        "kept version 1, not compared: version 1 was split with data.split_seed 0, today's with 1: it may know today's "
        "test rows; `linreg promote noisy/2` decides by hand",
    ),
    "fewer training rows": (
        [noisy_config(), noisy_config(validation_fraction=0.5)],
        "version 1 was split with data.validation_fraction 0, today's with 0.5: the two had different training rows;",
    ),
    "a column is gone": ([held_out(), held_out("narrow.csv", features=("a", "b"))], "version 1 needs the columns c, "),
    "gaps that it cannot fill": (
        [held_out(), held_out(GAPS, missing="mean")],
        "version 1 takes no missing values, and today's rows have some",
    ),
    "rows with gaps left out": ([held_out(), held_out(GAPS, missing="drop")], "95% interval"),
    "gaps that it fills": (
        [held_out(GAPS, missing="mean"), held_out(GAPS, missing="drop", features=("c",))],
        "95% interval",
    ),
    "a start from one that started from one that knows": (
        [held_out(), OTHER, warm("other"), warm("noisy/2")],
        "not compared: its test rows may be known to it: it started from other/1, which was split with "
        "data.test_fraction 0, today's with 0.4; `linreg promote noisy/3`",
    ),
    "a start that knows nothing": ([held_out(), warm("noisy/1")], "95% interval"),
}


@pytest.mark.parametrize("case", NIGHTS)
def test_a_champion_is_compared_where_it_can_be_and_kept_with_the_reason_where_not(store, case):
    configs, words = NIGHTS[case]
    for config in configs:
        training = train(store, config)
        result = register_run(training)
    reason, metrics = result.verdict.reason, training.evaluation.metrics
    assert words in reason
    assert ("not compared" in reason) == ("95% interval" not in reason)
    assert result.verdict.decision == ("promoted" if case.startswith("better") else "kept")
    assert ("baseline.champion.test_mse" in metrics) == ("not compared: version 1 " not in reason)


NOT_VALID = {
    "ridge": (noisy_config(train=replace(EXACT, weight_decay=0.1)), "regularised (train.weight_decay = 0.1)"),
    "lasso": (noisy_config(train=replace(EXACT, l1=0.1)), "regularised (train.l1 = 0.1)"),
    "gaps": (noisy_config(GAPS, missing="mean"), "missing values were filled in as if measured"),
    "unfinished": (noisy_config(train=replace(GRAM, epochs=3)), "standard errors from the optimum"),
    "patient": (
        noisy_config(train=replace(GRAM, epochs=500, patience=5), validation_fraction=0.3),
        "the validation rows chose when to stop (train.patience = 5)",
    ),
    "warm": (
        noisy_config(train=replace(GRAM, warm_start="noisy")),
        "training started from noisy/1, whose rows count too",
    ),
}


@pytest.mark.parametrize("case", NOT_VALID)
def test_where_errors_would_not_be_valid_the_reason_stands_in_their_place(store, case):
    config, words = NOT_VALID[case]
    if config.train.warm_start:
        register_run(train(store, noisy_config()))
    training = train(store, config)
    inference = training.evaluation.inference
    assert words in inference.inference
    assert words in store.client.get_run(training.run.run_id).data.tags["inference"]
    assert "residual_standard_error.y" not in training.evaluation.metrics
    target = inference.targets["y"].to_json()
    for coefficient in (target["intercept"], *target["coefficients"].values()):
        assert coefficient["estimate"] is not None
        assert all(coefficient[key] is None for key in ("standard_error", "t", "p", "low", "high"))


def test_thirty_files_give_errors_clustered_by_file_beside_the_classical_ones(store):
    intercept = train(store, noisy_config("days")).evaluation.inference.targets["y"].intercept
    assert intercept.clustered.standard_error != intercept.errors.standard_error


@pytest.mark.parametrize("role", ["validation", "test"])
def test_a_row_too_far_to_be_squared_is_the_users_error(store, folder, role):
    config = noisy_config(train=GRAM, **{f"{role}_fraction": 0.3})
    frame = noisy(folder / "noisy.csv")
    far = getattr(read_dataset(config.data), role).select(["a"])[0, 0]
    frame["y"] *= 1e6
    frame.loc[frame["a"] == far, "a"] = 9e149
    frame.to_csv(folder / "noisy.csv", index=False)
    with pytest.raises(UserError, match="too far from the training rows to be squared"):
        train(store, config)


def test_a_warm_start_from_what_is_not_there_is_the_users_error(store):
    register_run(train(store, noisy_config()))
    for ref, line in {
        "other@champion": "no model 'other'",
        "noisy/7": "has no version 7",
        "noisy@prod": "has no alias 'prod'",
        "a/b/c": "'a/b/c' names no model",
    }.items():
        with pytest.raises(UserError, match=line):
            ingest(noisy_config(train=replace(GRAM, warm_start=ref)), store)


def test_versions_without_a_champion_are_no_reason_to_stay_dead(store, folder):
    config = noisy_config(train=replace(GRAM, warm_start="noisy"))
    register_run(train(store, config))
    store.client.delete_registered_model_alias("noisy", "champion")
    noisy(folder / "noisy.csv", rows=400)
    training = train(store, config)
    assert training.run_input.warm is None
    assert register_run(training).verdict.decision == "promoted"
    assert registry.champion(store, "noisy").version == 2
