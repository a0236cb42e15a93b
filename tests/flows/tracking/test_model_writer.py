"""The model directory: three ways to ask it, one answer, and none of them needs this package or unpickles anything."""

import itertools
import json
import os
import pickletools
import shutil
import sys
import zipfile
from importlib import import_module
from urllib.error import HTTPError

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from flows.tracking import model_reader, model_writer, registry, served_code
from flows.tracking.model_reader import Contents
from linreg.errors import UserError
from linreg.files import tables
from linreg.least_squares.inference import infer
from linreg.least_squares.results import Inference
from linreg.model import LinearModel
from linreg.moments.lineage import Lineage
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from tests.support.processes import BIN, environment, free_port, run
from tests.support.servers import asked, listening
from tests.support.tracked import FACTS, MODEL, X_NF, logged_run

# mlflow.pyfunc warns of a type hint of its own (mlflow/types/responses.py) when it is first imported
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")


def load(directory, flavor="pyfunc"):
    """What MLflow loads of a model directory; it warns as it is first imported, so this is done in a test."""
    return import_module(f"mlflow.{flavor}").load_model(str(directory))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "model"
    model_writer.write(Contents(MODEL), path, example=X_NF.tolist(), metadata={"trainer": "gram"})
    return path


@pytest.fixture(scope="module")
def pyfunc(directory):
    return load(directory)


@pytest.fixture
def frame():
    return pd.DataFrame(X_NF, columns=list(MODEL.features))


# --- mlflow.pyfunc


def test_pyfunc_goes_by_name_in_any_order_and_keeps_the_index(pyfunc, frame):
    other = frame[["humidity", "temp", "rainfall"]].assign(station="north")
    other.index = pd.Index(["a", "b", "c"], name="day")
    y = pyfunc.predict(other)
    assert list(y.columns) == ["apples", "oranges"]
    assert (y.to_numpy() == MODEL.predict(X_NF)).all()
    assert y.index.equals(other.index)


@pytest.mark.parametrize(
    "dtype", ["int64", "int8", "uint8", "float32", "float64", "Int64", "Float64", "object", "bool"]
)
def test_pyfunc_takes_numbers_of_any_type(pyfunc, frame, dtype):
    numbers = (frame % 2).astype(dtype)
    np.testing.assert_array_equal(pyfunc.predict(numbers).to_numpy(), MODEL.predict(numbers.astype(float)))


@pytest.mark.parametrize("rows", [0, 1, 2, 1000])
def test_pyfunc_takes_any_number_of_rows(pyfunc, rows):
    x_NF = np.random.default_rng(0).normal(70, 20, (rows, 3))
    y = pyfunc.predict(pd.DataFrame(x_NF, columns=list(MODEL.features)))
    np.testing.assert_allclose(y.to_numpy(), MODEL.predict(x_NF), rtol=1e-14)
    assert y.shape == (rows, 2)


def test_pyfunc_takes_a_dict_of_columns(pyfunc, frame):
    y = pyfunc.predict({name: frame[name].to_numpy() for name in frame})
    assert (y.to_numpy() == MODEL.predict(X_NF)).all()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda f: f.drop(columns="rainfall"), "rainfall"),
        (lambda f: f.assign(temp=["1", "2", "3"]), r"column 'temp' holds text in row 0 \('1'\)"),
        (lambda f: f.assign(temp=[1, 2, "three"]), r"column 'temp' holds text in row 2 \('three'\)"),
        (lambda f: f.assign(temp=pd.Categorical(["x", "y", "x"])), "column 'temp' holds text in row 0"),
        (lambda f: f.assign(temp=[1.0, np.nan, 2.0]), r"column 'temp' is not finite in row 1 \(1 such\)"),
        (lambda f: f.assign(humidity=[1.0, np.inf, -np.inf]), r"column 'humidity' is not finite in row 1 \(2 such\)"),
        (lambda f: f.assign(temp=pd.array([1, None, 2], dtype="Int64")), "column 'temp' is not finite in row 1"),
        (lambda f: f.assign(temp=[None, None, None]), r"column 'temp' is not finite in row 0 \(3 such\)"),
        (lambda f: f.assign(temp=pd.Timestamp("2026-11-23")), "column 'temp' is datetime64.* not numbers"),
        (lambda f: f.assign(temp=[1j, 2j, 3j]), "column 'temp' is complex128, not numbers"),
        (lambda f: f.assign(temp=[[1], [2], [3]]), "column 'temp' is object, not numbers"),
    ],
)
def test_pyfunc_names_the_column_and_the_row_of_bad_input(pyfunc, frame, change, line):
    with pytest.raises(MlflowException, match=line):
        pyfunc.predict(change(frame))


