"""Epochs by torch's own operations, on a GPU where there is one: the numbers of ``torch.optim.SGD``."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from linreg.least_squares.objective import Objective
from linreg.moments.moments import Moments
from linreg.training.choose import Problem, State
from linreg.training.trainers import torch_epoch as module
from linreg.training.trainers.builtin import Builtin
from linreg.training.trainers.fused import Fused
from linreg.training.trainers.torch_epoch import torch_epoch

BOUND = {torch.float64: 1e-12, torch.float32: 2e-5}
SHAPES = {  # rows, features, targets, batch
    "short last batch": (1500, 7, 2, 700),
    "one feature": (40, 1, 1, 7),
    "all rows": (90, 5, 1, 0),
    "wide": (330, 33, 1, 300),
    "three targets": (90, 70, 3, 40),
}
OPTIONS = {
    "plain": {},
    "decay": {"weight_decay": 0.3},
    "momentum": {"momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1},
    "nesterov": {"momentum": 0.8, "nesterov": True},
    "rows as they stand": {"shuffle": False},
    "a rate an epoch": {"momentum": 0.9, "schedule": "step", "step_size": 1, "gamma": 0.25},
}


def problem_of(n: int, f: int, o: int, dtype: torch.dtype, device: torch.device, *, weighted: bool = False) -> Problem:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, f))
    y = x @ rng.normal(size=(f, o)) + 3 + 0.5 * rng.normal(size=(n, o))
    w = rng.uniform(0.2, 1.8, n) if weighted else None
    names = tuple(f"x{i}" for i in range(f)), tuple(f"y{i}" for i in range(o))
    objective = Objective.of(Moments.of([np.hstack([x, y])], *names))
    x_NF, y_NO, weight_N = (None if a is None else torch.from_numpy(a).to(device, dtype) for a in (x, y, w))
    return Problem(objective, x_NF, y_NO, seed=3, dtype=dtype, device=device, weight_N=weight_N)


def trainer_of(batch: int, **options) -> Fused:
    return Fused(0.01, batch_size=batch, **options)


def walk(trainer: Fused, problem: Problem, *, epochs: int = 2) -> State:
    state = trainer.init(problem)
    for _ in range(epochs):
        state = torch_epoch(trainer, problem, state)
    return state


def theta(state: State) -> torch.Tensor:
    return torch.cat([state["bias"][:, None], state["weight"]], 1).detach().cpu()


def check(trainer: Fused, problem: Problem) -> None:
    """The parameters are those that ``builtin``, torch's own module, loss and optimiser, comes to on the CPU."""
    builtin = Builtin(**{field.name: getattr(trainer, field.name) for field in fields(Builtin)})
    x_NF, y_NO, weight_N = (t if t is None else t.cpu() for t in (*problem.rows(), problem.weight_N))
    on_cpu = replace(problem, x_NF=x_NF, y_NO=y_NO, weight_N=weight_N, device=torch.device("cpu"))
    theirs = theta(builtin.step(on_cpu, builtin.step(on_cpu, builtin.init(on_cpu))))
    assert (theta(walk(trainer, problem)) - theirs).abs().max() <= BOUND[problem.dtype] * theirs.abs().max()


def same_bits(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("dtype", BOUND, ids=["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_gives_the_numbers_of_torch_s_sgd(shape: str, dtype: torch.dtype, device) -> None:
    *sizes, batch = SHAPES[shape]
    check(trainer_of(batch, **OPTIONS["momentum"]), problem_of(*sizes, dtype, device))


@pytest.mark.parametrize("weighted", [False, True], ids=["equal rows", "weights"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", ["short last batch", "one feature", "wide", "all rows"])
def test_every_option_gives_the_numbers_of_torch_s_sgd(shape: str, options: str, weighted: bool, device) -> None:
    *sizes, batch = SHAPES[shape]
    check(trainer_of(batch, **OPTIONS[options]), problem_of(*sizes, torch.float64, device, weighted=weighted))


@pytest.mark.parametrize("shape", SHAPES)
def test_taken_up_again_it_goes_on_with_the_same_bits(shape: str, device) -> None:
    *sizes, batch = SHAPES[shape]
    trainer, problem = trainer_of(batch, **OPTIONS["momentum"]), problem_of(*sizes, torch.float32, device)
    half = walk(trainer, problem, epochs=1)
    kept = {name: value.clone() for name, value in half.items()}
    resumed = torch_epoch(trainer, problem_of(*sizes, torch.float32, device), half)
    assert same_bits(resumed, walk(trainer, problem, epochs=2))
    assert same_bits(half, kept)  # the state handed in is left as it was


def test_the_bits_do_not_hang_on_the_number_of_threads(device) -> None:
    trainer, problem = trainer_of(30_000), problem_of(70_000, 33, 2, torch.float32, device)
    threads = torch.get_num_threads()
    try:
        states = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            states.append(walk(trainer, problem, epochs=1))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert same_bits(states[0], states[1])
    assert same_bits(states[0], states[2])


@pytest.mark.parametrize("options", OPTIONS)
def test_a_recorded_step_walks_the_same_batches(options: str, monkeypatch) -> None:
    """All of it but the capture, which is a CUDA device's own: the work itself stands for the graph."""
    trainer, problem = trainer_of(7, **OPTIONS[options]), problem_of(40, 3, 2, torch.float64, torch.device("cpu"))
    expected = walk(trainer, problem)
    captures = []
    monkeypatch.setattr(module, "RECORDED", {"cpu": 4})
    monkeypatch.setattr(module, "_captured", lambda work, device: captures.append(device) or work)
    assert same_bits(walk(trainer, problem), expected)
    assert len(captures) == 2  # one an epoch
    walk(trainer_of(8), problem_of(40, 3, 2, torch.float64, torch.device("cpu")))
    assert len(captures) == 4
    walk(trainer_of(10), problem_of(40, 3, 2, torch.float64, torch.device("cpu")))
    assert len(captures) == 4  # too few batches


@pytest.mark.gpu
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", [(200_003, 32, 1, 640), (500_003, 3, 2, 5000), (1_000_003, 32, 1, 0)])
def test_on_a_gpu_recorded_steps_give_the_numbers_of_torch_and_the_same_bits_twice(shape, options, device) -> None:
    *sizes, batch = shape
    trainer, problem = trainer_of(batch, **OPTIONS[options]), problem_of(*sizes, torch.float64, device)
    check(trainer, problem)
    assert same_bits(walk(trainer, problem), walk(trainer, problem))


@pytest.mark.gpu
def test_on_a_gpu_another_problem_and_other_hyperparameters_walk_their_own_rows(device) -> None:
    first, second = (problem_of(n, 8, 1, torch.float64, device) for n in (60_000, 60_001))
    trainer = trainer_of(256, **OPTIONS["nesterov"])
    for problem in (first, second, replace(first, seed=4)):
        check(trainer, problem)
        check(replace(trainer, learning_rate=0.005), problem)
