"""One thread for every test: the machine's other cores belong to the other tests, and small tensors gain nothing."""

import pytest
import torch
from flow_fixtures import folder, prefect_api, work  # noqa: F401 - shared by the tests of flows


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
