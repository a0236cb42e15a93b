"""The learning rates against ``torch.optim.lr_scheduler``'s own, and what a schedule does to every trainer."""

from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, StepLR

from linreg.config import TrainConfig
from linreg.training.schedule import rate_of

HOW = {
    "constant": {},
    "step": {"schedule": "step", "step_size": 7, "gamma": 0.3},
    "cosine": {"schedule": "cosine"},
    "cosine to a floor": {"schedule": "cosine", "eta_min": 0.004},
}


def torchs(config: TrainConfig) -> list[float]:
    """The rates that torch's scheduler gives, one for each epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
    schedulers: dict[str, LRScheduler | None] = {
        "constant": None,
        "step": StepLR(optimizer, config.step_size, config.gamma),
    }
    if config.schedule == "cosine":  # made alone: a scheduler takes hold of the optimizer's rate
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
        schedulers["cosine"] = CosineAnnealingLR(optimizer, config.epochs, config.eta_min)
    scheduler, rates = schedulers[config.schedule], []
    for _ in range(config.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler:
            scheduler.step()
    return rates


@pytest.mark.parametrize("how", HOW)
def test_every_epochs_rate_is_torchs(how: str) -> None:
    config = TrainConfig(learning_rate=0.05, epochs=40, **HOW[how])
    assert [rate_of(config, e) for e in range(1, 41)] == pytest.approx(torchs(config), rel=1e-12)


@pytest.mark.parametrize("how", HOW)
def test_no_schedule_raises_the_rate(how: str) -> None:
    config = TrainConfig(learning_rate=0.05, epochs=40, **HOW[how])
    rates = [rate_of(config, e) for e in range(1, 41)]
    assert all(a >= b for a, b in pairwise(rates))
    assert rates[0] == config.learning_rate
