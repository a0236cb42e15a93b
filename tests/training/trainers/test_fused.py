"""The compiled loop: the same numbers as PyTorch on the same batches, the same bits every time, and a fair shuffle."""

import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from linreg.config import TrainConfig
from linreg.kernels.batch import epoch as kernel
from linreg.least_squares.objective import Objective
from linreg.rows.batches import block_rows, epoch_order, mixes, place
from linreg.rows.rows import Rows
from linreg.training.choose import Problem, choose
from linreg.training.fit import fit
from linreg.training.trainers import fused
from tests.support.processes import ROOT, WITHOUT_VECTORS, compiled_for, run
from tests.support.tables import random_rows, rows_of
from tests.training.references import relative_error

BOUND = {"float64": 1e-11, "float32": 2e-5}
SHAPES = {  # rows, features, targets, batch: every way through the kernels
    "few parameters, batch of one vector": (2500, 3, 2, 5),
    "few parameters, batch of many": (2500, 7, 2, 100),
    "one feature, one row a batch": (1500, 1, 1, 1),
    "weights in registers": (2100, 32, 1, 64),
    "weights in registers, padded": (2100, 19, 2, 33),
    "tiles": (1500, 130, 9, 100),
    "batches longer than a block": (3000, 3, 2, 2000),
    "all rows": (1100, 19, 2, 0),
}
OPTIONS = {
    "plain": {},
    "weight decay": {"weight_decay": 0.3},
    "momentum": {"momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1},
    "nesterov": {"momentum": 0.8, "nesterov": True},
}


@pytest.fixture(autouse=True)
def compile_always(monkeypatch):
    monkeypatch.setattr(fused, "COMPILING", 0)


def config_of(trainer: str, batch: int, **options: object) -> TrainConfig:
    settings: dict = {"learning_rate": 0.01, "epochs": 3, "seed": 2, "standardize": False, "device": "cpu", **options}
    return TrainConfig(trainer=trainer, batch_size=batch, **settings)


def parameters(rows: Rows, config: TrainConfig) -> np.ndarray:
    model = fit(rows, config).model
    return np.vstack([model.intercept_O, model.weight_OF.T])


def check(rows: Rows, batch: int, *, dtype: str = "float64", **options: object) -> None:
    """As near to torch's own SGD as the dtype allows."""
    ours, theirs = (parameters(rows, config_of(t, batch, dtype=dtype, **options)) for t in ("fused", "builtin"))
    assert relative_error(ours, theirs) <= BOUND[dtype]


# Each kernel is compiled at its first use, for seconds: one of each kind here, the others in the long run.
FEW, PADDED = "few parameters, batch of one vector", "weights in registers, padded"
OFTEN = {(FEW, "float32"), (PADDED, "float64"), ("tiles", "float64"), ("all rows", "float64")}
OFTEN |= {(PADDED, "nesterov", False)}
OFTEN |= {(3, 2, 5), (32, 1, 64)}


def mostly_long(cases):
    return [pytest.param(*case, marks=() if case in OFTEN else pytest.mark.long) for case in cases]


@pytest.mark.parametrize(("shape", "dtype"), mostly_long(product(SHAPES, BOUND)))
def test_it_gives_the_numbers_of_torch_s_sgd_on_the_same_batches(shape: str, dtype: str) -> None:
    n, f, o, batch = SHAPES[shape]
    check(random_rows(n, f, o), batch, dtype=dtype)


@pytest.mark.parametrize(
    ("shape", "option", "weighted"), mostly_long(product((FEW, PADDED, "tiles"), OPTIONS, (False, True)))
)
def test_every_option_gives_the_numbers_of_torch_s_sgd(shape: str, option: str, weighted: bool) -> None:
    n, f, o, batch = SHAPES[shape]
    check(random_rows(n, f, o, weighted=weighted), batch, learning_rate=0.002, **OPTIONS[option])


@pytest.mark.parametrize(
    ("features", "targets", "batch"), mostly_long([(3, 2, 5), (32, 1, 64), (32, 1, 0), (32, 2, 64), (33, 1, 64)])
)
def test_in_order_it_walks_the_rows_as_they_stand(features: int, targets: int, batch: int) -> None:
    check(random_rows(2500, features, targets), batch, shuffle=False)


def test_a_short_training_by_torch_gives_the_same_numbers(monkeypatch) -> None:
    rows, config = random_rows(2500, 3, 2, weighted=True), config_of("fused", 5, dtype="float64", **OPTIONS["momentum"])
    compiled = parameters(rows, config)
    monkeypatch.setattr(fused, "COMPILING", 10**9)
    monkeypatch.setattr(kernel, "epoch", lambda *_, **__: pytest.fail("compiled after all"))
    assert relative_error(compiled, parameters(rows, config)) <= BOUND["float64"]


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    rows, config = random_rows(2500, 19, 2), config_of("fused", 33, dtype="float64")
    first, again, other = (parameters(rows, replace(config, seed=s)) for s in (5, 5, 6))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


BITS = """
import sys, numpy as np
sys.path[:0] = ["."]
from tests.training.trainers.test_fused import config_of, fused, parameters
from tests.support.tables import random_rows
fused.COMPILING = 0
for n, f, o, b in ((2500, 3, 2, 5), (2100, 32, 1, 64), (1500, 130, 9, 100)):
    print(parameters(random_rows(n, f, o), config_of("fused", b, momentum=0.5)).tobytes().hex())
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "machine", [{}, {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx"}], ids=["own", "AVX2"]
)
def test_the_bits_are_those_of_a_machine_without_vectors(machine: dict[str, str], tmp_path) -> None:
    assert compiled_for(machine, BITS, tmp_path) == compiled_for(WITHOUT_VECTORS, BITS, tmp_path)


# float32, one target, rows in order, whole vectors: by rows in registers, and as tiles
AT_A_WALL = """
import ctypes, mmap, sys
import numpy as np, torch
from linreg.rows.rows import Rows
from linreg.training.fit import fit
from linreg.training.trainers import fused
from tests.training.trainers.test_fused import config_of
from tests.support.tables import random_rows

def at_a_wall(tensor):
    size = -(-tensor.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    room = mmap.mmap(-1, size + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + size), mmap.PAGESIZE, 0) == 0
    values = np.frombuffer(room, np.float32, tensor.numel(), size - tensor.nbytes).reshape(tensor.shape)
    values[:] = tensor.numpy()
    return torch.from_numpy(values)

tensors, fused.COMPILING = Rows.tensors, 0
rows, config = random_rows(1001, int(sys.argv[1]), 1), config_of("fused", 50, dtype="float32", shuffle=False)
plain = fit(rows, config).train_loss
Rows.tensors = lambda *args, **options: tuple(map(at_a_wall, tensors(*args, **options)))
assert fit(rows, config).train_loss == plain
"""


@pytest.mark.long
@pytest.mark.parametrize("features", [32, 144])
def test_nothing_is_read_beyond_the_rows(features: int) -> None:
    run([sys.executable, "-c", AT_A_WALL, str(features)], cwd=ROOT, check=True)


def test_rows_get_one_random_place_each() -> None:
    for n in (2, 3, 1025, 70_001):
        places = np.concatenate([place(i, min(i + 500, n), n) for i in range(0, n, 500)])
        assert sorted(places) == list(range(n))
    spread = np.abs(np.diff(place(0, 70_001, 70_001)))
    assert 0.2 < spread.mean() / 70_001 < 0.45  # a third for a random order


def sorted_rows(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose order says something: by the target, by a group with an effect of its own, along time with a drift."""
    x = rng.normal(size=(n, 3))
    noise = rng.normal(size=n)
    t = np.arange(n) / n
    if kind == "group":
        noise += rng.normal(size=20).repeat(n // 20) * 2
    if kind == "time":
        noise += 6 * t
        x[:, 0] += 3 * t
    y = x @ np.array([1.0, -2.0, 3.0]) + noise
    order = np.argsort(y) if kind == "target" else np.arange(n)
    return x[order], y[order]


@pytest.mark.parametrize("batch", [8, pytest.param(64, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["target", "group", "time"])
def test_the_shuffle_is_worth_a_full_one_on_ordered_data(kind: str, batch: int) -> None:
    """Mean excess loss of ten seeds within twice that of a fresh permutation of all rows every epoch."""
    n = 40_000
    x, y = sorted_rows(kind, n, np.random.default_rng(1))
    rows = rows_of(x, np.column_stack([y, y]))
    assert mixes(n, batch)
    assert n > 8 * block_rows(batch)
    ours, full = [], []
    for seed in range(10):
        config = config_of("fused", batch, learning_rate=0.02, epochs=2, seed=seed)
        result = fit(rows, config)
        ours.append(result.excess_loss[-1])
        full.append(full_shuffle(x, y, result.objective, config))
    assert np.mean(ours) <= 2 * np.mean(full)


def full_shuffle(x: np.ndarray, y: np.ndarray, objective: Objective, config: TrainConfig) -> float:
    """The same descent over rows permuted by numpy beforehand, anew for every epoch, and walked in order."""
    rng = np.random.default_rng(config.seed)
    trainer = choose(replace(config, shuffle=False))[0]
    state = None
    for _ in range(config.epochs):
        p = rng.permutation(len(x))
        tensors = torch.tensor(x[p], dtype=torch.float32), torch.tensor(np.column_stack([y, y])[p], dtype=torch.float32)
        problem = Problem(objective, *tensors, config.seed, torch.float32, torch.device("cpu"))
        state = trainer.step(problem, trainer.init(problem) if state is None else state)
    return objective.excess_loss(trainer.theta(problem, state))


def test_every_pair_of_rows_meets_in_a_batch_about_equally_often() -> None:
    """In a block of 1024 and batches of 4: rows that are neighbours, or 32 apart, meet no more than others do."""
    meet = {1: 0, 32: 0, 511: 0}
    for epoch in range(1, 401):
        where = np.empty(1024, np.int64)
        where[epoch_order(1024 * 2, 4, seed=1, epoch=epoch)[:1024] % 1024] = np.arange(1024) // 4
        for gap in meet:
            meet[gap] += int((where[:-gap] == where[gap:]).sum())
    for gap, count in meet.items():
        expected = 400 * (1024 - gap) * 3 / 1023
        assert abs(count / expected - 1) < 0.25, (gap, count, expected)
