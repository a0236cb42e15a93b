"""Tests of ``linreg.cards``, run in a process of their own (``tests/test_cards.py``), on a card where there is one.

Without a card the kernels run in Triton's interpreter, which has to be chosen before Triton is imported. They import
torch, numpy and what they test: on a machine with a card and nothing else,

    python -m pytest --confcutdir=tests/cards tests/cards/records.py tests/cards/descents.py
"""

import os
from pathlib import Path

import pytest
import torch


def pytest_configure(config: pytest.Config) -> None:
    """Choose the interpreter, but for a process of these tests' own alone."""
    alone = config.getoption("confcutdir") and Path(config.getoption("confcutdir")).resolve() == Path(__file__).parent
    if alone and not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` are skipped where there is no card."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no NVIDIA card on this machine"))


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
