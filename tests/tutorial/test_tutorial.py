"""The tutorial: every step against what it prints, its page and its notebook.

How far a printed number may be from ours is derived, not chosen: the printed parameters are known to half a unit of the
fourth decimal. The bound in ``linreg.tutorial.check`` is held against parameters drawn from that box.
"""

import contextlib
import math
import os
import pty
import re
import runpy
import sys
import termios
from itertools import pairwise

import jupytext
import nbformat
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from docs import build
from linreg.errors import UserError
from linreg.least_squares.objective import Objective, largest_stable_rate
from linreg.training.convergence import parameters_after, recorded_epochs
from linreg.training.trainers.contract import seeded_start
from linreg.tutorial import (
    check,
    crops,
    descend,
    draw_parameters,
    fit,
    gradients,
    mse,
    one_epoch,
    printed_numbers,
    regression_model,
    step,
    tensors,
    update,
    zero_gradients,
)
from linreg.tutorial.__main__ import main as print_table
from tests.support import tables
from tests.support.processes import PATIENCE, ROOT, environment, run, started
from tests.support.tables import X5, X15, Y5, Y15, moments_of

HALF_UNIT = 0.5e-4  # of the fourth decimal, to which the tutorial prints its parameters
DESIGN5 = np.column_stack([np.ones(5), X5])


def at_the_printed_weights() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    printed = (tables.PRINTED_WEIGHT, tables.PRINTED_BIAS)
    weight, bias = (torch.tensor(p, dtype=torch.float32, requires_grad=True) for p in printed)
    return *tensors(X5, Y5), weight, bias


def from_numpy(theta_DO: np.ndarray) -> dict[str, np.ndarray]:
    """The printed quantities from the formulas, in float64 numpy: independent of the library and of autograd."""

    def loss(t: np.ndarray) -> float:
        return float(((DESIGN5 @ t - Y5) ** 2).mean())

    slope = 2 / Y5.size * DESIGN5.T @ (DESIGN5 @ theta_DO - Y5)
    return {
        "prediction": DESIGN5 @ theta_DO,
        "loss": np.array(loss(theta_DO)),
        "weights": slope[1:].T,
        "biases": slope[0],
        "next": np.array(loss(theta_DO - 1e-5 * slope)),
    }


THETA = np.vstack([tables.PRINTED_BIAS, tables.PRINTED_WEIGHT.T])
PRINTED = {
    "prediction": tables.PRINTED_PREDICTIONS,
    "loss": np.array(tables.PRINTED_LOSS),
    "weights": tables.PRINTED_WEIGHT_GRADIENT,
    "biases": tables.PRINTED_BIAS_GRADIENT,
    "next": np.array(tables.PRINTED_NEXT_LOSS),
}


def rounding(name: str) -> np.ndarray:
    """What half a unit in every parameter can move a quantity by, at most: the sum of its moves in each.

    Central differences over the whole half unit are the first order of a quadratic; the second is below 1e-4 of it.
    """
    total = np.zeros_like(PRINTED[name], dtype=float)
    for i in np.ndindex(THETA.shape):
        by = np.zeros_like(THETA)
        by[i] = HALF_UNIT
        total = total + np.abs(from_numpy(THETA + by)[name] - from_numpy(THETA - by)[name]) / 2
    return total * 1.0001 + HALF_UNIT  # the printed number is rounded to four decimals too


# By hand


