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
    mean_L, rest_n = np.zeros(groups), np.empty(x_n.size)
    if weight_n.size:
        for i in range(x_n.size):
            mean_L[code_n[i]] += (x_n[i] - start) * weight_n[i]
    else:
        for i in range(x_n.size):
            mean_L[code_n[i]] += x_n[i] - start
    shift, total = 0.0, 0.0
    for g in range(groups):
        shift += mean_L[g]
        total += weight_L[g]
        mean_L[g] /= weight_L[g]
    shift /= total
    for i in range(x_n.size):
        rest_n[i] = (x_n[i] - start) - mean_L[code_n[i]]
    for g in range(groups):
        mean_L[g] -= shift
    return rest_n, mean_L, start + shift
