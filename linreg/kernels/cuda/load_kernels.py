"""The rows of a batch as the kernels of ``steps`` take them, wherever they lie: ``order``, in Triton.

Shapes: F features, O targets; BN rows, FP and OP columns of a tile, powers of two.
"""

import triton
import triton.language as tl


@triton.jit
def _row_at(q, there, order_ptr, keys_ptr, tail_ptr, start, left, whole, BITS: tl.constexpr):
    """The row at place ``q`` of the epoch; see ``order``. ``left``: T; ``whole``: blocks that are whole."""
    after = q >= start + left
    in_tail = (q >= start) & (q < start + left)
    w = tl.where(after, q - left, q)
    block = tl.load(order_ptr + (w >> BITS) + after.to(tl.int64), mask=there & (in_tail == 0), other=0).to(tl.int64)
    in_block = there & (block < whole)
    a = tl.load(keys_ptr + block * 6, mask=in_block, other=1).to(tl.uint32, bitcast=True)
    b = tl.load(keys_ptr + block * 6 + 1, mask=in_block, other=1).to(tl.uint32, bitcast=True)
    c = tl.load(keys_ptr + block * 6 + 2, mask=in_block, other=1).to(tl.uint32, bitcast=True)
    from_a = tl.load(keys_ptr + block * 6 + 3, mask=in_block, other=1).to(tl.uint32, bitcast=True)
    from_b = tl.load(keys_ptr + block * 6 + 4, mask=in_block, other=1).to(tl.uint32, bitcast=True)
    from_c = tl.load(keys_ptr + block * 6 + 5, mask=in_block, other=1).to(tl.uint32, bitcast=True)
    MASK: tl.constexpr = (1 << BITS) - 1
    HALF: tl.constexpr = (BITS + 1) // 2
    word = (((w & MASK).to(tl.uint32) - a) * from_c) & MASK
    word = (((word ^ (word >> HALF)) - c) * from_b) & MASK
    word = (((word ^ (word >> HALF)) - b) * from_a) & MASK
    last = tl.load(tail_ptr + (q - start), mask=there & in_tail, other=0).to(tl.int64)
    return tl.where(in_tail, (whole << BITS) + last, (block << BITS) + word.to(tl.int64))


@triton.jit
def fetch(
    x_ptr, y_ptr, w_ptr, order_ptr, keys_ptr, tail_ptr, start, left, whole, q, there, features, targets,
    FP: tl.constexpr, OP: tl.constexpr, BITS: tl.constexpr, SHUFFLED: tl.constexpr, WEIGHTED: tl.constexpr,
):  # fmt: skip
    """The rows at places ``q``: x (BN, FP), y (BN, OP), and what each counts, 0 for those that are not there."""
    row = q
    if SHUFFLED:
        row = _row_at(q, there, order_ptr, keys_ptr, tail_ptr, start, left, whole, BITS)
    f, o = tl.arange(0, FP), tl.arange(0, OP)
    x = tl.load(x_ptr + row[:, None] * features + f[None, :], mask=there[:, None] & (f < features)[None, :], other=0.0)
    y = tl.load(y_ptr + row[:, None] * targets + o[None, :], mask=there[:, None] & (o < targets)[None, :], other=0.0)
    w = tl.where(there, 1.0, 0.0).to(x.dtype)
    if WEIGHTED:
        w = tl.load(w_ptr + row, mask=there, other=0.0)
    return x, y, w