def test_arrays_become_float32_tensors_that_later_changes_do_not_reach() -> None:
    inputs, targets = X5.copy(), Y5.astype(int).tolist()
    x, y = tensors(inputs, targets)
    inputs[:] = 0
    assert (x.dtype, y.dtype) == (torch.float32, torch.float32)
    assert (x.tolist(), y.tolist()) == (X5.tolist(), Y5.tolist())


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        ([[1, 2], [3, 4]], [[1]], r"inputs have 2 rows and targets 1: each row needs both"),
        ([[1, 2], [3]], [[1], [2]], r"inputs are not a grid of numbers .* same number of values"),
        ([["a", "b"]], [[1]], r"inputs are not a grid of numbers"),
        ([[1.0]], [1.0], r"targets have shape \(1,\), not \(rows, columns\): .*reshape\(-1, 1\)"),
        (3.0, [[1.0]], r"inputs have shape \(\)"),
        ([], [], r"inputs have shape \(0,\)"),
        ([[1.0, 2.0], [3.0, math.nan]], [[1.0], [2.0]], r"inputs\[1, 1\] is nan: fill it or leave the row out"),
        ([[1.0]], [[math.inf]], r"targets\[0, 0\] is inf"),
        ([[1e39]], [[1.0]], r"inputs\[0, 0\] is 1e\+39"),
    ],
)
def test_what_is_not_two_grids_of_numbers_is_refused_with_advice(inputs, targets, message) -> None:
    with pytest.raises(UserError, match=message):
        tensors(inputs, targets)


def test_parameters_are_standard_normal_and_record_their_gradients() -> None:
    weight, bias = draw_parameters(300, 200, generator=torch.Generator().manual_seed(1))
    assert (weight.shape, bias.shape) == ((200, 300), (200,))
    assert weight.requires_grad
    assert bias.requires_grad
    drawn = torch.cat([weight.detach().ravel(), bias.detach()])
    assert abs(drawn.mean().item()) < 4 / len(drawn) ** 0.5
    assert abs(drawn.var().item() - 1) < 4 * (2 / len(drawn)) ** 0.5


def test_a_seeded_draw_is_the_start_of_every_trainer_and_another_one_follows_torchs_own_seed() -> None:
    drawn = draw_parameters(3, 2, generator=torch.Generator().manual_seed(7))
    for ours, theirs in zip(drawn, seeded_start(moments_of(X5, Y5), 7, torch.float32), strict=True):
        assert torch.equal(ours.detach(), theirs)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = torch.randn((2, 3))
        torch.manual_seed(3)
        assert torch.equal(draw_parameters(3, 2)[0].detach(), expected)


def test_the_printed_weights_give_the_printed_predictions_loss_gradients_and_next_loss() -> None:
    x, y, weight, bias = at_the_printed_weights()
    prediction = regression_model(x, weight, bias)
    loss = mse(prediction, y)
    slopes = gradients(loss, weight, bias)
    update(weight, bias, learning_rate=1e-5)
    after = mse(regression_model(x, weight, bias), y)
    ours = dict(zip(PRINTED, (prediction, loss, *slopes, after), strict=True))
    for name, value in ours.items():
        off = np.abs(value.detach().double().numpy() - PRINTED[name])
        assert (off <= rounding(name)).all(), name


def test_gradients_add_up_until_they_are_zeroed() -> None:
    x, y, weight, bias = at_the_printed_weights()
    once, _ = gradients(mse(regression_model(x, weight, bias), y), weight, bias)
    twice, _ = gradients(mse(regression_model(x, weight, bias), y), weight, bias)
    assert torch.equal(twice, 2 * once)
    zero_gradients(weight, bias, *draw_parameters(3, 2))  # where there are any
    assert not weight.grad.any()
    assert not bias.grad.any()
    again, _ = gradients(mse(regression_model(x, weight, bias), y), weight, bias)
    assert torch.equal(again, once)


def test_an_update_subtracts_the_rate_times_the_gradient_and_leaves_the_gradient() -> None:
    x, y, weight, bias = at_the_printed_weights()
    before = weight.detach().clone()
    slope, _ = gradients(mse(regression_model(x, weight, bias), y), weight, bias)
    update(weight, bias, learning_rate=1e-5)
    assert torch.equal(weight.detach(), before - 1e-5 * slope)
    assert torch.equal(weight.grad, slope)
    assert weight.requires_grad


