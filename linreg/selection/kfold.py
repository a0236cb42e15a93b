"""k-fold validation: what a config's model does on rows it has not seen, and which weight decay would do best.

All of it comes from the record of each fold; no row is read again, and each model is an exact optimum.

    folds = record_dataset(config.data, held=(), folds=FOLDS).folds
    cross_validation(enough(folds), config.train)

Shapes: K folds, F features, O targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments, merge
from linreg.section import LARGEST
from linreg.selection.folds import (
    FoldErrors,
    Pair,
    Solver,
    model_error,
    paired_gain,
    parts,
    refusal_reason,
    solver_errors,
)
from linreg.selection.ridge_path import RidgePath, eigenvalues, grid, path_of
from linreg.threads import one_thread

NOISE = 2.0  # standard errors, of a difference paired by fold, that a gain must exceed to be told as one


@dataclass(frozen=True)
class CrossValidation:
    """What k-fold validation says of a config.

    Args:
        trained: the errors of the config's own optimum.
        mean: those of the mean predictor.
        in_sample_O: the mean squared error of the config's optimum on the rows it is the optimum of, a target each.
        path: the ridge path, the config's own weight decay on it.
        weight_decay, l1: the config's; the path is without L1.
    """

    trained: FoldErrors
    mean: FoldErrors
    in_sample_O: Float
    path: RidgePath
    weight_decay: float
    l1: float = 0.0

    @property
    def folds(self) -> int:
        """How many folds held rows."""
        return len(self.trained.weight_K)

    @property
    def in_sample_rmse(self) -> float:
        """Over all rows and targets; below the k-fold one by the optimism of judging on the training rows."""
        return float(np.sqrt(self.in_sample_O.mean()))

    @property
    def advice(self) -> tuple[str, ...]:
        """What follows, a line each; ``findings`` says it in numbers."""
        if not self.trained.variance_O.any():
            return ("the targets do not vary: there is nothing to learn, and no weight decay to choose",)
        gain, error = paired_gain(self.mean.error_KO, self.trained.error_KO, self.trained.weight_K)
        lines = [] if self.l1 else [_on_weight_decay(self)]
        if gain <= NOISE * error:
            lines.append("the config's model does not beat the mean of the targets by more than the noise of the folds")
        return tuple(lines)

    @property
    def findings(self) -> str:
        """The errors in one line."""
        return (
            f"{self.folds}-fold RMSE {self.trained.rmse:.4g} (standard error {self.trained.rmse_standard_error:.2g}), "
            f"in-sample {self.in_sample_rmse:.4g}, always the mean {self.mean.rmse:.4g}"
        )


def cross_validation(folds: Sequence[Moments | MomentsWithGaps], config: TrainConfig) -> CrossValidation | str:
    """Validate a config on the records of its folds; where that is not possible, the reason in words.

    Args:
        folds: the record of each; those that hold no row are left out.
        config: the training; its optimum is judged, not the descent towards it.

    >>> import numpy as np
    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> z_NP = np.hstack(rows.arrays())
    >>> folds = [linreg.Moments.of([z_NP[i::5]], rows.features, rows.targets) for i in range(5)]
    >>> linreg.cross_validate(folds, linreg.TrainConfig()).findings
    '5-fold RMSE 2.724 (standard error 1.1), in-sample 0.9536, always the mean 43.13'
    """
    used = [fold for fold in folds if fold.rows]
    reason = refusal_reason(used)
    if reason:
        return f"k-fold validation is not possible: {reason}"
    with one_thread():
        try:
            pairs, moments = filled_parts(used), _all_folds(used)
        except UserError as e:
            return f"k-fold validation is not possible: in the training part of a fold, {e}"
        solve, value_F = optimum(config), eigenvalues(moments, standardize=config.standardize)
        decays = [*(float(decay) for decay in grid(value_F) if decay <= LARGEST), config.weight_decay]
        return CrossValidation(
            trained=FoldErrors.of(pairs, solver_errors(pairs, solve)),
            mean=FoldErrors.of(pairs, solver_errors(pairs, mean_predictor)),
            in_sample_O=model_error(solve(moments), moments),
            path=path_of(pairs, value_F, decays, config.standardize),
            weight_decay=config.weight_decay,
            l1=config.l1,
        )


def filled_parts(folds: Sequence[Moments | MomentsWithGaps]) -> list[Pair]:
    """Each fold's training and test record, gaps filled with the training part's means.

    Raises:
        UserError: the folds cannot validate, or a column has no value in a training part.
    """
    pairs = parts([_open(fold) for fold in folds])
    means = [train.mean_F() for train, _ in pairs]
    return [(train.filled(fill_F), test.filled(fill_F)) for (train, test), fill_F in zip(pairs, means, strict=True)]


def _all_folds(folds: Sequence[Moments | MomentsWithGaps]) -> Moments:
    """The record of all folds."""
    moments = merge([_open(fold) for fold in folds])
    return moments.filled(moments.mean_F())


def _open(fold: Moments | MomentsWithGaps) -> MomentsWithGaps:
    return fold if isinstance(fold, MomentsWithGaps) else MomentsWithGaps(fold, (), 0)


def kfold_error(folds: Sequence[Moments], config: TrainConfig, *, solver: Solver | None = None) -> FoldErrors:
    """The errors on each fold of the model of all others.

    Args:
        folds: the record of each fold; none is empty.
        config: whose exact optimum is taken, weight decay and ``standardize`` included.
        solver: another way from a record to a model, in place of the config's.

    Raises:
        UserError: the folds cannot validate.
    """
    with one_thread():  # the bits must not hang on how many threads there are
        pairs = parts(folds)
        return FoldErrors.of(pairs, solver_errors(pairs, solver or optimum(config)))


def optimum(config: TrainConfig) -> Solver:
    """From a record to the exact optimum of the config's objective."""

    def solve(moments: Moments) -> LinearModel:
        objective = Objective.trained(moments, config)
        return objective.model(objective.optimum_DO)

    return solve


def mean_predictor(moments: Moments) -> LinearModel:
    """The model that always says the targets' means."""
    f, o = len(moments.features), len(moments.targets)
    mean = moments.mean_P
    return LinearModel(np.zeros((o, f)), mean[f:], mean[:f], moments.features, moments.targets)


def _on_weight_decay(kfold: CrossValidation) -> str:
    """Whether another weight decay is better by more than the noise."""
    path = kfold.path
    own, best = path.index(kfold.weight_decay), path.best
    gain, error = paired_gain(path.error_KGO[:, own], path.error_KGO[:, best], path.weight_K)
    if gain <= NOISE * error:
        own_decay = kfold.weight_decay
        no_other = f"keep weight decay {own_decay:g}: no other" if own_decay else "no weight decay is needed: none"
        return f"{no_other} lowers the {kfold.folds}-fold error by more than the noise of the folds"
    before, after = path.rmse_G[own], path.rmse_G[best]
    return (
        f"weight decay {path.weight_decay_G[best]:.3g} lowers the {kfold.folds}-fold RMSE from {before:.4g} to "
        f"{after:.4g} (standard error of the difference {error / (before + after):.2g}): "
        f"--set train.weight_decay={path.weight_decay_G[best]:.3g}"
    )
