"""Records and full-batch epochs on a GPU, beside a read and a copy of the same memory.

    python -m bench gpu

Rows lie on the device for epochs and come from host memory for records. ``read`` is torch's sum of as many bytes on the
device, ``copy`` a copy there (bytes read and written), ``pinned`` one from pinned host memory.

Shapes: N rows, F features.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch

from bench import data
from bench.harness import Contender, Result, in_turn, more_is_better, seconds
from linreg.least_squares.objective import Objective
from linreg.moments import from_rows
from linreg.training.trainers.contract import Problem
from linreg.training.trainers.fused import Fused

FEATURES = (3, 32)
SIZE = 1 << 32  # bytes of rows: far beyond a GPU's caches
READ, COPY, PINNED = "read", "copy", "pinned"


def run(*, size: int = SIZE, rounds: int = 7, device: str = "cuda:0") -> list[Result]:
    """A record and an epoch for each number of features; none where there is no GPU."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        sys.stderr.write("gpu: skipped, no NVIDIA GPU on this machine\n")
        return []
    return [result for f in FEATURES for result in _results(f, size, rounds, torch.device(device))]


def _results(features: int, size: int, rounds: int, device: torch.device) -> list[Result]:
    rows = data.rows(*data.arrays(size // (4 * (features + 1)), features))
    x_NF, y_NO = (t.to(device) for t in rows.tensors(torch.float32))
    record = from_rows.moments(rows)[0]
    np.testing.assert_allclose(
        from_rows.moments(rows, device=device)[0].solve().weight_OF, record.solve().weight_OF, rtol=1e-9, atol=1e-12
    )
    trainer = Fused(0.01, momentum=0.9)
    problem = Problem(Objective.of(record), x_NF, y_NO, seed=0, dtype=torch.float32, device=device)
    state = trainer.init(problem)
    limits = _limits(x_NF)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    note = f"{len(rows):,} rows in float32 on {name}, one target; medians of {rounds} in turn"
    works = {
        "record": (lambda: from_rows.moments(rows, device=device), "from Arrow's columns in host memory"),
        "epoch": (lambda: trainer.step(problem, state), "a full batch with momentum"),
    }
    return [
        more_is_better(
            f"gpu {case} F={features}",
            "GB/s",
            in_turn({"ours": _speed(work, x_NF.nbytes + y_NO.nbytes, device)} | limits, rounds),
            {},
            note=f"{what}, {note}",
        )
        for case, (work, what) in works.items()
    ]


def _limits(x_NF: torch.Tensor) -> dict[str, Contender]:
    there = torch.empty_like(x_NF)
    pinned = torch.ones(x_NF.shape, pin_memory=x_NF.device.type == "cuda")
    return {
        READ: _speed(x_NF.sum, x_NF.nbytes, x_NF.device),
        COPY: _speed(lambda: there.copy_(x_NF), 2 * x_NF.nbytes, x_NF.device),
        PINNED: _speed(lambda: there.copy_(pinned, non_blocking=True), x_NF.nbytes, x_NF.device),
    }


def _speed(work: Callable[[], object], size: int, device: torch.device) -> Contender:
    """Gigabytes (1e9 bytes) a second, when all of it is finish; the first time goes untimed."""

    def finish() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    finish()
    return lambda: (size / 1e9 / seconds(finish)[0],)
