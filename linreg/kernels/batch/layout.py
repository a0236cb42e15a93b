"""Parameters as the compiled loops take them: flat, padded where a lane is a feature, side by side for many models.

Shapes: F features, O targets, K models, L lanes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from linreg.kernels.batch import row_lanes
from linreg.kernels.batch.shapes import vector_lanes


def pack(weight_OF: Any, bias_O: Any) -> Any:
    """Parameters or velocities in the layout of ``epoch.epoch``: (O, F + 1) for few, else padded weights and biases."""
    targets, features = weight_OF.shape
    if row_lanes.fits(features, targets):
        return np.hstack([weight_OF, bias_O[:, None]]).ravel()
    lanes = vector_lanes(weight_OF.dtype)
    padded = np.zeros((targets, -(-features // lanes) * lanes), weight_OF.dtype)
    padded[:, :features] = weight_OF
    return np.concatenate([padded.ravel(), bias_O])


def unpack(packed: Any, features: int, targets: int) -> tuple[Any, Any]:
    """The weights (O, F) and biases (O) of ``pack``: copies."""
    if row_lanes.fits(features, targets):
        rows = packed.reshape(targets, features + 1)
        return rows[:, :-1].copy(), rows[:, -1].copy()
    weights = packed[: len(packed) - targets].reshape(targets, -1)
    return weights[:, :features].copy(), packed[len(packed) - targets :].copy()


def pack_many(models: Sequence[tuple[Any, Any]]) -> Any:
    """The weights and biases of up to L models in the layout of ``epoch.epoch_of_many``: (O, F + 1, L), flat."""
    return side_by_side([np.hstack([weight_OF, bias_O[:, None]]) for weight_OF, bias_O in models])


def unpack_many(packed: Any, features: int, targets: int, count: int) -> list[tuple[Any, Any]]:
    """The weights (O, F) and biases (O) of the first models: copies."""
    models = packed.reshape(targets, features + 1, -1)
    return [(models[:, :-1, k].copy(), models[:, -1, k].copy()) for k in range(count)]


def side_by_side(arrays: Sequence[Any]) -> Any:
    """Up to L arrays of one shape with a last axis of L, flat; the last one fills the lanes that are left."""
    spare = vector_lanes(arrays[0].dtype) - len(arrays)
    return np.ascontiguousarray(np.stack([*arrays, *[arrays[-1]] * spare], axis=-1)).ravel()
