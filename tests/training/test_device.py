"""Devices: what is there is taken, what is not there is named with what is; where a trainer runs, and the records."""

import numpy as np
import pytest
import torch

from flows.steps import ingest
from linreg.config import TrainConfig
from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.ingest.records import record_dataset
from linreg.training import device as devices
from linreg.training.choose import TRAINERS, choose
from linreg.training.prepare import prepare
from tests.support.flows import crops
from tests.support.processes import ROOT
from tests.support.tables import FEATURES, TARGETS


def test_auto_takes_the_first_accelerator_else_the_cpu(machine) -> None:
    machine()
    assert devices.resolve("auto") == torch.device("cpu")
    machine(cuda=2)
    assert devices.resolve("auto") == torch.device("cuda:0")
    machine(mps=True)
    assert devices.resolve("auto") == torch.device("mps")


def test_auto_leaves_mps_aside_for_float64(machine) -> None:
    machine(mps=True)
    assert devices.resolve("auto", "float64") == torch.device("cpu")
    with pytest.raises(UserError, match=r"float64.*unknown to mps"):
        devices.resolve("mps", "float64")


def test_cuda_means_the_first_gpu_and_a_number_means_that_one(machine) -> None:
    machine(cuda=2)
    assert devices.resolve("cuda") == torch.device("cuda:0")
    assert devices.resolve("cuda:1") == torch.device("cuda:1")
    assert devices.resolve("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:2", "cuda:x", "mps", "CPU", "gpu", "", "tpu"])
def test_a_device_that_is_not_there_is_an_error_that_lists_those_that_are(machine, name: str) -> None:
    machine()
    with pytest.raises(UserError, match=r"train\.device '.*' is not on this machine: choose auto or one of cpu$"):
        devices.resolve(name)
    machine(cuda=2, mps=True)
    if name not in ("cuda", "mps"):
        with pytest.raises(UserError, match=r"one of cpu, cuda:0, cuda:1, mps$"):
            devices.resolve(name)


def prepared(device: str, trainer: str = "auto") -> tuple[str, str]:
    choice = prepare(TrainConfig(trainer=trainer, batch_size=5, device=device), validation=None, start=None)
    return choice.trainer.name, str(choice.device)


def test_a_trainer_names_the_devices_it_runs_on() -> None:
    assert {name: t.devices for name, t in TRAINERS.items()} == {
        "manual": ("cpu", "cuda", "mps"),
        "builtin": ("cpu", "cuda", "mps"),
        "gram": ("cpu",),
        "fused": ("cpu", "cuda"),
        "exact": ("cpu",),
    }


def test_fused_runs_on_a_cuda_device_that_is_named_and_seeks_none(machine) -> None:
    machine(cuda=2)
    assert prepared("cuda") == ("fused", "cuda:0")
    assert prepared("cuda:1") == ("fused", "cuda:1")
    assert prepared("auto") == prepared("cpu") == ("fused", "cpu")
    assert prepared("auto", "builtin") == ("builtin", "cuda:0")


def test_records_are_made_on_a_cuda_device_that_is_named_alone(machine) -> None:
    machine(cuda=2, mps=True)
    configs = [crops(train={"device": name}) for name in ("cuda:1", "auto", "cpu", "mps")]
    assert [ingest._record_device(config) for config in configs] == [torch.device("cuda:1"), None, None, None]


def test_records_that_a_device_makes_while_files_are_read_are_those_of_the_cpu(device) -> None:
    data = DataConfig(path=str(ROOT / "data/crops-15.csv"), features=FEATURES, targets=TARGETS, test_fraction=0.3)
    ours, theirs = record_dataset(data, device=device), record_dataset(data)
    for a, b in ((ours.record.moments, theirs.record.moments), (ours.test.moments, theirs.test.moments)):
        assert (a.rows, a.weight) == (b.rows, b.weight)
        np.testing.assert_allclose(a.mean_P, b.mean_P, rtol=1e-13)
        np.testing.assert_allclose(np.abs(a.centred_PP), np.abs(b.centred_PP), atol=1e-11)


def test_on_mps_auto_takes_builtin_where_it_is_named_and_the_cpu_where_it_is_found(machine) -> None:
    machine(mps=True)
    assert prepared("mps") == ("builtin", "mps")
    assert prepared("auto") == ("fused", "cpu")
    with pytest.raises(UserError, match=r"'fused' does not run on mps: leave .*, or choose manual, builtin$"):
        choose(TrainConfig(trainer="fused", batch_size=5, device="mps"))


def test_a_device_that_is_not_there_is_refused_before_any_trainer(machine) -> None:
    machine()
    for name in ("cuda", "tpu"):
        with pytest.raises(UserError, match=rf"'{name}' is not on this machine"):
            prepared(name, "fused")
