"""How large the tiles of ``steps`` are, and how many programs share a batch: by the shape alone, so the bits are too.

It needs no Triton.

Shapes: F features, O targets, B rows a batch, G programs; BN rows, FP and OP columns of a tile, powers of two.
"""

from typing import Any

TILE = 4096  # numbers of a tile of rows: 32 a thread
LARGEST = 8192  # of a batch that is one tile
WIDEST = 2048  # FP times OP; more would leave no room for rows
PROGRAMS = 2048  # of a part: several rounds on every card, and few sums to add up


def fits(features: int, targets: int) -> bool:
    """Whether the kernels take so many."""
    return _padded(features) * _padded(targets) <= WIDEST


def is_a_tile(features: int, targets: int, batch: int) -> bool:
    """Whether one program can do a batch at once."""
    return _padded(batch) * _padded(features) * _padded(targets) <= LARGEST


def spans(features: int, targets: int, batch: int) -> tuple[int, int]:
    """How many programs do a batch, and how many rows each takes."""
    step = tile_rows(features, targets)
    steps = -(-batch // step)
    each = -(-steps // min(steps, PROGRAMS)) * step
    return -(-batch // each), each


def tile_rows(features: int, targets: int) -> int:
    """Rows of a tile of ``part``."""
    return max(2, TILE // (_padded(features) * _padded(targets)))


def tile(features: int, targets: int, rows: int) -> dict[str, Any]:
    """The constants of a kernel whose tile has at least so many rows."""
    numbers = (padded := _padded(rows)) * (f := _padded(features)) * (o := _padded(targets))
    return {"BN": padded, "FP": f, "OP": o, "num_warps": min(8, max(1, numbers // 512))}


def finish_tile(features: int, programs: int) -> dict[str, Any]:
    """The constants of ``finish``."""
    width = min(32, _padded(1 + features))
    return {"BD": width, "BG": min(_padded(programs), TILE // width), "num_warps": 4}


def _padded(count: int) -> int:
    return 1 << (count - 1).bit_length()
