"""Folds as records: how many, what each leaves for training, and a model's error on one, without touching a row again.

The record of all other folds is merged from prefixes and suffixes, never subtracted: a subtraction loses the digits
by which the whole outweighs the rest. The error of a model on a fold is the norm of that fold's factor times
``[b; W'; -1]``, so it is a sum of squares of residuals and no difference of sums. It reads no rows and trains nothing.

Shapes: K folds, F features, O targets, G models at once, P = F + O columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import numpy as np

from linreg.errors import UserError
from linreg.metrics import Float, mean_r2, r2_of
from linreg.model import LinearModel
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments

MOST_WEIGHT = 0.9  # of one fold: the others together then say little of what it says
FOLDS = 10
Pair = tuple[Moments, Moments]  # the record to train on, and the one to test on
Solver = Callable[[Moments], LinearModel]
Record = TypeVar("Record", Moments, MomentsWithGaps)


@dataclass(frozen=True)
class FoldErrors:
    """Mean squared errors on each fold of the model trained on the others.

    The error is the mean over all rows, so a fold counts by its weight. Its standard error is that of the weighted mean
    of K fold errors, ``sqrt(sum_k v_k (e_k - e)^2 / (K - 1))`` with v the folds' shares of the weight; for equal folds
    the spread of the errors over sqrt(K). Folds share most of their training rows, so it is a guide, not a bound.

    Args:
        targets: the O column names.
        weight_K: of the folds' rows.
        error_KO: in the targets' units squared.
        variance_O: of the targets about their mean over all rows; what R2 is measured by.

    Source: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 7.10; the weighted form as in
    Friedman, Hastie and Tibshirani 2010 (glmnet).
    """

    targets: tuple[str, ...]
    weight_K: Float
    error_KO: Float
    variance_O: Float

    @classmethod
    def of(cls, pairs: Sequence[Pair], error_KO: Float) -> "FoldErrors":
        """The errors on the test records of ``parts``."""
        moments = pairs[0][0] + pairs[0][1]
        weight_K = np.array([test.weight for _, test in pairs])
        return cls(moments.targets, weight_K, error_KO, moments.spread_P[len(moments.features) :] ** 2)

    @property
    def mse(self) -> float:
        """Over all rows and targets."""
        return float(self.mse_O.mean())

    @property
    def mse_O(self) -> Float:
        """Over all rows, a target each."""
        return fold_mean(self.error_KO, self.weight_K)[0]

    @property
    def standard_error(self) -> float:
        """Of ``mse``."""
        return float(fold_mean(self.error_KO.mean(axis=1), self.weight_K)[1])

    @property
    def standard_error_O(self) -> Float:
        """Of ``mse_O``."""
        return fold_mean(self.error_KO, self.weight_K)[1]

    @property
    def rmse(self) -> float:
        """Over all rows and targets, in the targets' units."""
        return float(np.sqrt(self.mse))

    @property
    def rmse_O(self) -> Float:
        """Over all rows, a target each, in its units."""
        return np.sqrt(self.mse_O)

    @property
    def rmse_standard_error(self) -> float:
        """Of ``rmse``, to first order: half the relative standard error of ``mse``."""
        return float(root_error(np.array(self.mse), np.array(self.standard_error)))

    @property
    def rmse_standard_error_O(self) -> Float:
        """Of ``rmse_O``, to first order."""
        return root_error(self.mse_O, self.standard_error_O)

    @property
    def r2(self) -> float:
        """The mean of the targets' R2, over those that vary."""
        return mean_r2(self.r2_O, self.variance_O)

    @property
    def r2_O(self) -> Float:
        """A target each: 1 - MSE / variance; 0 of one that does not vary, as in ``metrics``."""
        return r2_of(self.mse_O, self.variance_O)


def fold_mean(error_K: Float, weight_K: Float) -> tuple[Float, Float]:
    """The weighted mean over folds (the first axis) and its standard error; see ``FoldErrors``."""
    share_K = (weight_K / weight_K.sum()).reshape(-1, *[1] * (error_K.ndim - 1))
    mean = (share_K * error_K).sum(axis=0)
    spread = (share_K * (error_K - mean) ** 2).sum(axis=0)
    return np.asarray(mean), np.asarray(np.sqrt(spread / (len(error_K) - 1)))