def test_steps_in_the_wrong_order_are_told_which_one_is_missing() -> None:
    x, y, weight, bias = at_the_printed_weights()
    with pytest.raises(UserError, match="call gradients before update"):
        update(weight, bias)
    with pytest.raises(UserError, match="make the parameters with draw_parameters"):
        gradients(mse(regression_model(x, weight.detach(), bias.detach()), y), weight.detach(), bias.detach())
    other = draw_parameters(3, 2)
    with pytest.raises(UserError, match="does not depend on these parameters"):
        gradients(mse(regression_model(x, weight, bias), y), *other)


def test_a_step_returns_the_loss_before_it_and_leaves_no_gradient() -> None:
    x, y, weight, bias = at_the_printed_weights()
    assert step(x, y, weight, bias, learning_rate=1e-5) == pytest.approx(tables.PRINTED_LOSS, abs=rounding("loss"))
    assert not weight.grad.any()
    assert step(x, y, weight, bias, learning_rate=1e-5) == pytest.approx(tables.PRINTED_NEXT_LOSS, abs=rounding("next"))


def test_a_thousand_epochs_follow_the_closed_form_and_keep_the_loss_before_each_update() -> None:
    x, y, weight, bias = at_the_printed_weights()
    history = descend(x, y, weight, bias, learning_rate=1e-5, epochs=1000)
    assert len(history) == 1000
    assert all(type(loss) is float for loss in history)
    hessian = 2 / Y5.size * DESIGN5.T @ DESIGN5
    optimum = np.linalg.lstsq(DESIGN5, Y5, rcond=None)[0]
    for epoch in (0, 1, 10, 100, 999):
        theta = optimum + np.linalg.matrix_power(np.eye(4) - 1e-5 * hessian, epoch) @ (THETA - optimum)
        assert history[epoch] == pytest.approx(((DESIGN5 @ theta - Y5) ** 2).mean(), rel=2e-5)
    assert all(later < earlier for earlier, later in pairwise(history))
    assert mse(regression_model(x, weight, bias), y).item() < history[-1]


def test_a_second_descent_goes_on_where_the_first_one_ended() -> None:
    whole, parts = at_the_printed_weights(), at_the_printed_weights()
    history = descend(*whole, epochs=30)
    assert descend(*parts, epochs=10) + descend(*parts, epochs=20) == history
    assert torch.equal(whole[2], parts[2])


def test_the_tutorials_own_ending_is_above_the_best_possible_loss_and_where_its_start_can_lead() -> None:
    objective = Objective.of(moments_of(X5, Y5))
    assert objective.optimum_loss < printed_numbers.ENDING_LOSS
    starts = np.random.default_rng(1).standard_normal((50_000, 4, 2))
    after = [np.linalg.matrix_power(np.eye(4) - 2e-6 * DESIGN5.T @ DESIGN5, t) for t in (0, 999)]
    away = starts - np.linalg.lstsq(DESIGN5, Y5, rcond=None)[0]
    begin, end = (objective.optimum_loss + ((DESIGN5 @ p @ away) ** 2).mean(axis=(1, 2)) for p in after)
    alike = end[np.abs(begin / printed_numbers.STARTING_LOSS - 1) < 0.02]
    assert len(alike) > 500
    assert alike.min() < printed_numbers.ENDING_LOSS < alike.max()


def test_a_rate_that_is_too_large_is_told_with_the_largest_stable_one() -> None:
    limit = largest_stable_rate(Objective.of(moments_of(X5, Y5)).eigenvalues_D[0])
    with pytest.raises(UserError, match=rf"loss is (inf|nan) at epoch \d+: .* stable rate {limit:.4g}"):
        descend(*at_the_printed_weights(), learning_rate=1e-3)


