"""One model directory that answers to ``mlflow.pyfunc``, ``mlflow.pytorch`` and ``mlflow models serve``.

    MLmodel, requirements.txt, conda.yaml, python_env.yaml, input_example.json    what MLflow reads
    README.md                    how to call it
    served_code.py               the pyfunc side, a copy of ours: needs numpy, pandas, safetensors, mlflow
    expression.py                what it computes columns with, a copy of ours; left out where it computes none
    artifacts/model.safetensors  the parameters, float64
    artifacts/moments.safetensors    the record of the training rows; older versions have neither this
    artifacts/inference.json         standard errors, intervals and the like, or why there are none; nor that
    artifacts/test.safetensors       the record of the rows that judged it; nor that
    artifacts/lineage.json           the files that it learned from, and their columns' ranges; nor that
    data/model.pt2               the same as a torch.export program: float32 (N, F) in, float32 (N, O) out;
                                 left out where float32 cannot hold the columns (linreg.evaluation.float32_export)
    manifest.json                SHA-256 of the files that are run or loaded

``flows.tracking.model_reader`` reads it. MLflow loads both flavors with pickles refused
(MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false); the one thing in that format is the tensor-only example that torch.export
puts into the pt2 by itself.

Shapes: N rows, F features, O targets.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flows.tracking import model_reader
from flows.tracking.model_reader import (
    CODE,
    EXPRESSION,
    INFERENCE,
    LINEAGE,
    MANIFEST,
    MOMENTS,
    PROGRAM,
    TEST,
    WEIGHTS,
    Contents,
)
from flows.tracking.stores.mlflow_internals import CODE_LOADER
from linreg import expression
from linreg.evaluation import float32_export
from linreg.model import LinearModel

EXAMPLE = "input_example.json"
SERVING_EXAMPLE = "serving_input_example.json"
EXAMPLE_ROWS = 5
_NEEDED = ("mlflow", "numpy", "pandas", "safetensors", "torch")


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run holds.

    Args:
        model_id: MLflow's id.
        uri: ``models:/<model_id>``.
        manifest: SHA-256 of its manifest.
    """

    model_id: str
    uri: str
    manifest: str


def write(
    contents: Contents,
    folder: Path,
    *,
    example: Sequence[Sequence[Any]],
    metadata: Mapping[str, Any],
    identity: Mapping[str, Any] | None = None,
) -> str:
    """Write the directory; about 2 s of CPU, nearly all of it torch importing its exporter.

    Args:
        contents: what is written; the record of the training rows tells whether float32 can hold them.
        folder: made here; must not exist yet.
        example: rows of the model's inputs, of which the first few show how to call it.
        metadata: put into ``MLmodel``.
        identity: further fields of MLflow's ``Model``: ``model_id``, ``run_id`` and the like.

    Returns:
        the SHA-256 of the manifest.
    """
    model, moments = contents.model, contents.moments
    program = moments is None or float32_export.is_exportable(moments)
    for path in (WEIGHTS, *([PROGRAM] if program else [])):
        (folder / path).parent.mkdir(parents=True, exist_ok=False)
    for path, record in ((WEIGHTS, model), (MOMENTS, moments), (TEST, contents.test)):
        if record is not None:
            record.save(folder / path)
    for path, document in ((INFERENCE, contents.inference), (LINEAGE, contents.lineage)):
        if document is not None:
            (folder / path).write_text(json.dumps(document.to_json(), indent=1, allow_nan=False))
    if program:
        _export(model, folder / PROGRAM)
    (folder / CODE).write_bytes(Path(__file__).with_name(CODE).read_bytes())
    if model.design and model.design.computed:
        (folder / EXPRESSION).write_bytes(Path(expression.__file__).read_bytes())
    _write_environment(folder)
    _write_examples(model, folder, example[:EXAMPLE_ROWS])
    manifest = _write_manifest(folder)
    _write_mlmodel(model, folder, {**metadata, "manifest_sha256": manifest}, identity or {})
    return manifest


class _Program(torch.nn.Module):
    """``y = (x - mean) @ weight.T + bias``: float32 in and out, float64 inside, so the precision is the model's own."""

    def __init__(self, model: LinearModel) -> None:
        super().__init__()
        self.fills = model.fill_F is not None
        named = {"mean": model.mean_F, "weight": model.weight_OF, "bias": model.bias_O, "fill": model.fill_F}
        for name, value in named.items():
            if value is not None:
                self.register_buffer(name, torch.from_numpy(np.array(value, dtype=np.float64)))

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        x_NF = x_NF.double()
        if self.fills:
            x_NF = torch.where(torch.isnan(x_NF), self.get_buffer("fill"), x_NF)
        y_NO = (x_NF - self.get_buffer("mean")) @ self.get_buffer("weight").T + self.get_buffer("bias")
        return y_NO.float()


