"""The trained loss, its optimum and its curvature, against the rows themselves, scikit-learn and finite differences."""

import numpy as np
import pytest
from mpmath import mp
from sklearn.linear_model import LinearRegression, Ridge

from linreg.least_squares.objective import Objective, largest_stable_rate
from tests.support.tables import X15, Y15, moments_of
from tests.training.references import coordinates

CASES = [(s, d) for s in (False, True) for d in (0.0, 0.7)]


def trained(x: np.ndarray, *, standardize: bool) -> np.ndarray:
    """The design with its column of ones, in the trained coordinates."""
    return np.column_stack([np.ones(len(x)), coordinates(x, standardize=standardize)])


def loss_of_rows(z_ND: np.ndarray, y: np.ndarray, theta: np.ndarray, decay: float) -> float:
    return float(((z_ND @ theta - y) ** 2).mean() + decay / 2 * (theta[1:] ** 2).sum())


@pytest.mark.parametrize(("standardize", "decay"), CASES)
def test_the_loss_is_that_of_the_rows_at_any_parameters(standardize: bool, decay: float) -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=standardize, weight_decay=decay)
    z, rng = trained(X15, standardize=standardize), np.random.default_rng(0)
    for _ in range(5):
        theta = rng.normal(size=(4, 2))
        direct = loss_of_rows(z, Y15, theta, decay)
        assert objective.loss(theta) == pytest.approx(direct, rel=1e-11)
        assert objective.excess_loss(theta) == pytest.approx(direct - objective.optimum_loss, rel=1e-11)


@pytest.mark.parametrize(("standardize", "decay"), CASES)
def test_the_gradient_is_that_of_finite_differences_and_zero_at_the_optimum(standardize: bool, decay: float) -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=standardize, weight_decay=decay)
    z, theta = trained(X15, standardize=standardize), np.random.default_rng(1).normal(size=(4, 2))
    ours = objective.gradient(theta)
    step = np.zeros_like(theta)
    for i in np.ndindex(theta.shape):
        step[i] = 1e-3  # the loss is a parabola: the centred difference has no error of its own
        up, down = (loss_of_rows(z, Y15, theta + s * step, decay) for s in (1, -1))
        assert ours[i] == pytest.approx((up - down) / 2e-3, rel=1e-5, abs=1e-6)
        step[i] = 0.0
    at_zero = 2 * z.T @ Y15 / Y15.size
    at_optimum = 2 * z.T @ (z @ objective.optimum_DO) / Y15.size - at_zero
    at_optimum[1:] += decay * objective.optimum_DO[1:]
    assert np.abs(at_optimum).max() <= 1e-9 * np.abs(at_zero).max()


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("decay", [0.0, 1e-6, 0.3, 50.0])
def test_the_optimum_is_scikit_learns_linear_regression_or_ridge(decay: float, standardize: bool) -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=standardize, weight_decay=decay)
    z = trained(X15, standardize=standardize)
    peer = Ridge(alpha=decay * Y15.size / 2, solver="svd") if decay else LinearRegression()
    peer.fit(z[:, 1:], Y15)
    theta = np.vstack([peer.intercept_, peer.coef_.T])
    assert objective.optimum_DO == pytest.approx(theta, rel=1e-9 if decay == 0 else 1e-8)
    assert objective.optimum_loss == pytest.approx(loss_of_rows(z, Y15, theta, decay), rel=1e-11)
    assert objective.least_squares_mse == pytest.approx(Objective.of(moments_of(X15, Y15)).optimum_loss, rel=1e-12)
    assert decay or objective.least_squares_mse == objective.optimum_loss


@pytest.mark.parametrize(("standardize", "decay"), CASES)
def test_eigenvalues_and_basis_are_the_hessians(standardize: bool, decay: float) -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=standardize, weight_decay=decay)
    z = trained(X15, standardize=standardize)
    h = 2 * z.T @ z / Y15.size + decay * np.diag([0.0, 1.0, 1.0, 1.0])
    values, basis = objective.eigenvalues_D, objective.basis_DD
    with mp.workdps(50):
        truth = np.array([float(v) for v in mp.eigsy(mp.matrix(h.tolist()), eigvals_only=True)])[::-1]
    assert values[:-1] == pytest.approx(truth[:-1], rel=1e-10)
    assert values[-1] == pytest.approx(truth[-1], rel=1e-8)  # h itself was rounded, at a condition of 2e6
    assert basis @ np.diag(values) @ basis.T == pytest.approx(h, rel=1e-11, abs=1e-12 * values[0])
    assert objective.curvature_D == pytest.approx(np.diag(h), rel=1e-12)
    assert objective.condition_number == pytest.approx(truth[0] / truth[-1], rel=1e-8)