def on_a_terminal(code: str) -> str:
    """What a Python process prints where stdout and stderr are a terminal."""
    main, ours = pty.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    terminal = {"stdin": ours, "stdout": ours, "stderr": ours}
    with started([sys.executable, "-c", code], env=environment(TERM="xterm"), **terminal) as process:
        os.close(ours)
        seen = b""
        with contextlib.suppress(OSError):  # the terminal is gone once the process is
            while chunk := os.read(main, 4096):
                seen += chunk
        os.close(main)
        assert process.wait(PATIENCE) == 0, seen
    return seen.decode()


def test_the_progress_bar_is_for_terminals_only(capfd) -> None:
    code = """
from linreg.tutorial import descend, draw_parameters, tensors
x, y = tensors([[1.0], [2.0]], [[1.0], [2.0]])
for progress in (False, True):
    descend(x, y, *draw_parameters(1, 1), epochs=50, progress=progress)
    print("ended", flush=True)
"""
    without, with_bar, _ = on_a_terminal(code).split("ended")
    assert without == ""
    assert "50/50" in with_bar
    descend(*at_the_printed_weights(), epochs=50)
    assert tuple(capfd.readouterr()) == ("", "")


# Built in


def at_the_printed_linear() -> nn.Linear:
    model = nn.utils.skip_init(nn.Linear, 3, 2)
    start = {"weight": printed_numbers.LINEAR_WEIGHT_OF, "bias": printed_numbers.LINEAR_BIAS_O}
    model.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    return model


def loader() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    return DataLoader(TensorDataset(*tensors(X15, Y15)), batch_size=5, shuffle=True, generator=generator)


def test_the_printed_linear_layer_has_the_printed_loss() -> None:
    model = at_the_printed_linear()
    assert [tuple(p.shape) for p in model.parameters()] == [(2, 3), (2,)]
    x, y = tensors(X15, Y15)
    residual = np.column_stack([np.ones(15), X15]).T @ (model(x) - y).detach().double().numpy()
    allowed = HALF_UNIT * np.abs(2 / Y15.size * residual).sum() * 1.001 + HALF_UNIT
    assert abs(mse_loss(model(x), y).item() - printed_numbers.LINEAR_LOSS) <= allowed


def test_fit_is_the_loop_written_out_and_prints_every_tenth_epoch_as_the_tutorial_does(capsys) -> None:
    model, twin = at_the_printed_linear(), at_the_printed_linear()
    fit(20, model, mse_loss, torch.optim.SGD(model.parameters(), lr=1e-5), loader())
    optimizer, batches, losses = torch.optim.SGD(twin.parameters(), lr=1e-5), loader(), []
    for _ in range(20):
        for x, y in batches:
            optimizer.zero_grad()
            loss = mse_loss(twin(x), y)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert torch.equal(model.weight, twin.weight)
    assert torch.equal(model.bias, twin.bias)
    lines = f"Epoch [10/20], Loss: {losses[9]:.4f}\nEpoch [20/20], Loss: {losses[19]:.4f}\n"
    assert tuple(capsys.readouterr()) == (lines, "")


def test_a_loader_without_a_batch_is_told() -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    nothing = DataLoader(TensorDataset(*tensors(X5[:3], Y5[:3])), batch_size=5, drop_last=True)
    assert one_epoch(model, mse_loss, optimizer, nothing) is None
    with pytest.raises(UserError, match="no batch: with drop_last"):
        fit(10, model, mse_loss, optimizer, nothing)


# The table


def test_the_librarys_printed_numbers_and_tables_are_the_tutorials() -> None:
    assert check.printed_in_order().tolist() == np.concatenate([np.ravel(n) for n in PRINTED.values()]).tolist()
    assert (printed_numbers.WEIGHT_OF == tables.PRINTED_WEIGHT).all()
    assert (printed_numbers.BIAS_O == tables.PRINTED_BIAS).all()
    for rows, x, y in ((crops.first_table(), X5, Y5), (crops.second_table(), X15, Y15)):
        assert [a.tolist() for a in rows.arrays()] == [x.tolist(), y.tolist()]