def test_loading_warns_of_nothing_of_ours(directory, recwarn):
    load(directory)
    load(directory, "pytorch")
    assert [str(w.message) for w in recwarn if "type hint" in str(w.message).lower()] == []


# --- mlflow.pytorch


@pytest.mark.parametrize("rows", [0, 1, 2, 1000])
def test_pytorch_takes_the_design_tensor_of_any_length(directory, rows):
    module = load(directory, "pytorch")
    x_NF = np.random.default_rng(1).normal(70, 20, (rows, 3)).astype(np.float32)
    y_NO = module(torch.from_numpy(x_NF))
    assert (y_NO.dtype, tuple(y_NO.shape)) == (torch.float32, (rows, 2))
    np.testing.assert_array_equal(y_NO.numpy(), MODEL.predict(x_NF).astype(np.float32))


def test_pytorch_keeps_the_digits_of_columns_far_from_zero(tmp_path):
    far = LinearModel(np.array([[3.0]]), np.array([0.5]), np.array([16_000_001.0]), ("year",), ("y",))
    model_writer.write(Contents(far), tmp_path / "model", example=[[16_000_002.0]], metadata={})
    x = torch.tensor([[16_000_002.0], [16_000_000.0]])
    assert load(tmp_path / "model", "pytorch")(x).tolist() == [[3.5], [-2.5]]


@pytest.mark.parametrize(("features", "targets"), [(1, 1), (1, 3), (2, 1), (40, 5)])
def test_every_shape_of_model_is_served(tmp_path, features, targets):
    rng = np.random.default_rng(2)
    columns, names = (tuple(f"{k} {i}" for i in range(n)) for k, n in (("x", features), ("y", targets)))
    weight_OF, bias_O, mean_F = (rng.normal(size=size) for size in ((targets, features), targets, features))
    model = LinearModel(weight_OF, bias_O, mean_F, columns, names)
    x_NF = rng.normal(size=(7, features)).astype(np.float32)
    model_writer.write(Contents(model), tmp_path / "model", example=x_NF.tolist(), metadata={})
    frame = pd.DataFrame(x_NF, columns=list(columns))
    y = load(tmp_path / "model").predict(frame)
    np.testing.assert_allclose(y.to_numpy(), model.predict(x_NF), rtol=1e-12)
    module = load(tmp_path / "model", "pytorch")
    np.testing.assert_allclose(module(torch.from_numpy(x_NF)).numpy(), model.predict(x_NF), rtol=1e-5, atol=1e-6)


# --- the directory


def test_the_directory_says_how_to_call_it(directory):
    meta = load(directory).metadata
    assert meta.get_input_schema().input_names() == list(MODEL.features)
    assert meta.get_output_schema().input_names() == list(MODEL.targets)
    assert meta.metadata["trainer"] == "gram"
    assert set(meta.flavors) == {"python_function", "pytorch"}
    example = meta.load_input_example(str(directory))
    np.testing.assert_array_equal(example.to_numpy(), X_NF)
    assert "mlflow.pyfunc.load_model(MODEL).predict(frame)" in (directory / "README.md").read_text()


def test_requirements_are_pinned_to_what_is_installed_and_on_an_index(directory):
    pins = (directory / "requirements.txt").read_text().split()
    assert {pin.partition("==")[0] for pin in pins} == {"mlflow", "numpy", "pandas", "safetensors", "torch"}
    assert all("+" not in pin for pin in pins)


