"""A column about the means of the groups that its rows are in: two walks over it, and no sorting.

Shapes: n rows, L groups.
"""

from typing import Any

import numpy as np

from linreg.kernels.jit import compiled


@compiled()
def centre(x_n: Any, code_n: Any, weight_n: Any, weight_L: Any) -> Any:
    """``(x - mean of its group, means of the groups less the shift, the shift)`` of a column.

    ``weight_n`` may be empty: all 1. The shift is the mean of all rows.
    """
    start, groups = x_n[0], weight_L.size
    sum_L, left_L, rest_n = np.zeros(groups), np.zeros(groups), np.empty(x_n.size)
    for i in range(x_n.size):
        sum_L[code_n[i]] += (x_n[i] - start) * (weight_n[i] if weight_n.size else 1.0)
    shift = 0.0
    for g in range(groups):
        shift += sum_L[g]
        sum_L[g] /= weight_L[g]
    shift /= weight_L.sum()
    for i in range(x_n.size):
        rest_n[i] = (x_n[i] - start) - sum_L[code_n[i]]
        left_L[code_n[i]] += rest_n[i] * (weight_n[i] if weight_n.size else 1.0)
    for g in range(groups):  # what rounding left of the mean
        sum_L[g] += left_L[g] / weight_L[g] - shift
    return rest_n, sum_L, start + shift