def test_every_line_of_the_table_is_within_what_the_rounding_explains() -> None:
    lines = check.table(crops.first_table(), crops.second_table())
    assert len(lines) == 10 + 1 + 8 + 8 + 1 + 1
    assert all(abs(line.difference) <= line.allowed for line in lines)
    derived = [rounding(name).ravel() for name in ("prediction", "loss", "weights", "biases")]
    assert [line.allowed for line in lines[:19]] == pytest.approx(np.concatenate(derived).tolist(), rel=2e-4)
    assert [line.allowed for line in lines[19:27]] == [0.0] * 8
    assert lines[27].allowed == pytest.approx(float(rounding("next")), rel=2e-4)


def test_no_parameters_inside_the_rounding_break_the_bound_and_some_come_close() -> None:
    allowed = {line.what: line.allowed for line in check.table(crops.first_table(), crops.second_table())}
    rng, middle = np.random.default_rng(0), from_numpy(THETA)
    corners = [THETA + HALF_UNIT * rng.choice([-1.0, 1.0], THETA.shape) for _ in range(500)]
    for name, what in (("loss", "loss"), ("next", "loss after one update")):
        moved = max(abs(float(from_numpy(corner)[name] - middle[name])) for corner in corners)
        assert 0.9 * allowed[what] < moved <= allowed[what]


def test_with_the_cut_off_decimals_restored_all_twenty_numbers_are_the_printed_ones() -> None:
    theta_P, numbers = check.restored(crops.first_table())
    printed_P = np.concatenate([tables.PRINTED_WEIGHT.ravel(), tables.PRINTED_BIAS])
    assert np.abs(theta_P - printed_P).max() <= HALF_UNIT * (1 + 1e-9)
    theta = np.vstack([theta_P[6:], theta_P[:6].reshape(2, 3).T])
    assert numbers == pytest.approx(np.concatenate([v.ravel() for v in from_numpy(theta).values()]), rel=1e-12)
    steps = np.spacing(np.abs(check.printed_in_order()).astype(np.float32))  # what float32 resolves there
    assert (np.abs(numbers - check.printed_in_order()) <= 2 * np.maximum(HALF_UNIT, steps)).all()


