"""Records and descents on NVIDIA cards: Triton's kernels where it is installed, torch's own operations where it is not.

Imported only where a card is asked for: ``import linreg`` loads none of it. Its modules know arrays and tensors; they
need torch, numpy and pyarrow, and Triton for the fast ways, and no other package. ``record.moments`` and the trainer
``fused`` join them to the rest of the library.

    record.py    the moments of one partition: which way, how good it is
    feed.py      columns from host memory, copied while the card computes; or on the card already
    products.py  sums of products in one pass over the rows (Triton)
    dense.py     the same for many columns, or for columns that are alike, by torch's matrix products
    sums.py      the fixed order in which parts are added up
    descent.py   epochs of mini-batch and full-batch descent: which way
    kinds.py     their rows, hyperparameters and shape
    steps.py     their kernels (Triton); fetching.py, the rows of a batch (Triton); tiles.py, how large
    parts.py     batches that many programs share
    order.py     where each row of a batch lies: the batches of ``linreg.batches``
    gathered.py  the same epochs by torch's operations
    graph.py     work that is recorded once and replayed
"""

import importlib.util
from contextlib import AbstractContextManager, nullcontext

import torch


def has_triton() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def on(device: torch.device) -> AbstractContextManager[object]:
    """The context in which kernels run on that device: Triton launches on the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
