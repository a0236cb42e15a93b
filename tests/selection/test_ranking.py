"""What ranks the models of a sweep: validation rows, or folds as records, against fits and k-fold errors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.rows.rows import Rows
from linreg.selection.fit_many import fit_many
from linreg.selection.folds import Pair
from linreg.selection.kfold import kfold_error
from linreg.selection.ranking import (
    KFOLD,
    VALIDATION,
    Loss,
    best_first,
    fold_pairs,
    kfold_losses,
    validation_loss,
    way_of,
)
from linreg.training.fit import Fit, fit
from tests.support.flows import crops
from tests.support.tables import moments_of, record_with_gaps, rows_of

RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(120, 4)) * [1, 5, 0.2, 2] + [0, 40, 3, -1]
Y = X @ RANDOM.normal(size=(4, 2)) + RANDOM.normal(size=(120, 2))
FOLD = RANDOM.integers(0, 5, size=120)
WEIGHT = RANDOM.uniform(0.2, 3, size=120)
FOLDS = [rows_of(X[k == FOLD], Y[k == FOLD]) for k in range(5)]
GRAM = TrainConfig(trainer="gram", learning_rate=0.2, epochs=60, device="cpu")


def pairs_of(folds: Sequence[Rows]) -> list[Pair]:
    return fold_pairs([record_with_gaps(rows) for rows in folds])


def by_hand(config: TrainConfig) -> tuple[float, float]:
    """The error of each fold by a training on the rows of the others: its mean over all rows, and standard error."""
    errors = []
    for k in range(5):
        model = fit(rows_of(X[k != FOLD], Y[k != FOLD]), config).model
        errors.append(((model.predict(X[k == FOLD]) - Y[k == FOLD]) ** 2).mean())
    share = np.bincount(FOLD) / len(FOLD)
    mean = share @ errors
    return float(mean), float(np.sqrt(share @ (np.array(errors) - mean) ** 2 / 4))


OPTIONS = {
    "few epochs": {"epochs": 5},
    "many epochs": {"epochs": 400},
    "momentum": {"momentum": 0.8, "learning_rate": 0.05},
    "ridge": {"weight_decay": 0.3},
    "lasso": {"l1": 0.2},
    "cosine": {"schedule": "cosine"},
    "tolerance": {"tolerance": 0.05},
    "raw columns": {"standardize": False, "learning_rate": 1e-4},
}


def test_a_descents_k_fold_loss_is_that_of_trainings_on_the_rows_of_the_other_folds() -> None:
    configs = [replace(GRAM, **options) for options in OPTIONS.values()]
    for config, loss in zip(configs, kfold_losses(pairs_of(FOLDS), configs), strict=True):
        assert isinstance(loss, Loss)
        expected, standard_error = by_hand(config)
        assert loss.value == pytest.approx(expected, rel=1e-9)
        assert loss.standard_error == pytest.approx(standard_error, rel=1e-7)


def test_full_batches_over_the_rows_are_ranked_by_the_same_walk() -> None:
    configs = [replace(GRAM, trainer=t, dtype="float64") for t in ("manual", "builtin", "gram", "auto")]
    losses = kfold_losses(pairs_of(FOLDS), configs)
    assert len({loss.value for loss in losses if isinstance(loss, Loss)}) == 1
    assert losses[0].value == pytest.approx(by_hand(configs[0])[0], rel=1e-9)  # type: ignore[union-attr]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_exact_optima_have_their_k_fold_errors(scaled: bool, weighted: bool) -> None:
    inside = [k == FOLD for k in range(5)]
    pairs = pairs_of([rows_of(X[i], Y[i], WEIGHT[i] if weighted else None) for i in inside])
    penalties = [(0.0, 0.0), (0.1, 0.0), (2.0, 0.0), (0.3, 0.2)]
    configs = [TrainConfig(trainer="exact", standardize=scaled, weight_decay=d, l1=s) for d, s in penalties]
    for config, loss in zip(configs, kfold_losses(pairs, configs), strict=True):
        assert isinstance(loss, Loss)
        errors = kfold_error([test for _, test in pairs], config)
        assert loss.value == pytest.approx(errors.mse, rel=1e-9)
        assert loss.standard_error == pytest.approx(errors.standard_error, rel=1e-7)


def test_a_descent_that_a_folds_record_makes_diverge_has_no_loss_and_stops_no_other() -> None:
    lost, fine = kfold_losses(pairs_of(FOLDS), [replace(GRAM, learning_rate=30.0, force=True), GRAM])
    assert isinstance(lost, UserError)
    assert "in the training part of fold 1 of 5, training diverged" in str(lost)
    assert isinstance(fine, Loss)


def test_the_validation_loss_is_the_mean_squared_error_of_the_models_that_are_kept() -> None:
    validation = moments_of(X[:30], Y[:30])
    configs = [replace(GRAM, patience=3, learning_rate=r) for r in (0.1, 0.4)] + [TrainConfig(trainer="exact")]
    for result in fit_many(rows_of(X[30:], Y[30:]), configs, validation=validation):
        assert isinstance(result, Fit)
        error = ((result.model.predict(X[:30]) - Y[:30]) ** 2).mean()
        loss = validation_loss(result, validation).value
        assert loss == pytest.approx(error, rel=1e-9)
        assert loss == pytest.approx(result.validation_loss[result.epochs], rel=1e-12)


def test_of_equal_losses_the_earlier_comes_first_and_those_without_one_do_not_count() -> None:
    losses = [Loss(2.0), None, Loss(1.0), Loss(1.0), Loss(3.0)]
    assert best_first(losses) == [2, 3, 0, 4]
    assert best_first([None, None]) == []


def test_validation_rows_rank_where_there_are_some_and_folds_where_not() -> None:
    held = crops(data={"validation_fraction": 0.3}, train={"trainer": "builtin", "batch_size": 4})
    assert way_of([held, held]) == VALIDATION
    assert way_of([crops(), crops(train={"trainer": "exact"})]) == KFOLD


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"trainer": "builtin", "batch_size": 4}, r"mini-batches.*batch_size = 4.*set data\.validation_fraction"),
        ({"warm_start": "crop-yield"}, r"warm_start.*knows the rows of every fold.*data\.validation_fraction"),
    ],
)
def test_what_folds_cannot_rank_is_refused_with_the_remedy(train: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        way_of([crops(), crops(train=train)])


def test_too_few_rows_for_folds_are_told_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"the models cannot be ranked: k-fold.*data\.validation_fraction"):
        pairs_of([rows_of(X[:3], Y[:3]), rows_of(X[3:6], Y[3:6])])


def test_a_rate_that_is_found_ranks_as_the_optimum_that_it_ends_at() -> None:
    found, forced = TrainConfig(epochs=40), TrainConfig(epochs=40, force=True)
    losses = kfold_losses(pairs_of(FOLDS), [TrainConfig(trainer="exact"), found, forced])
    assert losses[0] == losses[1]
    assert by_hand(found)[0] == pytest.approx(losses[0].value, rel=1e-4)
    assert losses[2].value == pytest.approx(losses[0].value, rel=1e-4)