def test_no_file_is_a_pickle_but_torchs_own_list_of_example_shapes(directory):
    """The exporter always writes its example input (two rows of ones) as a checkpoint; it holds tensors alone."""
    for path in filter(os.path.isfile, directory.rglob("*")):
        assert path.suffix not in (".pkl", ".pickle", ".pth")
    with zipfile.ZipFile(directory / model_writer.PROGRAM) as program:
        (inside,) = (n for n in program.namelist() if n.endswith(".pt"))
        with program.open(inside) as f, zipfile.ZipFile(f) as checkpoint:
            (stream,) = (n for n in checkpoint.namelist() if n.endswith("data.pkl"))
            called = [arg for op, arg, _ in pickletools.genops(checkpoint.read(stream)) if op.name == "GLOBAL"]
    assert set(called) <= {"torch._utils _rebuild_tensor_v2", "torch FloatStorage", "collections OrderedDict"}


# --- what is kept beside the parameters


NAMES = MODEL.features, MODEL.targets
# a gap in the first row; a column without any value has no range
TEST = MomentsWithGaps.of([np.array([[np.nan, 2.0, 3.0, 4.0, 5.0], [1.5, 2, 2, 2, 0], [1, 1, 0, 2, 7]])], *NAMES)
ENDS = Ranges(np.array([1.0, 1, 0, 2, np.inf]), np.array([1.5, 2, 3, 4, -np.inf]))
LINEAGE = Lineage((("a.csv", "00ff"), ("d=1/b.csv", "01")), (3.0, 0.0), (*NAMES[0], *NAMES[1]), ENDS)


@pytest.fixture(scope="module")
def record():
    rng = np.random.default_rng(0)
    x_NF = rng.normal(70, 20, (40, 3))
    y_NO = MODEL.predict(x_NF) + rng.normal(size=(40, 2))
    return Moments.of([np.hstack([x_NF, y_NO])], MODEL.features, MODEL.targets)


@pytest.fixture(scope="module")
def full(record, tmp_path_factory):
    """The directory of a model with all that is kept beside one."""
    path = tmp_path_factory.mktemp("full") / "model"
    contents = Contents(MODEL, record, infer(MODEL, record), TEST, LINEAGE)
    model_writer.write(contents, path, example=X_NF.tolist(), metadata={})
    return path


def test_the_record_and_the_inference_come_back_as_they_were(full, record):
    held = model_reader.read_contents(full, manifest=model_reader.sha256(full / model_reader.MANIFEST))
    assert (held.model.predict(X_NF) == MODEL.predict(X_NF)).all()
    assert held.inference == infer(MODEL, record)
    assert (held.moments.rows, held.moments.weight) == (record.rows, record.weight)
    assert (held.moments.root_KK == record.root_KK).all()
    assert (held.test.gaps, held.test.missing) == (TEST.gaps, 1)
    assert (held.test.moments.root_KK == TEST.moments.root_KK).all()
    for field in ("partitions", "weights", "columns"):
        assert getattr(held.lineage, field) == getattr(LINEAGE, field)
    assert (held.lineage.ranges.low_P == LINEAGE.ranges.low_P).all()
    assert (held.lineage.ranges.high_P == LINEAGE.ranges.high_P).all()
    assert held.lineage.digests == {"00ff", "01"}


def test_a_version_without_them_gives_the_parameters(directory):
    held = model_reader.read_contents(directory)
    assert (held.moments, held.inference, held.test, held.lineage) == (None, None, None, None)
    assert (held.model.predict(X_NF) == model_reader.read(directory).predict(X_NF)).all()
    assert (held.model.predict(X_NF) == MODEL.predict(X_NF)).all()


def test_an_inference_that_the_manifest_does_not_know_is_not_read(directory, full, tmp_path):
    copy = shutil.copytree(directory, tmp_path / "copy")
    shutil.copy(full / model_reader.INFERENCE, copy / model_reader.INFERENCE)
    assert model_reader.read_contents(copy).inference is None


KEPT = ("WEIGHTS", "PROGRAM", "CODE", "MANIFEST", "MOMENTS", "INFERENCE", "TEST", "LINEAGE")


@pytest.mark.parametrize(
    ("kind", "damage"), [*((kind, "flip") for kind in KEPT), *itertools.product(KEPT[:4], ("cut", "remove"))]
)
def test_a_damaged_file_is_refused_by_us_and_by_the_pyfunc(full, tmp_path, kind, damage):
    file, copy = getattr(model_reader, kind), shutil.copytree(full, tmp_path / "copy")
    data = bytearray((copy / file).read_bytes())
    if damage == "flip":
        data[-20] ^= 1
    (copy / file).write_bytes(data[:-1] if damage == "cut" else data)
    if damage == "remove":
        (copy / file).unlink()
    manifest = model_reader.sha256(full / model_reader.MANIFEST)
    for read in (model_reader.read, model_reader.read_contents):
        with pytest.raises(UserError, match=rf"{file} is not the (file|one) that was logged"):
            read(copy, manifest=manifest)
    by_the_code = kind not in ("MANIFEST", "CODE")  # without these it cannot look
    with pytest.raises(Exception, match=f"{file} of this model" if by_the_code else r".+"):
        load(copy)