def test_the_command_prints_the_table_from_any_folder(tmp_path) -> None:
    command = [sys.executable, "-W", "error", "-m", "linreg.tutorial"]
    done = run(command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == check.text(check.table(crops.first_table(), crops.second_table())) + "\n"
    assert done.stdout.splitlines()[-1] == "29 of 29 agree within the rounding of the printed weights"
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_an_argument(capsys) -> None:
    assert print_table(["--json"]) == 2
    assert tuple(capsys.readouterr()) == ("", "error: --json: this command takes no arguments: leave them out\n")


def test_the_command_says_where_the_data_is_missing(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(crops, "_FOLDER", tmp_path)
    assert print_table() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "crops.csv" in err


# The walk


@pytest.mark.parametrize("epochs", [0, 1, 2, 59, 60, 61, 100, 1000, 10**9])
def test_few_epochs_are_all_recorded_and_many_ever_farther_apart(epochs: int) -> None:
    recorded = recorded_epochs(epochs)
    assert (recorded[0], recorded[-1]) == (0, epochs)
    assert all(a < b for a, b in pairwise(recorded))
    assert len(recorded) <= 60
    assert all(type(epoch) is int for epoch in recorded)
    if epochs < 60:
        assert recorded == list(range(epochs + 1))
    assert recorded_epochs(1000, most=8) == [0, 1, 3, 10, 32, 100, 316, 1000]


def test_the_walk_is_the_loop_taken_one_step_at_a_time() -> None:
    objective, theta = Objective.of(moments_of(X5, Y5)), THETA
    for epoch in range(50):
        ahead = parameters_after(objective, THETA, learning_rate=1e-5, epochs=epoch)
        assert ahead == pytest.approx(theta, rel=1e-10)
        theta = theta - 1e-5 * 2 / Y5.size * DESIGN5.T @ (DESIGN5 @ theta - Y5)


# The page and its notebook


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(ROOT / "docs/tutorial.ipynb", as_version=4)


def assert_same_text(ours: str, theirs: str) -> None:
    """Word for word, and number for number to what float32 on another kind of machine may do to the last digits."""
    number = re.compile(r"(?<![\w.])-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")
    assert re.sub(r"\s+", " ", number.sub("#", ours)) == re.sub(r"\s+", " ", number.sub("#", theirs))
    a, b = ([float(n.replace(",", "").rstrip(".")) for n in number.findall(text)] for text in (ours, theirs))
    assert a == pytest.approx(b, rel=1e-3, abs=5e-3)


@pytest.mark.parametrize("folder", ["docs", "elsewhere"])
def test_the_page_runs_as_a_script_from_anywhere_and_leaves_nothing(folder, monkeypatch, tmp_path, capsys, stored):
    where = {"docs": ROOT / "docs", "elsewhere": tmp_path}[folder]
    before = {p.name for f in (ROOT, ROOT / "docs", tmp_path) for p in f.iterdir() if p.name != "__pycache__"}
    monkeypatch.chdir(where)
    with torch.random.fork_rng():
        page = runpy.run_path(str(ROOT / "docs/tutorial.py"))
    torch.set_printoptions(profile="default")  # the page sets them for its own process
    outputs = (output for cell in stored.cells for output in cell.get("outputs", ()))
    assert_same_text(capsys.readouterr().out, "".join(o.text for o in outputs if o.output_type == "stream"))
    after = {p.name for f in (ROOT, ROOT / "docs", tmp_path) for p in f.iterdir() if p.name != "__pycache__"}
    assert after == before
    assert page["loss"].item() == pytest.approx(tables.PRINTED_LOSS, abs=rounding("loss"))
    assert page["next_loss"].item() == pytest.approx(tables.PRINTED_NEXT_LOSS, abs=rounding("next"))


def test_the_notebook_is_the_page_with_its_picture_and_without_times_and_random_names(stored) -> None:
    page = jupytext.read(ROOT / "docs/tutorial.py")
    assert [(c.cell_type, c.source) for c in stored.cells] == [(c.cell_type, c.source) for c in page.cells]
    assert [c.id for c in stored.cells] == [f"cell-{i}" for i in range(len(stored.cells))]
    assert all("execution" not in c.metadata for c in stored.cells)
    assert set(stored.metadata) == {"kernelspec", "language_info"}
    assert build.first_picture(stored) == (ROOT / "docs/parabolas.png").read_bytes()


@pytest.mark.long  # runs it
def test_the_notebook_shows_what_running_it_shows(stored) -> None:
    for ours, theirs in zip(build.notebook().cells, stored.cells, strict=True):
        assert ours.get("execution_count") == theirs.get("execution_count")
        outputs = zip(ours.get("outputs", ()), theirs.get("outputs", ()), strict=True)
        for new, old in outputs:
            assert new.output_type == old.output_type
            if new.output_type == "stream":
                assert new.name == old.name == "stdout"
                assert_same_text(new.text, old.text)
            else:
                assert set(new.data) == set(old.data) == {"image/png", "text/plain"}
                assert new.data["text/plain"] == old.data["text/plain"]


def test_every_step_says_in_a_sentence_what_the_moments_add(stored) -> None:
    sections = re.split(r"^## ", "\n".join(c.source for c in stored.cells if c.cell_type == "markdown"), flags=re.M)
    steps = [s for s in sections[1:] if not s.startswith("Printed, ours")]
    assert len(steps) == 14
    for section in steps:
        assert section.count("What the moments add") == 1, section.splitlines()[0]
