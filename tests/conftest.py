"""One thread for every test: the machine's other cores belong to the other tests, and small tensors gain nothing."""

import pytest
import torch
from flow_fixtures import folder, prefect_api, work  # noqa: F401 - shared by the tests of flows
from servers import server  # noqa: F401 - likewise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` are skipped where there is no card."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no NVIDIA card on this machine"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Say which cards this machine seems to have."""

    def have(*, cards: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return have
