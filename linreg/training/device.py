"""Which device the tensors live on: what the config asks for, checked against what is there."""

import torch

from linreg.errors import UserError


def available() -> list[str]:
    """The names that ``train.device`` takes on this machine, ``cpu`` first."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def resolve(name: str, dtype: str = "float32") -> torch.device:
    """The device that ``train.device`` names; ``auto`` is the first accelerator, else the CPU.

    Raises:
        UserError: the device is not there, or does not know the dtype; the line lists those that are.
    """
    known = available()
    if name == "auto":
        usable = [d for d in known[1:] if not (d == "mps" and dtype == "float64")]
        return torch.device((usable or ["cpu"])[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in known:
        raise UserError(f"train.device '{name}' is not on this machine: choose auto or one of {', '.join(known)}")
    if wanted == "mps" and dtype == "float64":
        raise UserError("train.dtype 'float64' is unknown to mps: choose float32, or train.device = \"cpu\"")
    return torch.device(wanted)
