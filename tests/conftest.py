"""What holds for every test: surroundings of its own, one thread, no pictures, and which worker it runs on."""

import gc
from pathlib import Path

from tests.support import processes

processes.settle()  # before anything is imported that reads the environment

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from tests.support.flows import folder, module_store, pictures, prefect_api, store, work  # noqa: E402, F401 - shared
from tests.support.servers import server  # noqa: E402, F401 - likewise

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("steady", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile("steady")

# The longest first, so that no worker is left with one of them at the end. What is dear to start is started once: the
# Prefect server for all that ask it, the process that others are forked from.
HERE = Path(__file__).parent
LONGEST = (
    *("flows", "forks", "training/trainers/test_fused", "training/test_learning_rate", "test_imports"),
    *("flows/tracking/test_model_writer", "selection/test_fit_many", "flows/steps/test_evaluate", "training/test_fit"),
    *("training/trainers/test_battery", "training/trainers/test_battery_options", "tutorial/test_tutorial"),
    *("bench/test_cases", "bench/test_digits", "evaluation/test_score_files"),
)
FORKING = ("flows/tracking/stores/test_store", "flows/tracking/test_registry", "flows/tracking/test_run")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--pictures``: every run of a test draws its pictures, as in ``make test-long``."""
    parser.addoption("--pictures", action="store_true", help="every run of a test draws its pictures")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests share a worker, and so do files that share what is dear; no GPU, no test of one."""
    for item in items:
        file = item.path.relative_to(HERE).with_suffix("").as_posix()
        name = "forks" if file in FORKING else file
        group = "flows" if "prefect_api" in getattr(item, "fixturenames", ()) else name
        item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU on this machine"))
    order = {group: place for place, group in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.get_closest_marker("xdist_group").args[0], len(order)))


def pytest_configure() -> None:
    """Look for garbage seldom: the thousands of modules that are imported stay."""
    gc.set_threshold(50_000)


def pytest_collection_finish() -> None:
    """What was imported stays: garbage is looked for among what the tests make, not among a million objects."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """The machine's other cores belong to the other tests, and small tensors gain nothing."""
    torch.set_num_threads(1)


@pytest.fixture
def device() -> torch.device:
    """The CUDA device where there is one, else the CPU: the same code runs on both."""
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Say which GPUs this machine seems to have."""

    def have(*, cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return have
