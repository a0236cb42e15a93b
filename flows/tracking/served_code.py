"""What answers to ``mlflow.pyfunc``: copied into every logged model and run from there, without this package.

It loads the weights beside it, after it has checked every file of the model against the SHA-256 manifest, and predicts
by column name: ``y = (x - mean) @ weight.T + bias`` in float64. Columns may stand in any order, hold integers or
floats, a category text or codes, and others are left out; the index is kept.

Shapes: N rows, F features, O targets.
"""

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from safetensors import safe_open

Float = npt.NDArray[np.float64]
# texts that stand for no level, as they do in a CSV
NULLS = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA"}
NULLS |= {"NULL", "NaN", "n/a", "nan", "null"}


class ServedLinearModel(PythonModel):
    """A linear model of O named targets in F named features."""

    def load_context(self, context: PythonModelContext) -> None:
        """Check the files, then load the weights; raises where a file is not the one that was written."""
        root = Path(context.artifacts["manifest"]).parent
        checked = check(root)
        with safe_open(context.artifacts["weights"], framework="numpy") as weights:
            names = weights.metadata()
            self.features, self.targets = json.loads(names["features"]), json.loads(names["targets"])
            self.weight_OF, self.bias_O, self.mean_F = (weights.get_tensor(k) for k in ("weight", "bias", "mean"))
            # how features are made of columns, where they are not these: {"terms", "levels", "unseen", "computed"}
            self.design: Any = json.loads(names["design"]) if "design" in names else None
            computed = self.design and self.design.get("computed")
            self.expression: Any = load_module(root, "expression.py", checked) if computed else None
            # what stands for a missing value; a model without it takes none
            self.fill_F = weights.get_tensor("fill") if "fill" in weights.keys() else None  # noqa: SIM118 - no mapping

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> pd.DataFrame:
        """Named targets for each row of a frame (or of a dict of columns); shape (N, O), float64."""
        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        x_NF = self._features(frame)
        if self.fill_F is not None:
            x_NF = np.where(np.isnan(x_NF), self.fill_F, x_NF)
        y_NO = (x_NF - self.mean_F) @ self.weight_OF.T + self.bias_O
        return pd.DataFrame(y_NO, columns=self.targets, index=frame.index)

    def _features(self, frame: pd.DataFrame) -> Float:
        """The columns of the design, shape (N, F); NaN where the model fills a gap."""
        gaps = self.fill_F is not None
        if self.design is None:
            return np.column_stack([numbers(frame, name, gaps=gaps) for name in self.features])
        columns, levels = self._inputs(frame, gaps=gaps)
        x_NF = np.ones((len(frame), len(self.features)))
        for j, term in enumerate(self.design["terms"].values()):
            shifts = term.get("affine") or [(0.0, 1.0)] * len(term["numbers"])
            for name, (shift, scale) in zip(term["numbers"], shifts, strict=True):
                x_NF[:, j] *= (columns[name] - shift) / scale
            for name, level in term["levels"]:
                x_NF[:, j] *= levels[name] == level
            for name in term["missing"]:
                x_NF[:, j] *= np.isnan(columns[name])
        return x_NF

    def _inputs(self, frame: pd.DataFrame, *, gaps: bool) -> tuple[dict[str, Float], dict[str, Any]]:
        """What terms are products of: the numbers, and the level that each row is at, by the names of their columns."""
        design, computed = self.design, self.design.get("computed", {})
        named = [name for term in design["terms"].values() for name in (*term["numbers"], *term["missing"])]
        named += [name for made in computed.values() for name in self.expression.columns_of(made)]
        columns: dict[str, Float] = {}
        for name in dict.fromkeys(name for name in named if name not in computed):
            read = dates if name in design.get("dates", ()) else numbers
            columns[name] = read(frame, name, gaps=gaps)
        levels = {name: levels_of(frame, name, design) for name in design["levels"] if name not in computed}
        for name, made in computed.items():
            if name in design["levels"]:
                texts = pd.DataFrame({name: self.expression.level_names(made, columns)})
                levels[name] = levels_of(texts, name, design)
            else:
                columns[name] = finite(self.expression.compute(made, columns), name, gaps=gaps)
        return columns, levels


def check(root: Path) -> set[str]:
    """The files that ``manifest.json`` lists, each compared with its SHA-256; raises on the first that differs."""
    listed: dict[str, str] = json.loads((root / "manifest.json").read_text())["sha256"]
    for name, expected in listed.items():
        path = root / name
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
        if digest != expected:
            raise refuse(f"{name} of this model is not the file that was logged ({digest[:16]}): fetch the model again")
    return set(listed)


def numbers(frame: pd.DataFrame, name: str, *, gaps: bool = False) -> Float:
    """The column of that name as float64, shape (N,); raises where it is missing, text, or not finite.

    With ``gaps`` a null or NaN is taken: the model fills it.
    """
    return finite(floats(column_of(frame, name), name), name, gaps=gaps)