def paired_gain(over_KO: Float, by_KO: Float, weight_K: Float) -> tuple[float, float]:
    """How much smaller one model's mean squared error is than another's, and the standard error of that.

    Paired fold by fold: what makes a fold hard for all models cancels.
    """
    mean, error = fold_mean((over_KO - by_KO).mean(axis=1), weight_K)
    return float(mean), float(error)


def root_error(mse: Float, standard_error: Float) -> Float:
    """The standard error of ``sqrt(mse)``, to first order; 0 where the error is 0."""
    return np.asarray(standard_error / (2 * np.sqrt(np.where(mse > 0, mse, 1.0))))


def enough(folds: Sequence[MomentsWithGaps]) -> list[MomentsWithGaps]:
    """The records of ten folds as they are, or two by two where they hold fewer than 100 rows.

    Ten leave nine tenths for training, so the error is hardly pessimistic, and vary less than leaving out one row at a
    time. Below 100 rows ten folds would hold fewer than ten rows each, and, dealt by a hash, some of them none.

    Source: Kohavi 1995; The Elements of Statistical Learning, 7.10.
    """
    if sum(fold.rows for fold in folds) >= 100:
        return list(folds)
    pairs = zip(folds[::2], folds[1::2], strict=True)  # a row's fold is a share of its hash, so the halves meet
    return [a + b if a.rows and b.rows else (a if a.rows else b) for a, b in pairs]


def refusal_reason(folds: Sequence[Moments | MomentsWithGaps]) -> str | None:
    """Why these folds cannot validate, in words, and what would help; None where they can."""
    rows, count = sum(fold.rows for fold in folds), sum(fold.rows > 0 for fold in folds)
    if not rows:
        return "there are no rows"
    if count < 2:
        return f"all {rows} rows lie in one fold: add rows, or more values of data.key"
    if count < len(folds):
        return f"{len(folds) - count} of {len(folds)} folds hold no row: leave them out"
    if rows < 2 * count:
        return f"{rows} rows are too few: {count} folds need {2 * count} or more, two each: add rows"
    least, needed = rows - max(fold.rows for fold in folds), len(folds[0].features) + 1
    if least < needed:
        return f"a training part has {least} rows, fewer than the {needed} parameters a target: add rows"
    share = max(fold.weight for fold in folds) / sum(fold.weight for fold in folds)
    if share > MOST_WEIGHT:
        return (
            f"one of {count} folds has {share:.0%} of the weight, and would speak for all: the rows weigh too unevenly"
        )
    return None


def parts(folds: Sequence[Record]) -> list[tuple[Record, Record]]:
    """For each fold the record of all others, and its own: (train, test), in the folds' order.

    3 K merges: the record before each fold and the record after it, each built up in order, then the two of them.
    Called under one BLAS thread, it gives the same bits on any machine's number of threads.

    Raises:
        UserError: the folds cannot validate; the reason is ``refusal_reason``'s.
    """
    reason = refusal_reason(folds)
    if reason:
        raise UserError(f"k-fold validation is not possible: {reason}")
    before = list(accumulate(folds[:-1]))
    after = list(accumulate(folds[:0:-1], lambda later, fold: fold + later))[::-1]
    middle: list[Record] = [a + b for a, b in zip(before[:-1], after[1:], strict=True)]
    return list(zip([after[0], *middle, before[-1]], folds, strict=True))


def model_error(model: LinearModel, test: Moments) -> Float:
    """The mean squared error of a model on recorded rows, shape (O,), in the targets' units squared.

    Weighted where the record is. Valid for any model of the record's columns, however it was found.
    """
    return test.mean_squared_error(model.weight_OF, model.bias_O, model.mean_F)


def solver_errors(pairs: Sequence[Pair], solver: Solver) -> Float:
    """``model_error`` (K, O) of the models that ``solver`` makes of the training records."""
    return np.stack([model_error(solver(train), test) for train, test in pairs])


def squared_errors(test: Moments, mean_F: Float, bias_O: Float, weight_FGO: Float) -> Float:
    """The mean squared errors, shape (G, O), of G models that share their means and biases."""
    f, (_, g, o) = len(test.features), weight_FGO.shape
    root = test.at(np.concatenate([mean_F, bias_O]))
    residual = root[:, None, 1 + f :] - (root[:, 1 : 1 + f] @ weight_FGO.reshape(f, g * o)).reshape(-1, g, o)
    return np.asarray((residual**2).sum(axis=0) / test.weight)
