"""The learning rates against ``torch.optim.lr_scheduler``'s own, and what a schedule does to every trainer."""

import pytest
import torch

from linreg.config import TrainConfig
from linreg.training.descent import rate_of
from tests.training.references import scheduler_of

SCHEDULES = {
    "constant": {},
    "step": {"schedule": "step", "step_size": 7, "gamma": 0.3},
    "cosine": {"schedule": "cosine"},
    "cosine to a floor": {"schedule": "cosine", "eta_min": 0.004},
}


def torch_rates(config: TrainConfig) -> list[float]:
    """The rates that torch's scheduler gives, one for each epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
    scheduler, rates = scheduler_of(optimizer, config), []
    for _ in range(config.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_epochs_rate_is_torchs(schedule: str) -> None:
    config = TrainConfig(learning_rate=0.05, epochs=40, **SCHEDULES[schedule])
    assert [rate_of(config, e) for e in range(1, 41)] == pytest.approx(torch_rates(config), rel=1e-12)