def finite(values: Float, name: str, *, gaps: bool) -> Float:
    """The values; raises where one is not finite. With ``gaps`` NaN is taken."""
    bad = np.flatnonzero(np.isinf(values) if gaps else ~np.isfinite(values))
    if bad.size:
        raise refuse(f"column '{name}' is not finite in row {bad[0]} ({bad.size} such): fill or drop those rows")
    return values


def dates(frame: pd.DataFrame, name: str, *, gaps: bool = False) -> Float:
    """The column of dates of that name as microseconds since 1970-01-01, (N,); text is ISO 8601, with a zone in UTC."""
    column = column_of(frame, name)
    if column.dtype.kind in "biufc":
        raise refuse(f"column '{name}' is {column.dtype}, not dates: give dates, timestamps or text like 2026-11-30")
    as_text = column.dtype.kind != "M"
    column = column.map(lambda value: value.strip() if isinstance(value, str) else value) if as_text else column
    column = column.mask(column.isin(NULLS)) if as_text else column
    times = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True) if as_text else column
    bad = np.flatnonzero(times.isna() if not gaps else times.isna() & ~column.isna())
    if bad.size:
        what = "holds no date" if column.isna().iloc[bad[0]] else f"holds {str(column.iloc[bad[0]])[:40]!r}, no date,"
        raise refuse(f"column '{name}' {what} in row {bad[0]} ({bad.size} such): fill or drop those rows")
    local = times.dt.tz_localize(None) if times.dt.tz else times
    microseconds = local.to_numpy().astype("datetime64[us]")
    return np.where(np.isnat(microseconds), np.nan, microseconds.astype(np.float64))


def load_module(root: Path, name: str, checked: set[str]) -> ModuleType:
    """A file of the model as a module of its own; raises where ``check`` has not compared it with its SHA-256."""
    spec = importlib.util.spec_from_file_location("linreg_model_expression", root / name) if name in checked else None
    if spec is None or spec.loader is None:
        raise refuse(f"{name} of this model is not listed in its manifest: fetch the model again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def column_of(frame: pd.DataFrame, name: str) -> pd.Series:
    """The column of that name; raises where there is none, or more than one."""
    if name not in frame.columns:
        raise refuse(f"column '{name}' is missing; there are {[str(c) for c in frame.columns][:20]}")
    times = list(frame.columns).count(name)
    if times > 1:
        raise refuse(f"column '{name}' stands {times} times: keep one")
    column: pd.Series = frame[name]
    return column


def levels_of(frame: pd.DataFrame, name: str, design: dict[str, Any]) -> npt.NDArray[np.object_]:
    """The level that each row is at, as text, shape (N,); raises where one is missing, or not known and no base."""
    known = design["levels"][name]
    texts = np.array([level_of(value, known) for value in column_of(frame, name)], dtype=object)
    missing = [row for row, text in enumerate(texts) if text is None]
    if design["gaps_are_levels"] and "missing" in known:
        texts[missing] = "missing"
    elif missing:
        raise refuse(
            f"column '{name}' holds no level in row {missing[0]} ({len(missing)} such): fill or drop those rows"
        )
    strange = [row for row, text in enumerate(texts) if text not in known]
    if strange and design["unseen"] == "error":
        raise refuse(
            f"column '{name}' holds {texts[strange[0]]!r} in row {strange[0]} ({len(strange)} such), a level that no "
            f"training row had: correct it, or train with data.unseen = 'base'; known are {', '.join(known[:10])}"
        )
    return texts


def level_of(value: Any, known: list[str]) -> str | None:
    """A level as text: without blanks around it, codes as integers; None where there is none."""
    if value is None or value is pd.NA or value != value:
        return None
    is_code = isinstance(value, float | np.floating) and float(value).is_integer()
    text = str(int(value) if is_code else value).strip()
    text = text.partition(".")[0] if re.fullmatch(r"-?[0-9]+\.0", text, re.ASCII) else text
    text = text.title() if text.lower() in ("true", "false") else text
    return None if text in NULLS and text not in known else text


def floats(column: pd.Series, name: str) -> Float:
    """The column as float64; numeric text is text, and a date is not a number."""
    for row, value in enumerate(column if column.dtype.kind not in "biuf" else ()):
        if isinstance(value, str | bytes):
            raise refuse(
                f"column '{name}' holds text in row {row} ({str(value)[:40]!r}), not numbers: convert it first"
            )
    try:
        if column.dtype.kind in "mMc":
            raise TypeError("no real numbers")
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        raise refuse(f"column '{name}' is {column.dtype}, not numbers: convert it first") from None


def refuse(line: str) -> MlflowException:
    """The caller's input is wrong: MLflow's own kind, so that a served model answers 400 and not 500."""
    error: MlflowException = MlflowException.invalid_parameter_value(line)
    return error


set_model(ServedLinearModel())
