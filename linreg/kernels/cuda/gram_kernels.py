"""Sums of products of columns on a card, in Triton: one pass over the rows, no atomics, every sum in a fixed order.

    squares_SWW[s] = sum over the rows of span s of  v v',    v = sqrt(w) [Z - c, 1]

A program takes one span of rows, 8 spans make a leaf; columns become float64 before the shift is taken off. Up to 8
columns are multiplied elementwise: a product there costs less than a matrix unit's padding. Up to 71 go through
``tl.dot``, which Triton 3.6 and 3.7 turn into float64 matrix instructions where the card has them (compute capability
8.0 and 9.0) and into fused multiply-adds elsewhere. It needs Triton, and is imported only where that is there.

Why not cuBLAS: it would need the shifted columns in memory, which is three times the traffic, and its tiles would pad
65 columns to 128.

Shapes: N rows, P columns, S spans, W columns of a square, padded; columns lie one after the other: z_PN.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from linreg.kernels.cuda.reduction import SPAN

NARROW = 8  # columns that are multiplied elementwise
EXTRA = 8  # columns, the ones among them, that fit beside the main ones
WIDEST = 64 + EXTRA - 1


class Layout(NamedTuple):
    """Where the columns stand in a square.

    Args:
        width: W.
        ones: the place of the ones; column p is at p.
    """

    width: int
    ones: int


def fits(columns: int) -> bool:
    """Whether a kernel takes so many."""
    return columns <= WIDEST


def layout(columns: int) -> Layout:
    """The square of so many columns."""
    if columns <= NARROW:
        padded = triton.next_power_of_2(columns)
        return Layout(padded + 1, padded)
    main = _main(columns)
    return Layout(main + EXTRA, max(columns, main))


def squares(z_PN: torch.Tensor, shift_P: torch.Tensor, root_N: torch.Tensor | None, rows: int) -> torch.Tensor:
    """``squares_SWW`` of the first rows, float64; of the upper triangle alone.

    Args:
        root_N: the square roots of the weights, float64; None: all 1.
    """
    columns, width = len(z_PN), layout(len(z_PN)).width
    out_SWW = torch.empty((triton.cdiv(rows, SPAN), width, width), dtype=torch.float64, device=z_PN.device)
    weighted = root_N is not None
    given = (z_PN, root_N if weighted else shift_P, shift_P, out_SWW, columns, rows, z_PN.stride(0))
    if columns <= NARROW:
        padded = width - 1
        _narrow[(len(out_SWW),)](*given, PP=padded, BN=1024 // padded, SPAN=SPAN, WEIGHTED=weighted, num_warps=4)
    else:
        main = _main(columns)
        part = min(main, 32)
        steps = 16 if main > part else 32  # rows at a time: what 255 registers hold
        how: dict[str, Any] = {"WA": part, "TWO": main > part, "WE": EXTRA, "BN": steps, "SPAN": SPAN}
        _tiled[(len(out_SWW),)](*given, **how, WEIGHTED=weighted, num_warps=4, num_stages=3)
    return out_SWW


def _main(columns: int) -> int:
    return next(main for main in (16, 32, 64) if columns - main < EXTRA)


@triton.jit
def _weights(root_ptr, n, rows, WEIGHTED: tl.constexpr):
    """Square roots of the weights of rows ``n``; 0 for rows that are not there."""
    if WEIGHTED:
        return tl.load(root_ptr + n, mask=n < rows, other=0.0)
    return tl.where(n < rows, 1.0, 0.0).to(tl.float64)


@triton.jit
def _columns(z_ptr, shift_ptr, p, until, n, rows, stride, v):
    """``sqrt(w) (z - c)`` of columns ``p`` below ``until``, (W, BN); 0 where there are none."""
    there = p < until
    at = p[:, None].to(tl.int64) * stride + n[None, :]
    z = tl.load(z_ptr + at, mask=there[:, None] & (n < rows)[None, :], other=0.0)
    shift = tl.load(shift_ptr + p, mask=there, other=0.0)
    # rows beyond the last have weight 0, and their zeros are finite: nothing needs to be selected
    return (z.to(tl.float64) - shift[:, None]) * v[None, :]


@triton.jit
def _narrow(
    z_ptr, root_ptr, shift_ptr, out_ptr, columns, rows, stride,
    PP: tl.constexpr, BN: tl.constexpr, SPAN: tl.constexpr, WEIGHTED: tl.constexpr,
):  # fmt: skip
    s = tl.program_id(0).to(tl.int64)
    p = tl.arange(0, PP)
    products = tl.zeros((PP, PP, BN), tl.float64)
    sums = tl.zeros((PP, BN), tl.float64)
    ones = tl.zeros((BN,), tl.float64)
    for start in range(0, SPAN, BN):
        n = s * SPAN + start + tl.arange(0, BN)
        v = _weights(root_ptr, n, rows, WEIGHTED)
        z = _columns(z_ptr, shift_ptr, p, columns, n, rows, stride, v)
        products += z[:, None, :] * z[None, :, :]
        sums += z * v[None, :]
        ones += v * v
    W: tl.constexpr = PP + 1
    out_ptr += s * W * W
    tl.store(out_ptr + p[:, None] * W + p[None, :], tl.sum(products, 2))
    tl.store(out_ptr + p * W + PP, tl.sum(sums, 1))
    tl.store(out_ptr + PP * W + PP, tl.sum(ones, 0))


@triton.jit
def _tiled(
    z_ptr, root_ptr, shift_ptr, out_ptr, columns, rows, stride,
    WA: tl.constexpr, TWO: tl.constexpr, WE: tl.constexpr, BN: tl.constexpr, SPAN: tl.constexpr,
    WEIGHTED: tl.constexpr,
):  # fmt: skip
    """Main columns A, and B beside them where ``TWO``; E: the columns left over, and the ones."""
    s = tl.program_id(0).to(tl.int64)
    MAIN: tl.constexpr = WA * 2 if TWO else WA
    W: tl.constexpr = MAIN + WE
    a_p, e_p = tl.arange(0, WA), MAIN + tl.arange(0, WE)
    aa, ae = tl.zeros((WA, WA), tl.float64), tl.zeros((WA, WE), tl.float64)
    ee = tl.zeros((WE, WE), tl.float64)
    if TWO:
        ab, bb = tl.zeros((WA, WA), tl.float64), tl.zeros((WA, WA), tl.float64)
        be = tl.zeros((WA, WE), tl.float64)
    for start in range(0, SPAN, BN):
        n = s * SPAN + start + tl.arange(0, BN)
        v = _weights(root_ptr, n, rows, WEIGHTED)
        a = _columns(z_ptr, shift_ptr, a_p, columns, n, rows, stride, v)
        e = _columns(z_ptr, shift_ptr, e_p, columns, n, rows, stride, v)
        e = tl.where((e_p == tl.maximum(columns, MAIN))[:, None], v[None, :], e)
        e_t = tl.trans(e)
        aa = tl.dot(a, tl.trans(a), aa, out_dtype=tl.float64)
        ae = tl.dot(a, e_t, ae, out_dtype=tl.float64)
        ee = tl.dot(e, e_t, ee, out_dtype=tl.float64)
        if TWO:
            b = _columns(z_ptr, shift_ptr, WA + a_p, columns, n, rows, stride, v)
            b_t = tl.trans(b)
            ab = tl.dot(a, b_t, ab, out_dtype=tl.float64)
            bb = tl.dot(b, b_t, bb, out_dtype=tl.float64)
            be = tl.dot(b, e_t, be, out_dtype=tl.float64)
    out_ptr += s * W * W
    rows_A = a_p[:, None] * W
    tl.store(out_ptr + rows_A + a_p[None, :], aa)
    tl.store(out_ptr + rows_A + e_p[None, :], ae)
    tl.store(out_ptr + e_p[:, None] * W + e_p[None, :], ee)
    if TWO:
        tl.store(out_ptr + rows_A + WA + a_p[None, :], ab)
        tl.store(out_ptr + WA * W + rows_A + WA + a_p[None, :], bb)
        tl.store(out_ptr + WA * W + rows_A + e_p[None, :], be)
