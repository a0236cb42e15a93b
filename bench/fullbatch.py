"""1000 full-batch epochs on 4,000,000 rows x 3 features: from moments, beside the tutorial's loop and one bare pass."""

import numpy as np
import torch

from bench import data
from bench.harness import Result, in_turn, less_is_better, load, seconds
from linreg.config import TrainConfig
from linreg.moments.moments import Moments
from linreg.moments.training_record import record_rows
from linreg.rows.rows import Rows
from linreg.training.fit import Fit, fit
from linreg.training.trainers.contract import seeded_start
from linreg.tutorial import mse, regression_model

RATE = 0.1


def run(*, rows: int = 4_000_000, epochs: int = 1000, loop_epochs: int = 10, rounds: int = 9) -> list[Result]:
    busy, table = load(), data.rows(*data.arrays(rows, 3, 2))
    _check_the_same(table, loop_epochs)
    x_NF, y_NO = table.tensors(torch.float32)  # the loop's user has them at hand: not a part of its epochs
    measured = in_turn(
        {
            "ours": lambda: seconds(lambda: _ours(table, epochs)),
            "autograd loop": lambda: seconds(lambda: _loop(x_NF, y_NO, loop_epochs), times=epochs / loop_epochs),
            "one pass": lambda: seconds(lambda: record_rows(table)),
        },
        rounds,
    )
    note = (
        f"{epochs} epochs on {rows:,} rows x 3 features, 2 targets, trainer gram; ours holds its pass over the rows; "
        f"the loop (float32) ran {loop_epochs} epochs, scaled to {epochs}; same parameters after {loop_epochs} epochs "
        f"in float64; medians of {rounds} taken in turn; {busy}"
    )
    return [less_is_better("fullbatch", "s", measured, {"autograd loop": 1000, "one pass": 0.67}, note=note)]


def _ours(rows: Rows, epochs: int) -> Fit:
    return fit(rows, TrainConfig(trainer="gram", standardize=False, learning_rate=RATE, epochs=epochs))


def _loop(x_NF: torch.Tensor, y_NO: torch.Tensor, epochs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The tutorial's loop on tensors, as its readers run it."""
    names = Moments.of([np.zeros((1, 5))], *data.names(3, 2))  # the start depends on the columns' number alone
    w, b = (t.requires_grad_() for t in seeded_start(names, 0, x_NF.dtype))
    for _ in range(epochs):
        mse(regression_model(x_NF, w, b), y_NO).backward()
        with torch.no_grad():
            for p in (w, b):
                assert p.grad is not None
                p -= p.grad * RATE
                p.grad.zero_()
    return w.detach(), b.detach()


def _check_the_same(rows: Rows, epochs: int) -> None:
    """In float64: over millions of rows float32 sums alone differ in the fourth digit."""
    w, b = _loop(*rows.tensors(torch.float64), epochs)
    model = _ours(rows, epochs).model  # not standardised, so its bias is the loop's
    np.testing.assert_allclose(model.weight_OF, w.numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.bias_O, b.numpy(), rtol=1e-9, atol=1e-12)
