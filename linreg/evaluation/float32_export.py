"""What float32 leaves of columns far from zero: a column handed over as float32 has lost its digits already.

A float32 holds about seven digits. Where a column's mean is 1e5 times its spread, five of them are spent on the mean.
The model itself is float64 and subtracts the means first, so this concerns the form that takes a float32 tensor alone.

Shapes: F features.
"""

import numpy as np

from linreg.moments.moments import Moments

WARN, REFUSE = 1e4, 1e5  # mean over spread; at the second, half an ulp of float32 is 0.6% of the spread


def largest_offset(moments: Moments) -> tuple[str, float]:
    """The feature farthest from zero in units of its own spread, and how far; constant ones do not count."""
    f = len(moments.features)
    mean_F, spread_F = np.abs(moments.mean_P[:f]), moments.spread_P[:f]
    offset_F = np.where(spread_F > 0, mean_F / np.where(spread_F > 0, spread_F, 1.0), 0.0)
    worst = int(np.argmax(offset_F))
    return moments.features[worst], float(offset_F[worst])


def is_exportable(moments: Moments) -> bool:
    """Whether a model of these columns may be handed out in a form that takes float32."""
    return largest_offset(moments)[1] <= REFUSE


def warning(moments: Moments) -> str:
    """What to know of the float32 form, in one line; empty where all columns fit well."""
    name, offset = largest_offset(moments)
    if offset <= WARN:
        return ""
    problem = f"the mean of {name} is {offset:.2g} times its spread, more than float32 can hold"
    remedy = "use mlflow.pyfunc or linreg predict, which take float64, or subtract an offset from the column"
    if offset <= REFUSE:
        return f"{problem} well: mlflow.pytorch, which takes float32, is imprecise; {remedy}"
    return f"{problem}: the version has no mlflow.pytorch form; {remedy}"
