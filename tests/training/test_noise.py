"""The noise of mini-batches as it is foretold, beside descents on many draws of the noise."""

import numpy as np
import pytest
import torch

from linreg.least_squares.objective import Objective
from linreg.least_squares.standard_errors import StandardErrors
from linreg.training.choose import Problem
from linreg.training.noise import after_epoch
from linreg.training.trainers.fused import Fused
from tests.support.tables import moments_of

DRAWS = 60


@pytest.mark.parametrize(
    ("rows", "size", "fall"),
    [
        (200, 10, 1.0),
        (205, 10, 0.9),
        *(pytest.param(*case, marks=pytest.mark.long) for case in ((200, 10, 0.9), (204, 12, 1.0))),
    ],
)
def test_the_mean_of_the_noise_is_as_foretold(rows: int, size: int, fall: float) -> None:
    """Every draw has the same rows and other errors; the start is the optimum, so that all there is is noise."""
    rng, epochs = np.random.default_rng(0), 40
    x = rng.normal(size=(rows, 3))
    shares = []
    for draw in range(DRAWS):
        y = rng.normal(size=(rows, 1))
        moments = moments_of(x, y)
        objective = Objective.of(moments, standardize=True)
        z = (x - objective.centre_F) / objective.scale_F
        best = objective.optimum_DO
        problem = Problem(objective, torch.tensor(z), torch.tensor(y), draw, torch.float64, torch.device("cpu"))
        trainer = Fused(0.02, schedule="step", step_size=1, gamma=fall, batch_size=size, epochs=epochs)
        state = {"weight": torch.tensor(best[1:].T.copy()), "bias": torch.tensor(best[0]), "epoch": torch.tensor(0)}
        for _ in range(epochs):
            state = trainer.step(problem, state)
        squares = objective.excess_loss(trainer.theta(problem, state)) * rows
        shares.append(squares / float(StandardErrors(moments).deviation_O[0]) ** 2)
    variance_D, last = np.zeros(4), (rows % size) / size or 1.0
    for epoch in range(epochs):
        shrunk_D = 0.02 * fall**epoch * objective.eigenvalues_D * rows / size
        variance_D = after_epoch(variance_D, shrunk_D, batches=rows / size, uneven=(1 - last) ** 2 / last)
    assert np.mean(shares) == pytest.approx(variance_D.sum(), rel=0.35)
