"""The L1 optimum against scikit-learn's coordinate descent and against its own optimality conditions."""

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.elastic_net import l1_optimum
from linreg.least_squares.objective import Objective
from linreg.training.fit import fit
from tests.support.tables import X15, Y15, moments_of, rows_of


def violation(x_NF: np.ndarray, y_N: np.ndarray, w_F: np.ndarray, strength: float) -> float:
    """How far the optimality conditions of ``|x w - y|^2 + strength |w|_1`` are missed, as a share of the strength."""
    gradient = 2 * x_NF.T @ (x_NF @ w_F - y_N)
    off = np.where(w_F != 0, np.abs(gradient + strength * np.sign(w_F)), np.maximum(np.abs(gradient) - strength, 0))
    return float(off.max() / strength)


def hard(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Centred rows: mixed, repeated, fewer than the features, badly scaled, and a penalty from weak to nearly all."""
    rng = np.random.default_rng(seed)
    n, f = int(rng.integers(3, 40)), int(rng.integers(1, 25))
    x = rng.normal(size=(n, f))
    if seed % 3 == 0:
        x = x @ rng.normal(size=(f, f))
    if seed % 4 == 0:
        x[:, -1] = x[:, 0]
    if seed % 5 == 0:
        x = x * 10.0 ** rng.uniform(-3, 3, size=f)
    y = x @ (rng.normal(size=f) * (rng.random(f) < 0.5)) + rng.normal(size=n)
    x, y = x - x.mean(axis=0), y - y.mean()
    return x, y, float(10 ** rng.uniform(-4, 0) * np.abs(2 * x.T @ y).max())


def factor_of(x: np.ndarray) -> np.ndarray:
    return np.triu(np.linalg.qr(np.vstack([x, np.zeros((x.shape[1],) * 2)]), mode="r"))


@pytest.mark.parametrize("seed", range(120))
def test_the_optimality_conditions_hold_on_hard_problems(seed: int) -> None:
    x, y, strength = hard(seed)
    smooth = np.linalg.lstsq(x, y, rcond=None)[0]
    weight = l1_optimum(factor_of(x), smooth[:, None], strength)[:, 0]
    assert violation(x, y, weight, strength) < 1e-8


def test_weights_are_zero_to_the_bit_and_all_of_them_above_the_largest_correlation() -> None:
    x, y, _ = hard(1)
    largest = float(np.abs(2 * x.T @ y).max())
    smooth = np.linalg.lstsq(x, y, rcond=None)[0][:, None]
    assert not l1_optimum(factor_of(x), smooth, largest * (1 + 1e-9)).any()
    assert np.count_nonzero(l1_optimum(factor_of(x), smooth, largest * 0.999)) == 1


def test_a_constant_column_gets_no_weight() -> None:
    x = np.column_stack([np.arange(6.0) - 2.5, np.zeros(6)])
    weight = l1_optimum(factor_of(x), np.array([[2.0], [0.0]]), 0.1)
    assert weight[1, 0] == 0
    assert weight[0, 0] == pytest.approx(2.0 - 0.05 / (x[:, 0] @ x[:, 0]), rel=1e-12)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("l1", [0.05, 0.8, 20.0])
def test_exact_is_scikit_learns_lasso_and_elastic_net(l1: float, weight_decay: float) -> None:
    """Ours: 1/(N O) |r|^2 + decay/2 |W|^2 + l1 |W|_1; theirs: 1/(2 N) |r|^2 + alpha (ratio |W|_1 + ...)."""
    z = (X15 - X15.mean(axis=0)) / X15.std(axis=0)
    o = Y15.shape[1]
    alpha, ratio = (l1 + weight_decay) * o / 2, l1 / (l1 + weight_decay)
    kind = ElasticNet(alpha=alpha, l1_ratio=ratio) if weight_decay else Lasso(alpha=alpha)
    peer = kind.set_params(tol=1e-14, max_iter=1_000_000).fit(z, Y15)
    config = TrainConfig(trainer="exact", standardize=True, l1=l1, weight_decay=weight_decay)
    model = fit(rows_of(X15, Y15), config).model
    assert model.weight_OF * X15.std(axis=0) == pytest.approx(peer.coef_, rel=1e-6, abs=1e-7)
    assert model.predict(X15) == pytest.approx(peer.predict(z), rel=1e-7)
    assert ((model.weight_OF == 0) == (peer.coef_ == 0)).all()


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_proximal_descent_goes_to_the_optimum_and_its_excess_to_zero(weight_decay: float, standardize: bool) -> None:
    x = X15 / 50 - 1.5
    options = {"standardize": standardize, "l1": 0.4, "weight_decay": weight_decay, "dtype": "float64"}
    exact = fit(rows_of(x, Y15), TrainConfig(trainer="exact", **options))
    walked = fit(rows_of(x, Y15), TrainConfig(trainer="gram", learning_rate=0.3, epochs=40_000, **options))
    assert walked.excess_loss[-1] < 1e-20 * walked.train_loss[-1]
    assert walked.model.weight_OF == pytest.approx(exact.model.weight_OF, rel=1e-9, abs=1e-12)
    assert ((walked.model.weight_OF == 0) == (exact.model.weight_OF == 0)).all()
    floor = 1e-20 * walked.train_loss[-1]  # below it, rounding decides
    assert all(a >= b >= 0 or 0 <= b < floor for a, b in zip(walked.excess_loss, walked.excess_loss[1:], strict=False))


def test_the_excess_is_the_difference_of_two_losses_where_that_can_be_taken() -> None:
    rng = np.random.default_rng(2)
    objective = Objective.of(moments_of(X15, Y15), standardize=True, weight_decay=0.2, l1=3.0)
    z = (X15 - X15.mean(axis=0)) / X15.std(axis=0)

    def loss(theta: np.ndarray) -> float:
        residual = theta[0] + z @ theta[1:] - Y15
        return float((residual**2).mean() + 0.1 * (theta[1:] ** 2).sum() + 3.0 * np.abs(theta[1:]).sum())

    best = loss(objective.optimum_DO)
    assert objective.optimum_loss == pytest.approx(best, rel=1e-12)
    for _ in range(20):
        theta = rng.normal(size=(4, 2)) * 30
        assert objective.excess_loss(theta) == pytest.approx(loss(theta) - best, rel=1e-10)
    assert objective.excess_loss(objective.optimum_DO) == 0
    near = objective.optimum_DO + 1e-9 * rng.normal(size=(4, 2))
    assert 0 < objective.excess_loss(near) < 1e-8


def test_l1_with_momentum_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.l1 and train\.momentum do not go together"):
        fit(rows_of(X15, Y15), TrainConfig(trainer="gram", l1=0.1, momentum=0.5))
