"""What the machine itself allows: how fast one thread, or several, read memory.

    >>> from bench import limits
    >>> array = limits.memory()
    >>> limits.read_bandwidth(array, threads=1)

The array has to be far larger than the caches: ``memory`` gives 1 GiB.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from numba import njit

GIB = 1 << 30
Words = npt.NDArray[np.int64]


def memory(size: int = GIB) -> Words:
    """So many bytes that have been written once: pages that are only promised would read as one page of zeros."""
    return np.ones(size // 8, dtype=np.int64)


def read_bandwidth(array: Words, *, threads: int = 1) -> float:
    """Gigabytes (1e9 bytes) a second that so many threads read of it together."""
    _sum(array[:1])  # compiled before the clock starts
    parts = np.array_split(array, threads)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_sum, [part[:1] for part in parts]))  # threads started
        began = time.perf_counter()
        total = sum(pool.map(_sum, parts))
        elapsed = time.perf_counter() - began
    assert total == len(array)  # all of it was read, and nothing optimised away
    return array.nbytes / elapsed / 1e9


@njit(nogil=True)
def _sum(a: Words) -> int:
    """Integers: their additions may be reordered, so that the compiler is free to use many wide accumulators."""
    total = 0
    for i in range(len(a)):
        total += a[i]
    return total