def test_a_folder_without_a_manifest_is_no_model(tmp_path):
    with pytest.raises(UserError, match="no readable manifest"):
        model_reader.read(tmp_path)


def test_an_inference_of_another_release_is_told(record, tmp_path, monkeypatch):
    monkeypatch.setattr(Inference, "to_json", lambda _: {"inference": "valid"})
    path = tmp_path / "model"
    model_writer.write(Contents(MODEL, record, infer(MODEL, record)), path, example=X_NF.tolist(), metadata={})
    with pytest.raises(UserError, match="another release"):
        model_reader.read_contents(path)


# --- where this package is not installed

STRANGER = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("linreg", "flows", "prefect", "pickle_module"):
            raise ModuleNotFoundError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocked())
import json
import mlflow, pandas as pd, torch

frame = pd.DataFrame({"humidity": [43, 64, 58], "temp": [73.0, 91.0, 87.0], "rainfall": [67, 88, 134]})
x = torch.tensor(frame[["temp", "rainfall", "humidity"]].to_numpy(), dtype=torch.float32)
by_name = mlflow.pyfunc.load_model("models:/crop-yield@champion").predict(frame)
by_tensor = mlflow.pytorch.load_model("models:/crop-yield/1")(x)
loaded = sorted({m.partition(".")[0] for m in sys.modules} & {"linreg", "flows", "prefect"})
print(json.dumps({"pyfunc": by_name.to_dict("list"), "pytorch": by_tensor.tolist(), "loaded": loaded}))
"""


@pytest.fixture
def registered(store):
    """A champion in a store; the environment of somebody who has MLflow and that store, and nothing of ours."""
    run, model = logged_run(store)
    registry.register(store, "crop-yield", logged_model=model, run_id=run.run_id, content_key="a", facts=FACTS)
    registry.promote(store, "crop-yield", 1, why="first")
    env = environment(MLFLOW_TRACKING_URI=store.uri, MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    return {name: value for name, value in env.items() if name != "PYTHONPATH"}


def test_a_registered_version_answers_where_this_package_is_not_installed(registered, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    process = run([sys.executable, "-I", "-c", STRANGER], cwd=tmp_path / "elsewhere", env=registered)
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    assert answer["loaded"] == []
    expected = MODEL.predict(X_NF)
    assert answer["pyfunc"] == {"apples": expected[:, 0].tolist(), "oranges": expected[:, 1].tolist()}
    np.testing.assert_array_equal(np.float32(answer["pytorch"]), np.float32(expected))
    assert "mismatch" not in process.stderr


def test_the_copied_code_takes_the_texts_for_no_level_that_files_are_read_with():
    assert set(tables._NULLS) == served_code.NULLS


# --- mlflow models serve


def test_mlflow_models_serve_answers_by_name_and_refuses_with_400(registered, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/crop-yield@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = f"{BIN}{os.pathsep}{registered['PATH']}"
    ping, url = (f"http://127.0.0.1:{port}/{place}" for place in ("ping", "invocations"))
    with listening(command, ping, cwd=tmp_path, env=registered | {"PATH": path}, log=tmp_path / "log"):
        split = {"columns": ["humidity", "temp", "rainfall"], "data": [[43, 73.0, 67], [64, 91.0, 88]]}
        expected = [dict(zip(MODEL.targets, row, strict=True)) for row in MODEL.predict(X_NF[:2]).tolist()]
        assert asked(url, {"dataframe_split": split}) == {"predictions": expected}
        with pytest.raises(HTTPError, match="400") as refused:
            asked(url, {"dataframe_records": [{"temp": "hot", "rainfall": 1, "humidity": 2}]})
        with refused.value as answer:
            assert "column 'temp' holds text in row 0 ('hot')" in json.dumps(json.load(answer))
