"""What trainers are held to: torch's own SGD over the documented batches, in the trained coordinates. No test here."""

import numpy as np
import torch
from torch.optim import lr_scheduler

from linreg.config import TrainConfig
from linreg.model import LinearModel
from linreg.rows.batches import epoch_order


def centre_and_scale(x_NF: np.ndarray, weight_N: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What standardizing subtracts and divides by; a constant column stays unscaled."""
    mean_F = np.average(x_NF, axis=0, weights=weight_N)
    spread_F = np.sqrt(np.average((x_NF - mean_F) ** 2, axis=0, weights=weight_N))
    return mean_F, np.where(np.ptp(x_NF, axis=0) > 0, spread_F, 1.0)


def coordinates(x_NF: np.ndarray, *, standardize: bool, weight_N: np.ndarray | None = None) -> np.ndarray:
    """The rows in the trained coordinates."""
    mean_F, scale_F = centre_and_scale(x_NF, weight_N)
    return (x_NF - mean_F) / scale_F if standardize else x_NF


def theta_of(
    model: LinearModel, x_NF: np.ndarray, *, standardize: bool, weight_N: np.ndarray | None = None
) -> np.ndarray:
    """A fitted model's parameters in the trained coordinates, bias first."""
    if not standardize:
        return np.vstack([model.intercept_O, model.weight_OF.T])
    return np.vstack([model.bias_O, (model.weight_OF * centre_and_scale(x_NF, weight_N)[1]).T])


def start(seed: int, targets: int = 2, features: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """The documented start: standard normals in float32 from torch's generator, weight first."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((targets, features), generator=generator), torch.randn(targets, generator=generator)


def relative_error(values: np.ndarray, truth: np.ndarray) -> float:
    """Beside the largest."""
    return float(np.abs(values - truth).max() / np.abs(truth).max())


def scheduler_of(optimizer: torch.optim.Optimizer, config: TrainConfig) -> lr_scheduler.LRScheduler:
    """torch's own of the config's schedule."""
    if config.schedule == "step":
        return lr_scheduler.StepLR(optimizer, config.step_size, config.gamma)
    if config.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, config.epochs, config.eta_min)
    return lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)


def torch_sgd(
    z_NF: np.ndarray, y_NO: np.ndarray, config: TrainConfig, *, weight_N: np.ndarray | None = None
) -> list[np.ndarray]:
    """``nn.Linear`` under ``torch.optim.SGD`` and its scheduler; theta_DO after 0, 1, ... epochs."""
    rows, dtype = len(z_NF), getattr(torch, config.dtype)
    share_N = np.ones(rows) if weight_N is None else weight_N / weight_N.mean()
    z, y, w = (torch.tensor(values, dtype=dtype) for values in (z_NF, y_NO, share_N))
    model = torch.nn.Linear(z.shape[1], y.shape[1], dtype=dtype)
    model.load_state_dict(dict(zip(("weight", "bias"), start(config.seed, y.shape[1], z.shape[1]), strict=True)))
    optimizer = torch.optim.SGD(
        [{"params": [model.weight], "weight_decay": config.weight_decay}, {"params": [model.bias]}],
        lr=config.learning_rate,
        momentum=config.momentum,
        dampening=config.dampening,
        nesterov=config.nesterov,
    )
    scheduler, path = scheduler_of(optimizer, config), [_theta(model)]
    for epoch in range(1, config.epochs + 1):
        for batch in _batches(rows, config, epoch):
            optimizer.zero_grad()
            (w[batch, None] * (model(z[batch]) - y[batch]).square()).mean().backward()
            optimizer.step()
        scheduler.step()
        path.append(_theta(model))
    return path


def _theta(model: torch.nn.Linear) -> np.ndarray:
    return torch.vstack([model.bias, model.weight.T]).detach().double().numpy().copy()


def _batches(rows: int, config: TrainConfig, epoch: int) -> list[np.ndarray]:
    """An epoch's batches, cut from the documented order."""
    if not config.batch_size:
        return [np.arange(rows)]
    order = epoch_order(rows, config.batch_size, seed=config.seed, epoch=epoch)
    return [order[i : i + config.batch_size] for i in range(0, rows, config.batch_size)]
