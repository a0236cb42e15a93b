"""MSE, RMSE, MAE and R2 against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as peer

from linreg.metrics import regression_metrics, squared_errors


def test_all_four_agree_with_scikit_learn_over_all_targets_and_for_each_under_any_prefix() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 3)) * [1, 10, 100]
    p = y + rng.normal(size=(50, 3))
    ours = regression_metrics(y, p, ["a", "b", "c.d"])
    assert regression_metrics(y, p, ["a", "b", "c.d"], prefix="mean_") == {
        f"mean_{name.removeprefix('test_')}": value for name, value in ours.items()
    }
    assert {type(v) for v in ours.values()} == {float}
    assert ours["test_mse"] == pytest.approx(peer.mean_squared_error(y, p), rel=1e-12)
    assert ours["test_rmse"] == pytest.approx(peer.mean_squared_error(y, p) ** 0.5, rel=1e-12)
    assert ours["test_mae"] == pytest.approx(peer.mean_absolute_error(y, p), rel=1e-12)
    assert ours["test_r2"] == pytest.approx(peer.r2_score(y, p), rel=1e-12)
    for i, name in enumerate(["a", "b", "c.d"]):
        assert ours[f"test_mse.{name}"] == pytest.approx(peer.mean_squared_error(y[:, i], p[:, i]), rel=1e-12)
        assert ours[f"test_rmse.{name}"] == pytest.approx(peer.root_mean_squared_error(y[:, i], p[:, i]), rel=1e-12)
        assert ours[f"test_mae.{name}"] == pytest.approx(peer.mean_absolute_error(y[:, i], p[:, i]), rel=1e-12)
        assert ours[f"test_r2.{name}"] == pytest.approx(peer.r2_score(y[:, i], p[:, i]), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1])
def test_r2_of_a_target_that_does_not_vary_is_zero_however_well_it_is_met(value: float) -> None:
    y = np.full((3, 1), value)
    for predicted in (y, y + 1e-12, y + 1):
        assert regression_metrics(y, predicted, ["y"])["test_r2"] == 0
        assert regression_metrics(y[:1], predicted[:1], ["y"])["test_r2"] == 0


def test_a_target_that_does_not_vary_is_left_out_of_the_mean_r2() -> None:
    y = np.column_stack([[1.0, 2.0, 4.0], np.full(3, 0.1)])
    metrics = regression_metrics(y, y + np.array([0.5, 0.0]), ["varies", "constant"])
    assert (metrics["test_r2"], metrics["test_r2.constant"]) == (metrics["test_r2.varies"], 0)


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        regression_metrics(np.ones((4, 1)), np.ones(4), ["y"])


def test_squared_errors_average_to_the_mse() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.normal(size=(2, 20, 3))
    assert squared_errors(y, p).shape == (20, 3)
    assert squared_errors(y, p).mean() == pytest.approx(peer.mean_squared_error(y, p), rel=1e-14)
