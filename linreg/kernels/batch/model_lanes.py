"""K models in one pass over the rows: one lane a model, so that every instruction serves all of them.

Each model makes the same operations in the same order as it does alone: what is a lane there, a row (``row_lanes``) or
a feature (``feature_lanes``), is a vector here, and sums over lanes become the same tree of additions of vectors. So
the numbers of a sweep are those of its models trained one by one, to the bit. Plain descent only, without momentum. The
kernels are in ``model_row_lanes``, with ``model_sums``, and ``model_feature_lanes``.

Shapes: F features, O targets, L models, S rows of room in a stage; arrays are flat. Parameters in the order of
``row_lanes`` or of ``feature_lanes`` without padding, L values each; ``settings`` holds rate, weight decay and
1 - rate * weight decay, L values each.
"""

from typing import Any

from linreg.kernels.batch import feature_lanes, model_feature_lanes, model_row_lanes, row_lanes
from linreg.kernels.batch.shapes import Kernels, Shape


def fits(shape: Shape) -> bool:
    """Whether there is a kernel for such models."""
    return not shape.momentum and (row_lanes.fits(shape.features, shape.targets) or feature_lanes.by_row(shape))


def kernels(shape: Shape, feed: Any, *, batch: int) -> Kernels:
    """The kernels for a shape; ``batch`` is that of short batches of few parameters, whose length is compiled in."""
    if row_lanes.fits(shape.features, shape.targets):
        return model_row_lanes.kernels(shape, feed, batch=batch)
    return model_feature_lanes.kernels(shape, feed)