def _export(model: LinearModel, path: Path) -> None:
    example = torch.ones((2, len(model.features)), dtype=torch.float32)  # one row would freeze N at 1
    rows = torch.export.Dim("rows")  # Dim.AUTO gives the same program for a second of CPU more
    with torch.no_grad():
        program = torch.export.export(_Program(model), (example,), dynamic_shapes=({0: rows},), strict=False)
    torch.export.save(program, path)


def _write_environment(folder: Path) -> None:
    pins = [f"{name}=={installed(name).partition('+')[0]}" for name in _NEEDED]  # +cpu is on no index
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n")
    python = platform.python_version()
    conda = {
        "name": "linreg",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": pins}],
    }
    venv = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    (folder / "conda.yaml").write_text(json.dumps(conda, indent=1))  # JSON is YAML
    (folder / "python_env.yaml").write_text(json.dumps(venv, indent=1))


def _write_examples(model: LinearModel, folder: Path, example: Sequence[Sequence[Any]]) -> None:
    split = {"columns": list(model.inputs), "data": [list(row) for row in example]}
    (folder / EXAMPLE).write_text(json.dumps(split))
    (folder / SERVING_EXAMPLE).write_text(json.dumps({"dataframe_split": split}))
    (folder / "README.md").write_text(_readme(model, split, program=(folder / PROGRAM).is_file()))


def _readme(model: LinearModel, split: Mapping[str, Any], *, program: bool) -> str:
    row = dict(zip(model.inputs, split["data"][0], strict=True)) if split["data"] else {}
    x = f"torch.ones((1, {len(model.features)}))" if model.design else f"torch.tensor([{list(row.values())!r}])"
    torch_form = f"""
    x = {x}         # float32, shape (N, {len(model.features)}): the features, in this order
    mlflow.pytorch.load_model(MODEL)(x)                # shape (N, {len(model.targets)})
"""
    return f"""# A linear model of {", ".join(model.targets)}

`y = (x - mean) @ weight.T + bias`, features {", ".join(model.features)}. MODEL is `models:/NAME@champion`.

    frame = pandas.DataFrame([{row!r}])
    mlflow.pyfunc.load_model(MODEL).predict(frame)     # by column name; extra columns are left out
{torch_form if program else ""}
    mlflow models serve -m MODEL --env-manager local
    curl -H 'Content-Type: application/json' -d @serving_input_example.json http://127.0.0.1:5000/invocations
"""


def _write_manifest(folder: Path) -> str:
    kept = [name for name in (EXPRESSION, PROGRAM, MOMENTS, INFERENCE, TEST, LINEAGE) if (folder / name).is_file()]
    digests = {name: model_reader.sha256(folder / name) for name in (WEIGHTS, CODE, *kept)}
    (folder / MANIFEST).write_text(json.dumps({"sha256": digests}, indent=1))
    return model_reader.sha256(folder / MANIFEST) or ""


def _write_mlmodel(model: LinearModel, folder: Path, metadata: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    from mlflow.models import Model

    example = {
        "artifact_path": EXAMPLE,
        "serving_input_path": SERVING_EXAMPLE,
        "type": "dataframe",
        "pandas_orient": "split",
    }
    meta = Model(signature=_signature(model), saved_input_example_info=example, metadata=dict(metadata), **identity)
    _add_flavors(meta, program=(folder / PROGRAM).is_file())
    meta.model_size_bytes = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    meta.save(str(folder / "MLmodel"))


def _signature(model: LinearModel) -> Any:
    """Columns by name; of any type, since ``double`` would refuse integers and ``float`` every ordinary frame."""
    from mlflow.models import ModelSignature
    from mlflow.types import schema

    types: Any = schema
    return ModelSignature(
        inputs=types.Schema([types.ColSpec(types.AnyType(), name) for name in model.inputs]),
        outputs=types.Schema([types.ColSpec(types.DataType.double, name) for name in model.targets]),
    )


def _add_flavors(meta: Any, *, program: bool) -> None:
    if program:
        meta.add_flavor("pytorch", model_data="data", pytorch_version=str(torch.__version__), code=None)
    meta.add_flavor(
        "python_function",
        loader_module=CODE_LOADER,
        python_version=platform.python_version(),
        model_code_path=CODE,
        artifacts={"weights": {"path": WEIGHTS, "uri": WEIGHTS}, "manifest": {"path": MANIFEST, "uri": MANIFEST}},
        env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        streamable=False,
    )
