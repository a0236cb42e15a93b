"""The fitted model: its predictions, clear errors, and its file."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from linreg.errors import UserError
from linreg.model import LinearModel

WEIGHT, BIAS, MEAN = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([10.0, 20.0]), np.array([4.0, 5.0])


@pytest.fixture
def model() -> LinearModel:
    return LinearModel(WEIGHT, BIAS, MEAN, ("a", "b"), ("u", "v"), {"run": "x1"})


def by_hand(a: float, b: float) -> list[float]:
    return [10 + (a - 4) - 2 * (b - 5), 20 + 0.5 * (a - 4) + 3 * (b - 5)]


def test_predictions_are_the_formulas_from_arrays_tensors_and_lists(model: LinearModel) -> None:
    wanted = [by_hand(1, 2), by_hand(-3, 0.5)]
    rows = [[1, 2], [-3, 0.5]]
    for x in (rows, np.array(rows), np.array(rows, dtype=np.float32), torch.tensor(rows, requires_grad=True)):
        y = model.predict(x)
        assert y.tolist() == wanted
        assert y.dtype == np.float64
    assert model.predict(torch.tensor(rows, dtype=torch.bfloat16)).tolist() == wanted
    assert model.predict(np.empty((0, 2))).shape == (0, 2)
    frame = pd.DataFrame(rows, columns=["a", "b"])[["b", "a"]]
    assert model.predict(frame[list(model.features)]).tolist() == wanted


@pytest.mark.parametrize("shape", [(2,), (1, 3), (1, 1), (1, 2, 1), ()])
def test_another_number_of_columns_is_an_error(model: LinearModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"the model takes 2 columns \['a', 'b'\]"):
        model.predict(np.ones(shape))


def test_the_intercept_is_the_prediction_at_zero(model: LinearModel) -> None:
    assert model.intercept_O.tolist() == model.predict([[0.0, 0.0]])[0].tolist()


def test_columns_far_from_zero_keep_their_digits() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    far = LinearModel(WEIGHT, BIAS, np.array([1e9, -1e9]), ("a", "b"), ("u", "v"))
    assert far.predict(x + np.array([1e9, -1e9])) == pytest.approx(x @ WEIGHT.T + BIAS, abs=2e-6)


@settings(max_examples=50, deadline=None)
@given(
    weight=arrays.arrays(np.float64, (2, 3), elements=st.floats(allow_nan=False, allow_infinity=False)),
    names=st.lists(st.text(st.characters(blacklist_categories=("Cs",))), min_size=5, max_size=5, unique=True),
    note=st.text(st.characters(blacklist_categories=("Cs",)), max_size=20),
)
def test_any_model_comes_back_from_its_file_to_the_bit(tmp_path_factory, weight, names, note) -> None:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    model = LinearModel(weight, weight[:, 0].copy(), weight[0].copy(), tuple(names[:3]), tuple(names[3:]), {"k": note})
    model.save(path)
    back = LinearModel.load(path)
    assert (back.features, back.targets, back.metadata) == (model.features, model.targets, {"k": note})
    for name in ("weight_OF", "bias_O", "mean_F"):
        assert getattr(back, name).tobytes() == np.ascontiguousarray(getattr(model, name)).tobytes()


def test_a_transposed_view_is_saved_as_it_reads(tmp_path) -> None:
    model = LinearModel(WEIGHT.T.copy().T, BIAS, MEAN, ("a", "b"), ("u", "v"))
    model.save(tmp_path / "m.safetensors")
    assert LinearModel.load(tmp_path / "m.safetensors").weight_OF.tolist() == WEIGHT.tolist()


def test_a_file_that_is_cut_anywhere_is_refused_and_a_flipped_bit_of_its_header_is_no_other_error(
    model: LinearModel, tmp_path
) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match="not a whole model file"):
            LinearModel.load(path)
    refused = 0
    for i in range(8 + int.from_bytes(content[:8], "little")):
        for bit in (1, 32):
            path.write_bytes(content[:i] + bytes([content[i] ^ bit]) + content[i + 1 :])
            try:
                LinearModel.load(path)
            except UserError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("features", "weight"),
    [('["a", "b", "c"]', WEIGHT), ("5", WEIGHT), ("nonsense", WEIGHT), ('["a", "b"]', WEIGHT[:1])],
)
def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path, features: str, weight: np.ndarray) -> None:
    path = tmp_path / "m.safetensors"
    about = {"features": features, "targets": json.dumps(["u", "v"])}
    save_file({"weight": weight, "bias": BIAS, "mean": MEAN}, path, metadata=about)
    with pytest.raises(UserError, match="not a whole model file"):
        LinearModel.load(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UserError, match=f"^no model file {path}"):
            LinearModel.load(path)


def test_parameters_that_do_not_fit_their_names_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit 1 features and 2 targets"):
        LinearModel(WEIGHT, BIAS, MEAN, ("a",), ("u", "v"))


def test_a_file_that_cannot_be_written_is_the_systems_error_and_one_that_can_is_for_all_to_read(
    model: LinearModel, tmp_path
) -> None:
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "nowhere" / "model.safetensors")
    (tmp_path / "other").touch()
    model.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
