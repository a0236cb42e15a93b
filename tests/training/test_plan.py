"""What the eigenvalues say, against loops that are really run."""

from dataclasses import replace

import numpy as np
import pytest

from linreg import config_file
from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective
from linreg.training.convergence import parameters_after
from linreg.training.fit import fit
from linreg.training.plan import SHARES, best_rate, epochs_until, plan
from tests.support.tables import PRINTED_BIAS, PRINTED_WEIGHT, X5, X15, Y5, Y15, moments_of, rows_of
from tests.training.references import coordinates, torch_sgd

MOMENTUM = {
    "heavy ball": {"momentum": 0.6},
    "dampening": {"momentum": 0.6, "dampening": 0.5},
    "nesterov": {"momentum": 0.8, "nesterov": True},
}


def assert_a_loop_takes_the_epochs_foretold(x: np.ndarray, y: np.ndarray, config: TrainConfig, share: str) -> None:
    """The first at which ``torch.optim.SGD`` on the rows is within the share of the least loss."""
    z = coordinates(x, standardize=config.standardize)
    design = np.column_stack([np.ones(len(z)), z])
    penalty = config.weight_decay / 2

    def loss(theta: np.ndarray) -> float:
        return float(((design @ theta - y) ** 2).mean() + penalty * (theta[1:] ** 2).sum())

    h = design.T @ design / y.size + penalty * np.diag([0.0] + [1.0] * x.shape[1])
    least = loss(np.linalg.solve(h, design.T @ y / y.size))
    foretold = plan(moments_of(x, y), config).epochs_to[share]
    assert foretold is not None
    assert foretold > 1
    path = torch_sgd(z, y, replace(config, dtype="float64", epochs=foretold))
    within = [loss(theta) - least <= SHARES[share] * least for theta in path]
    assert within.index(True) == foretold


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(learning_rate=0.5),
        TrainConfig(learning_rate=0.05, seed=4),
        TrainConfig(learning_rate=0.98, seed=9),  # the largest direction swings around the optimum
        TrainConfig(learning_rate=0.1, weight_decay=0.5),
        TrainConfig(learning_rate=0.1, dtype="float64"),
        TrainConfig(learning_rate=0.5, dampening=0.5),  # without momentum it does nothing
    ],
)
@pytest.mark.parametrize("share", SHARES)
def test_the_epochs_foretold_are_those_a_loop_takes(config: TrainConfig, share: str) -> None:
    assert_a_loop_takes_the_epochs_foretold(X15, Y15, config, share)


def test_the_epochs_foretold_on_raw_columns_are_those_a_loop_takes() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 3)) * [1, 3, 5] + 1
    y = x @ rng.normal(size=(3, 2)) + rng.normal(size=(50, 2))
    config = TrainConfig(standardize=False, learning_rate=0.03)
    assert_a_loop_takes_the_epochs_foretold(x, y, config, "1%")


@pytest.mark.parametrize("kind", MOMENTUM)
def test_with_momentum_the_foretold_epochs_are_right_to_within_a_swing(kind: str) -> None:
    config = TrainConfig(learning_rate=0.05, dtype="float64", epochs=1500, **MOMENTUM[kind])
    objective = Objective.of(moments_of(X15, Y15), standardize=True)
    foretold = epochs_until(objective, config, 0.01)
    excess = fit(rows_of(X15, Y15), replace(config, trainer="manual")).excess_loss
    assert foretold is not None
    target = 0.01 * objective.optimum_loss
    assert excess[foretold] == pytest.approx(min(excess[foretold], target), rel=1e-9)
    assert excess[foretold - 1] > target
    first = next(e for e, value in enumerate(excess) if value <= target)
    assert 0.8 * foretold <= first <= foretold


def test_a_start_that_is_good_enough_needs_no_epoch() -> None:
    y = Y15 + 1e4 * np.random.default_rng(0).normal(size=Y15.shape)
    assert epochs_until(Objective.of(moments_of(X15, y)), TrainConfig(standardize=False, learning_rate=1e-5), 1e3) == 0


def test_the_first_table_takes_ten_million_epochs_unscaled_from_the_printed_weights_and_no_fewer_are_enough() -> None:
    printed = np.vstack([PRINTED_BIAS, PRINTED_WEIGHT.T])
    objective = Objective.of(moments_of(X5, Y5))
    config = TrainConfig(standardize=False, learning_rate=1e-5, dtype="float64")
    expected = plan(moments_of(X5, Y5), config, objective.model(printed))
    assert expected.largest_stable_learning_rate == pytest.approx(1.117e-4, abs=5e-8)
    assert expected.optimum_loss == pytest.approx(0.4831, abs=5e-5)
    assert expected.condition_number == pytest.approx(2.2e6, rel=0.03)
    needed = expected.epochs_to["1%"]
    assert needed == pytest.approx(10.6e6, abs=0.05e6)
    for epochs, enough in ((needed, True), (needed - 1, False)):
        theta = parameters_after(objective, printed, learning_rate=1e-5, epochs=epochs)
        assert (objective.excess_loss(theta) <= 0.01 * objective.optimum_loss) == enough
    assert epochs_until(objective, config, 0.01, objective.model(objective.optimum_DO)) == 0


NULL = {
    "mini batches": TrainConfig(batch_size=4),
    "a rate that diverges": TrainConfig(learning_rate=1e3),
    "a rate that diverges, by force": TrainConfig(learning_rate=1e3, force=True),
}


@pytest.mark.parametrize("case", NULL)
def test_no_number_of_epochs_is_given_where_there_is_none(case: str) -> None:
    assert plan(moments_of(X15, Y15), NULL[case]).epochs_to == {"1%": None, "0.1%": None}