def test_the_smallest_eigenvalue_is_right_where_the_gram_matrix_has_lost_it() -> None:
    x, noise = np.random.default_rng(3).normal(size=(2, 200, 1))
    x = np.hstack([x, x + 1e-8 * noise])
    design = np.column_stack([np.ones(200), x])
    with mp.workdps(60):
        exact = mp.matrix(design.tolist())
        truth = [float(v) for v in mp.eigsy(exact.T * exact * 2 / 200, eigvals_only=True)]
    ours = Objective.of(moments_of(x, x[:, :1])).eigenvalues_D
    assert ours[::-1] == pytest.approx(truth, rel=1e-6)
    squared = np.linalg.eigvalsh(design.T @ design / 100)
    assert abs(squared[0] - truth[0]) > 0.1 * truth[0]  # what the record is kept as a factor for


def test_excess_is_a_sum_of_squares_and_keeps_its_digits_next_to_the_optimum() -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=True)
    away = np.random.default_rng(2).normal(size=(4, 2))
    far, near = (objective.excess_loss(objective.optimum_DO + s * away) for s in (1.0, 1e-6))
    assert near == pytest.approx(1e-12 * far, rel=1e-7)
    assert objective.excess_loss(objective.optimum_DO) == 0


def test_excess_mse_leaves_the_penalty_out() -> None:
    decayed = Objective.of(moments_of(X15, Y15), standardize=True, weight_decay=0.7)
    z, theta = trained(X15, standardize=True), np.random.default_rng(3).normal(size=(4, 2))
    best = ((LinearRegression().fit(X15, Y15).predict(X15) - Y15) ** 2).mean()
    assert decayed.excess_mse(theta) == pytest.approx(((z @ theta - Y15) ** 2).mean() - best, rel=1e-11)
    plain = Objective.of(moments_of(X15, Y15), standardize=True)
    assert plain.excess_mse(theta) == plain.excess_loss(theta)


def test_the_model_predicts_in_the_datas_own_units() -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=True)
    theta = np.random.default_rng(4).normal(size=(4, 2))
    model = objective.model(theta)
    assert model.predict(X15) == pytest.approx(trained(X15, standardize=True) @ theta, rel=1e-12)
    assert (model.features, model.targets) == (("temp", "rainfall", "humidity"), ("apples", "oranges"))


@pytest.mark.parametrize("standardize", [False, True])
def test_a_constant_and_a_repeated_column_leave_eigenvalues_of_exactly_zero(standardize: bool) -> None:
    x = np.column_stack([X15, X15[:, 0], np.full(15, 0.1)])
    objective = Objective.of(moments_of(x, Y15), standardize=standardize)
    assert (objective.eigenvalues_D == 0).sum() == 2
    assert objective.condition_number is None
    assert objective.optimum_loss == pytest.approx(Objective.of(moments_of(X15, Y15)).optimum_loss, rel=1e-10)
    z = trained(np.where(np.ptp(x, axis=0) > 0, x, np.arange(15.0)[:, None]), standardize=standardize)
    z[:, 5] = 0.0 if standardize else 0.1
    assert ((z @ objective.optimum_DO - Y15) ** 2).mean() == pytest.approx(objective.optimum_loss, rel=1e-9)


def test_weight_decay_makes_a_repeated_column_unique_again() -> None:
    x = np.column_stack([X15, X15[:, 0]])
    objective = Objective.of(moments_of(x, Y15), standardize=True, weight_decay=0.01)
    peer = Ridge(alpha=0.01 * Y15.size / 2, solver="svd").fit((x - x.mean(axis=0)) / x.std(axis=0), Y15)
    assert objective.optimum_DO[1:] == pytest.approx(peer.coef_.T, rel=1e-9)
    assert objective.optimum_DO[1] == pytest.approx(objective.optimum_DO[4], rel=1e-9)
    assert objective.condition_number is not None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.5},
        {"momentum": 0.95},
        {"momentum": 0.9, "dampening": 0.6},
        {"momentum": 0.5, "nesterov": True},
        {"momentum": 0.95, "nesterov": True},
        {"dampening": 0.5},
    ],
)
def test_torch_sgd_converges_below_the_largest_stable_rate_and_diverges_above_it(options: dict[str, float]) -> None:
    """One SGD step on a parabola is a linear map: torch's own, read off two starts, and its largest root."""
    import torch

    def radius(rate: float) -> float:
        columns = []
        for position, velocity in ((1.0, 0.0), (0.0, 1.0)):
            p = torch.tensor([position], dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.SGD([p], lr=rate, **options)  # type: ignore[arg-type]
            optimizer.state[p]["momentum_buffer"] = torch.tensor([velocity], dtype=torch.float64)
            (3.0 / 2 * p * p).sum().backward()
            optimizer.step()
            columns.append([p.item(), optimizer.state[p]["momentum_buffer"].item() if options.get("momentum") else 0.0])
        return float(np.abs(np.linalg.eigvals(np.array(columns).T)).max())

    limit = largest_stable_rate(3.0, **options)
    assert radius(0.9999 * limit) < 1 < radius(1.0001 * limit)
    assert radius(limit) == pytest.approx(1, abs=1e-12)
