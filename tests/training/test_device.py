"""Devices: what is there is taken, what is not there is named with what is."""

import pytest
import torch

from linreg.errors import UserError
from linreg.training import device


def test_auto_takes_the_first_accelerator_else_the_cpu(machine) -> None:
    machine()
    assert device.resolve("auto") == torch.device("cpu")
    machine(cards=2)
    assert device.resolve("auto") == torch.device("cuda:0")
    machine(mps=True)
    assert device.resolve("auto") == torch.device("mps")


def test_auto_leaves_mps_aside_for_float64(machine) -> None:
    machine(mps=True)
    assert device.resolve("auto", "float64") == torch.device("cpu")
    with pytest.raises(UserError, match=r"float64.*unknown to mps"):
        device.resolve("mps", "float64")


def test_cuda_means_the_first_card_and_a_number_means_that_card(machine) -> None:
    machine(cards=2)
    assert device.resolve("cuda") == torch.device("cuda:0")
    assert device.resolve("cuda:1") == torch.device("cuda:1")
    assert device.resolve("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:2", "cuda:x", "mps", "CPU", "gpu", "", "tpu"])
def test_a_device_that_is_not_there_is_an_error_that_lists_those_that_are(machine, name: str) -> None:
    machine()
    with pytest.raises(UserError, match=r"train\.device '.*' is not on this machine: choose auto or one of cpu$"):
        device.resolve(name)
    machine(cards=2, mps=True)
    if name not in ("cuda", "mps"):
        with pytest.raises(UserError, match=r"one of cpu, cuda:0, cuda:1, mps$"):
            device.resolve(name)