def test_no_number_of_epochs_comes_within_a_share_of_nothing() -> None:
    slopes = np.random.default_rng(1).normal(size=(3, 2))
    for y in (X15 @ slopes + 1, np.zeros((15, 2)), np.full((15, 2), 0.1)):
        assert plan(moments_of(X15, y), TrainConfig()).epochs_to == {"1%": None, "0.1%": None}
    few = plan(moments_of(X15[:3], Y15[:3]), TrainConfig())
    assert few.epochs_to == {"1%": None, "0.1%": None}
    assert few.condition_number is None


def test_noise_a_hundred_millionth_of_the_signal_is_no_zero() -> None:
    y = X15[:, :1] + 1e-8 * np.random.default_rng(2).normal(size=(15, 1))
    assert plan(moments_of(X15, y), TrainConfig(learning_rate=0.3)).epochs_to["1%"] is not None


@pytest.mark.parametrize("standardize", [False, True])
def test_the_best_rate_is_the_one_no_neighbour_beats(standardize: bool) -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=standardize)
    h = np.linalg.eigvalsh(objective.factor_DD.T @ objective.factor_DD * 2 / 30)

    def slowest(rate: float) -> float:
        return float(np.abs(1 - rate * h).max())

    rate = best_rate(objective)
    assert slowest(rate) <= min(slowest(0.98 * rate), slowest(1.02 * rate)) + 1e-12


def test_constant_and_repeated_columns_are_named_and_told_what_follows() -> None:
    x = np.column_stack([X15, X15[:, 0], np.full(15, 0.1)])
    expected = plan(moments_of(x, Y15), TrainConfig(learning_rate=0.3))
    assert expected.deficient == ("x0", "x3", "x4")
    assert expected.condition_number is None
    assert any(line.startswith("constant: x4;") for line in expected.advice)
    assert any("x0, x3" in line and "x4" not in line and "not unique" in line for line in expected.advice)
    assert expected.epochs_to["1%"] is not None


def followed(advice: str, config: TrainConfig) -> TrainConfig:
    """The config after the ``--set`` words of a line of advice, the values read by their keys' types."""
    settings = [word.split("=") for word in advice.split() if word.startswith("train.")]
    return replace(config, **{key.removeprefix("train."): config_file.typed(key, text) for key, text in settings})


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(standardize=False, learning_rate=1e-5),
        TrainConfig(standardize=False, learning_rate=1e-5, epochs=10),
        TrainConfig(standardize=False, learning_rate=1e-5, momentum=0.9),
        TrainConfig(standardize=False, learning_rate=1e-5, momentum=0.9, nesterov=True),
        TrainConfig(standardize=False, learning_rate=1e-5, momentum=0.9, dampening=0.5),
        TrainConfig(standardize=False, learning_rate=1e-6, batch_size=4, trainer="builtin"),
        TrainConfig(standardize=False, learning_rate=1.0),
        TrainConfig(learning_rate=1e-4, weight_decay=0.1),
    ],
)
def test_who_follows_the_advice_gets_there_in_the_epochs_it_names(config: TrainConfig) -> None:
    line = next(a for a in plan(moments_of(X15, Y15), config).advice if a.startswith("--set"))
    epochs = int(line.split(" epochs")[0].split()[-1].replace(",", ""))
    advised = followed(line, config)
    assert ("train.epochs" in line) == (epochs > config.epochs)
    assert advised.epochs == max(epochs, config.epochs)
    result = fit(rows_of(X15, Y15), replace(advised, dtype="float64", epochs=epochs))
    assert result.excess_loss[-1] <= 0.01 * result.objective.optimum_loss * (1 + 1e-6)
    assert result.excess_loss[-2] > 0.01 * result.objective.optimum_loss


def test_a_rate_rounded_for_the_advice_stays_below_the_largest_stable_one() -> None:
    rng = np.random.default_rng(5)
    for seed in range(20):
        a, noise = np.random.default_rng(seed).normal(size=(2, 60, 1))
        x = np.hstack([a, a + 0.01 * noise])  # ill conditioned even when scaled
        y = x @ [[1.0], [1.0]] + rng.normal(size=(60, 1))
        expected = plan(moments_of(x, y), TrainConfig(learning_rate=1e-6))
        line = next(a for a in expected.advice if a.startswith("--set"))
        assert float(line.split("learning_rate=")[1].split()[0]) < expected.largest_stable_learning_rate


def test_advice_on_a_rate_that_diverges_or_epochs_that_are_too_few_names_the_numbers() -> None:
    lost = plan(moments_of(X15, Y15), TrainConfig(standardize=False, learning_rate=1.0))
    assert (
        lost.advice[0] == f"learning rate 1 cannot converge: choose one below {lost.largest_stable_learning_rate:.4g}"
    )
    slow = plan(moments_of(X15, Y15), TrainConfig(learning_rate=1e-3, epochs=10))
    assert slow.advice[0] == (
        f"within 1% of the optimum takes {slow.epochs_to['1%']:,} epochs at this rate; the config runs 10"
    )
    small = plan(moments_of(X15, Y15), TrainConfig(learning_rate=0.01, batch_size=4))
    assert small.advice[0].startswith("batches of 4 bear a learning rate up to about")


def test_a_good_config_is_left_alone_and_so_is_exact() -> None:
    best = best_rate(Objective.of(moments_of(X15, Y15), standardize=True))
    assert plan(moments_of(X15, Y15), TrainConfig(learning_rate=best)).advice == ()
    exact = plan(moments_of(X15, Y15), TrainConfig(trainer="exact", learning_rate=9.0))
    assert (exact.advice, exact.epochs_to) == ((), {"1%": 0, "0.1%": 0})
