"""Reading a model directory: every file checked against the SHA-256 manifest, then the parameters and their company.

``flows.tracking.model_writer`` says what lies in it, and writes it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from linreg.errors import UserError
from linreg.least_squares.results import Inference
from linreg.model import LinearModel
from linreg.moments.lineage import Lineage
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments

T = TypeVar("T")

WEIGHTS = "artifacts/model.safetensors"
MOMENTS = "artifacts/moments.safetensors"
TEST = "artifacts/test.safetensors"
INFERENCE = "artifacts/inference.json"
LINEAGE = "artifacts/lineage.json"
PROGRAM = "data/model.pt2"
CODE = "served_code.py"
EXPRESSION = "expression.py"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Contents:
    """What a model directory holds, or shall hold.

    Args:
        model: the parameters.
        moments: the record of the training rows; None where none was kept.
        inference: what those rows say about the parameters; None where it was not kept, or not asked for.
        test: the record of the rows that it was judged on, gaps still open; None where none was kept.
        lineage: the files that it learned from; None where they were not kept.
    """

    model: LinearModel
    moments: Moments | None = None
    inference: Inference | None = None
    test: MomentsWithGaps | None = None
    lineage: Lineage | None = None


def read(folder: Path, *, manifest: str | None = None) -> LinearModel:
    """Load the parameters, every file checked against the manifest first.

    Args:
        folder: a model directory.
        manifest: the SHA-256 that the manifest itself must have, where it is known.

    Raises:
        UserError: a file is missing, or is not the one that was written.
    """
    verify(folder, manifest=manifest)
    return LinearModel.load(folder / WEIGHTS)


def read_contents(folder: Path, *, manifest: str | None = None, inference: bool = True) -> Contents:
    """Load the parameters and what is kept beside them; arguments and errors are those of ``read``.

    Args:
        inference: whether that is wanted too.
    """
    verify(folder, manifest=manifest)
    listed = _listed(folder)
    return Contents(
        LinearModel.load(folder / WEIGHTS),
        Moments.load(folder / MOMENTS) if MOMENTS in listed else None,
        _json(Inference.from_json, folder / INFERENCE) if inference and INFERENCE in listed else None,
        MomentsWithGaps.load(folder / TEST) if TEST in listed else None,
        _json(Lineage.from_json, folder / LINEAGE) if LINEAGE in listed else None,
    )


def _json(read: Callable[[Any], T], path: Path) -> T:
    try:
        return read(json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError) as e:  # whole, as the manifest says: another release wrote it
        raise UserError(f"{path} is of another release of linreg ({e!r}): use that one, or train again") from e


def verify(folder: Path, *, manifest: str | None = None) -> None:
    """Refuse a model directory of which any file that is run or loaded has changed.

    Raises:
        UserError: naming the file.
    """
    if manifest is not None and sha256(folder / MANIFEST) != manifest:
        raise UserError(f"{folder / MANIFEST} is not the one that was logged: restore the model, or train it again")
    for name, expected in _listed(folder).items():
        if sha256(folder / name) != expected:
            raise UserError(f"{folder / name} is not the file that was logged: restore the model, or train it again")


def sha256(path: Path) -> str | None:
    """The digest of a file, in hexadecimal; None where there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _listed(folder: Path) -> dict[str, str]:
    """The files that the manifest answers for, and their digests."""
    try:
        return dict(json.loads((folder / MANIFEST).read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(
            f"{folder} is no model of this pipeline (no readable {MANIFEST}): log it with `linreg run`"
        ) from e
