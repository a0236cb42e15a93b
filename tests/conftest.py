"""One thread for every test: the machine's other cores belong to the other tests, and small tensors gain nothing."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
