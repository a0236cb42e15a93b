"""The fitted model: parameters with their column names, in the data's own units.

``y = (x - mean) @ weight.T + bias``, in float64, with the training means kept beside the weights: columns far from zero
lose no digits. Saved as safetensors, names and lineage in its metadata. It does not train and reads no data files.

Shapes: N rows, F features, O targets.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from linreg.design import Design
from linreg.errors import UserError
from linreg.metrics import Float

if TYPE_CHECKING:  # a look-up does not need it, and it takes a second to import
    import torch


@dataclass(frozen=True)
class LinearModel:
    """A linear model of O targets in F named features.

    Args:
        weight_OF: slopes, in target units per feature unit.
        bias_O: the prediction where every feature equals its ``mean_F``.
        mean_F: what is subtracted from the features first; zeros for a model trained on raw columns.
        features: the F column names, in the order of the weights.
        targets: the O column names.
        metadata: lineage as text, kept with the parameters.
        fill_F: what stands for a missing feature; None where none may be missing.
        design: how features are made of the columns that a prediction takes; None: they are these columns.

    >>> import numpy as np
    >>> import linreg
    >>> model = linreg.LinearModel(np.array([[2.0]]), np.array([1.0]), np.array([0.0]), ("x",), ("y",))
    >>> model.predict(np.array([[3.0]])).tolist()  # y = (x - mean) W' + b
    [[7.0]]
    """

    weight_OF: Float
    bias_O: Float
    mean_F: Float
    features: tuple[str, ...]
    targets: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    fill_F: Float | None = None
    design: Design | None = None

    def __post_init__(self) -> None:
        o, f = len(self.targets), len(self.features)
        shapes = (self.weight_OF.shape, self.bias_O.shape, self.mean_F.shape)
        if shapes != ((o, f), (o,), (f,)) or (self.fill_F is not None and self.fill_F.shape != (f,)):
            raise ValueError(f"parameters of shapes {shapes} do not fit {f} features and {o} targets")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a prediction takes."""
        return self.design.inputs if self.design else self.features

    @property
    def intercept_O(self) -> Float:
        """The prediction where every feature is zero; shape (O,), for display."""
        return self.bias_O - self.weight_OF @ self.mean_F

    def predict(self, x_NF: "npt.ArrayLike | torch.Tensor") -> Float:
        """Predict from a design array or tensor, columns in the order of ``features``; NaN is missing.

        Of a frame with more columns, or in another order: ``model.predict(frame[list(model.features)])``.

        Returns:
            float64 of shape (N, O).

        Raises:
            UserError: the array does not have F columns.
        """
        x = np.asarray(_on_cpu(x_NF), dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.features):
            raise UserError(f"the model takes {len(self.features)} columns {list(self.features)}, not shape {x.shape}")
        if self.fill_F is not None:
            x = np.where(np.isnan(x), self.fill_F, x)
        return np.asarray((x - self.mean_F) @ self.weight_OF.T + self.bias_O)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: float64 ``weight``, ``bias``, ``mean``; the names as JSON in the metadata."""
        tensors = {"weight": self.weight_OF, "bias": self.bias_O, "mean": self.mean_F}
        tensors |= {"fill": self.fill_F} if self.fill_F is not None else {}
        names = {"features": json.dumps(self.features), "targets": json.dumps(self.targets)}
        names |= {"design": json.dumps(self.design.to_json())} if self.design else {}
        contiguous = {k: np.ascontiguousarray(v, dtype=np.float64) for k, v in tensors.items()}
        Path(path).write_bytes(save(contiguous, metadata={**self.metadata, **names}))  # an OSError where it fails

    @classmethod
    def load(cls, path: str | Path) -> "LinearModel":
        """Read what ``save`` wrote.

        Raises:
            UserError: there is no such file, or it is not a model of this kind.
        """
        if not Path(path).is_file():
            raise UserError(f"no model file {path}")
        try:
            with safe_open(str(path), framework="numpy") as f:
                metadata = dict(f.metadata() or {})
                weight, bias, mean = (f.get_tensor(k) for k in ("weight", "bias", "mean"))
                fill = f.get_tensor("fill") if "fill" in f.keys() else None  # noqa: SIM118 - no mapping, only keys()
            features, targets = (tuple(json.loads(metadata.pop(k))) for k in ("features", "targets"))
            design = Design.from_json(json.loads(metadata.pop("design"))) if "design" in metadata else None
            return cls(weight, bias, mean, features, targets, metadata, fill, design)
        except (SafetensorError, KeyError, TypeError, ValueError) as e:
            raise UserError(f"{path} is not a whole model file ({e}): fetch or train it again") from e


def _on_cpu(x_NF: "npt.ArrayLike | torch.Tensor") -> npt.ArrayLike:
    """The values of a tensor, wherever it is; another array as it is."""
    torch = sys.modules.get("torch")
    if torch is None:  # then it is no tensor
        return x_NF
    return x_NF.detach().to("cpu", torch.float64).numpy() if isinstance(x_NF, torch.Tensor) else x_NF
