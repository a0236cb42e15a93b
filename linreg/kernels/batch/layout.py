"""Parameters as the compiled loops take them: flat, padded where a lane is a feature, side by side for many models.

Shapes: F features, O targets, K models, L lanes.
"""

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


def pack_many(thetas: Any, features: int, targets: int) -> Any:
    """The parameters of up to L models, each as ``pack`` has it, in the layout of ``epoch.epoch_of_many``, flat."""
    lanes = vector_lanes(thetas[0].dtype)
    columns = np.stack([*thetas, *[thetas[-1]] * (lanes - len(thetas))], axis=1)
    return np.ascontiguousarray(columns[_without_padding(len(columns), features, targets, lanes)]).ravel()


def pack_settings(settings_K3: Any) -> Any:
    """Rate, weight decay and 1 - rate * weight decay of up to L models, as ``epoch.epoch_of_many`` takes them, flat."""
    lanes = vector_lanes(settings_K3.dtype)
    return np.stack([*settings_K3, *[settings_K3[-1]] * (lanes - len(settings_K3))], axis=1).ravel()


def unpack_many(packed: Any, features: int, targets: int, count: int) -> list[Any]:
    """The parameters of the first models, each as ``pack`` has it."""
    lanes = vector_lanes(packed.dtype)
    columns = packed.reshape(-1, lanes)
    width = features + 1 if row_lanes.fits(features, targets) else -(-features // lanes) * lanes + 1
    out = np.zeros((targets * width, lanes), packed.dtype)
    out[_without_padding(len(out), features, targets, lanes)] = columns
    return [np.ascontiguousarray(out[:, k]) for k in range(count)]


def _without_padding(length: int, features: int, targets: int, lanes: int) -> Any:
    """Which of the numbers of ``pack`` are parameters."""
    keep = np.ones(length, dtype=bool)
    if not row_lanes.fits(features, targets):
        weights = keep[: length - targets].reshape(targets, -1)
        weights[:, features:] = False
    return keep
