"""How good a model is on rows of which only the record is left: the metrics of the rows themselves, without the rows.

The record of test rows is kept with their gaps still open, so that every model fills them as it was made to. The mean
squared error is the norm of the record's factor times the model (``Moments.mean_squared_error``): squares are added and
none is subtracted. The mean absolute error is in no such record.

Shapes: F features of the model, O targets.
"""

from dataclasses import dataclass

import numpy as np

from linreg.design import Design
from linreg.errors import listed
from linreg.metrics import Float, mean_r2, r2_of
from linreg.model import LinearModel
from linreg.moments.levels import levels_besides, with_levels
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.subset import subset


@dataclass(frozen=True)
class Scores:
    """The metrics of a model on the rows of a record, weighted as they are.

    Args:
        targets: the model's.
        mse_O: mean squared error, in each target's unit squared.
        r2_O: 0 of a target that does not vary.
        r2: over the targets that vary.
    """

    targets: tuple[str, ...]
    mse_O: Float
    r2_O: Float
    r2: float

    @property
    def mse(self) -> float:
        """Over all rows and targets."""
        return float(self.mse_O.mean())

    def to_json(self) -> dict[str, float]:
        """``{"mse", "rmse", "r2"}``, and each of them a target: ``rmse.apples``."""
        out = {"mse": self.mse, "rmse": float(np.sqrt(self.mse)), "r2": self.r2}
        for name, mse, r2 in zip(self.targets, self.mse_O.tolist(), self.r2_O.tolist(), strict=True):
            out |= {f"mse.{name}": mse, f"rmse.{name}": float(np.sqrt(mse)), f"r2.{name}": r2}
        return out


def scores(model: LinearModel, test: MomentsWithGaps, design: Design | None = None) -> Scores:
    """The metrics that ``metrics.regression_metrics`` gives on the recorded rows, but for the absolute errors.

    Args:
        design: of the record's columns: a level that it does not know is a column of zeros to the model.

    Raises:
        ValueError: the record is not one of rows that the model can be judged on; ``mismatch`` says why.
    """
    moments = with_levels(_filled(model, test), levels_besides(model, test.features, design))
    moments = subset(moments, model.features, model.targets)
    mse_O = moments.mean_squared_error(model.weight_OF, model.bias_O, model.mean_F)
    variance_O = moments.spread_P[len(model.features) :] ** 2
    r2_O = r2_of(mse_O, variance_O)
    return Scores(model.targets, mse_O, r2_O, mean_r2(r2_O, variance_O))


def mismatch(model: LinearModel, test: MomentsWithGaps, design: Design | None = None) -> str:
    """Why a model cannot be judged on a record's rows, in words; empty where it can; arguments as ``scores``."""
    if set(model.targets) != set(test.moments.targets):
        return f"it predicts {listed(model.targets)}, and the rows hold {listed(test.moments.targets)}"
    known = {*test.features, *levels_besides(model, test.features, design)}
    missing = [f for f in model.features if f not in known]
    if missing:
        return f"it needs the columns {listed(missing)}, which are not in the record of the rows"
    if model.fill_F is None and set(test.gaps) & set(model.features):
        return "it takes no missing values, and the rows have some"
    return ""


def _filled(model: LinearModel, test: MomentsWithGaps) -> Moments:
    """The record with every gap filled as the model fills it; a column that it does not know, with anything."""
    g, f = len(test.gaps), len(test.features)
    fill_F = test.moments.shift_P[g : g + f].copy()
    if model.fill_F is not None:
        fills = dict(zip(model.features, model.fill_F, strict=True))
        fill_F = np.array([fills.get(name, default) for name, default in zip(test.features, fill_F, strict=True)])
    return test.filled(fill_F)
