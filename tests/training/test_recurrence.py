"""The recurrence of full-batch descent, against the same updates one after the other in 40 digits."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from mpmath import mp

from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective
from linreg.training import recurrence
from linreg.training.convergence import excess_after, excess_by_epoch, start_of
from linreg.training.descent import rate_of
from tests.support.tables import X15, Y15, moments_of

EPOCHS = 300  # more than a chunk
OBJECTIVE = Objective.of(moments_of(X15, Y15), standardize=True)
PLAIN = TrainConfig(learning_rate=0.05, dtype="float64", epochs=EPOCHS)
KINDS = {
    "plain": PLAIN,
    "heavy ball": replace(PLAIN, momentum=0.9),
    "dampening": replace(PLAIN, momentum=0.8, dampening=0.6),
    "nesterov": replace(PLAIN, momentum=0.9, nesterov=True),
    "cosine": replace(PLAIN, schedule="cosine", eta_min=0.001),
    "nesterov in steps": replace(PLAIN, momentum=0.5, nesterov=True, schedule="step", step_size=7, gamma=0.8),
}


def one_by_one(config: TrainConfig) -> list[float]:
    """The excess loss after each epoch: ``torch.optim.SGD``'s updates of the deviations, every target by itself."""
    away_DO = OBJECTIVE.basis_DD.T @ (start_of(OBJECTIVE, config) - OBJECTIVE.optimum_DO)
    with mp.workdps(40):
        values = [mp.mpf(value) for value in OBJECTIVE.eigenvalues_D for _ in range(away_DO.shape[1])]
        away, velocity = [mp.mpf(d) for d in away_DO.ravel()], None
        momentum, losses = mp.mpf(config.momentum), []
        for epoch in range(1, config.epochs + 2):
            losses.append(float(sum(value * d**2 for value, d in zip(values, away, strict=True)) / 2))
            gradient = direction = [value * d for value, d in zip(values, away, strict=True)]
            if momentum:
                kept = 1 - mp.mpf(config.dampening)
                new = gradient if velocity is None else [kept * g for g in gradient]
                old = [mp.mpf(0)] * len(values) if velocity is None else velocity
                direction = velocity = [momentum * v + g for v, g in zip(old, new, strict=True)]
                if config.nesterov:
                    direction = [g + momentum * v for g, v in zip(gradient, velocity, strict=True)]
            away = [d - mp.mpf(rate_of(config, epoch)) * step for d, step in zip(away, direction, strict=True)]
    return losses


@pytest.mark.parametrize("kind", KINDS)
def test_the_excess_of_every_epoch_is_that_of_the_updates(kind: str) -> None:
    excess = list(islice(excess_by_epoch(OBJECTIVE, KINDS[kind]), EPOCHS + 1))
    assert excess == pytest.approx(one_by_one(KINDS[kind]), rel=1e-11)


@pytest.mark.parametrize("kind", [kind for kind, config in KINDS.items() if config.schedule == "constant"])
def test_any_epoch_is_reached_without_those_before_it(kind: str) -> None:
    excess, one_after_the_other = excess_after(OBJECTIVE, KINDS[kind]), one_by_one(KINDS[kind])
    for epoch in (0, 1, 2, 37, EPOCHS):
        assert excess(epoch) == pytest.approx(one_after_the_other[epoch], rel=1e-11)
    assert excess(10**18) == 0.0


def test_models_of_all_kinds_go_side_by_side_each_on_its_own_objective() -> None:
    configs = list(KINDS.values())
    objectives = [Objective.of(moments_of(X15[: 9 + k], Y15[: 9 + k]), standardize=True) for k in range(len(configs))]
    starts = [start_of(o, c) for o, c in zip(objectives, configs, strict=True)]
    states = [recurrence.begin(*own) for own in zip(objectives, configs, starts, strict=True)]
    chunk = recurrence.walk(objectives, configs, states, done=0, epochs=50)
    for k, (objective, config) in enumerate(zip(objectives, configs, strict=True)):
        assert chunk.excess_KE[k] == pytest.approx(list(islice(excess_by_epoch(objective, config), 51)), rel=1e-12)
        theta_EDO = recurrence.parameters(objective, chunk.state(k, slice(None)))
        assert theta_EDO[0] == pytest.approx(starts[k], rel=1e-12)
        assert objective.excess_losses(theta_EDO) == pytest.approx(chunk.excess_KE[k], rel=1e-9)


@pytest.mark.parametrize("l1", [0.0, 0.5])
def test_a_state_goes_on_where_its_chunk_ended(l1: float) -> None:
    config = replace(PLAIN, l1=l1, schedule="cosine")
    state = recurrence.begin(OBJECTIVE, config, start_of(OBJECTIVE, config))
    at_once = recurrence.walk([OBJECTIVE], [config], [state], done=0, epochs=40)
    first = recurrence.walk([OBJECTIVE], [config], [state], done=0, epochs=25)
    second = recurrence.walk([OBJECTIVE], [config], [first.state(0, -1)], done=25, epochs=15)
    np.testing.assert_allclose(second.excess_KE[0], at_once.excess_KE[0, 25:], rtol=1e-12)
