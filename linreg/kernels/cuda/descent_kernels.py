"""Kernels of descent on a card, in Triton: the gradient in closed form, every sum in a fixed order, no atomics.

    r = 2 / (size O) w (x W' + b - y),    gradient of W = r' x,    of b = sum r

    walk     one program does all batches of an epoch: a batch is one tile, the parameters stay in registers, and the
             next batch is on its way meanwhile
    part     one batch, or all rows, on many programs: each adds up the gradient of its own span of rows
    finish   adds up what they found and makes the step

Which batch comes next stands in ``clock`` on the card (what it holds is listed at ``part``), so that a recorded graph
of parts and finishes walks on by itself. It needs Triton.

Shapes: N rows, F features, O targets, D = 1 + F, B rows a batch, G programs; BN rows, FP and OP columns of a tile,
powers of two. theta_OD and velocity_OD hold the biases first.
"""

import triton
import triton.language as tl

from linreg.kernels.cuda.load_kernels import fetch


@triton.jit
def _residual(x, y, w, weight, bias, OP: tl.constexpr):
    """``w (x W' + b - y)``, (BN, OP)."""
    if OP == 1:
        r = tl.sum(x * weight, 1)[:, None]
    else:
        r = tl.sum(x[:, None, :] * weight[None, :, :], 2)
    return (r + bias[None, :] - y) * w[:, None]


@triton.jit
def _products(r, x, OP: tl.constexpr):
    """``r' x`` before rows are added up: (BN, OP, FP), or (BN, FP) for one target."""
    if OP == 1:
        products = r * x
    else:
        products = r[:, :, None] * x[:, None, :]
    return products


@triton.jit
def _added_up(products, OP: tl.constexpr):
    """The sum over the rows, (OP, FP)."""
    total = tl.sum(products, 0)
    if OP == 1:
        total = total[None, :]
    return total


@triton.jit
def _moved(value, velocity, gradient, how_ptr, first, MOMENTUM: tl.constexpr, NESTEROV: tl.constexpr):
    """The update of ``torch.optim.SGD``: the value and the velocity."""
    kind = value.dtype
    direction = gradient
    if MOMENTUM:
        m = tl.load(how_ptr + 1).to(kind)
        keep = tl.load(how_ptr + 2).to(kind)
        velocity = tl.where(first, gradient, m * velocity + keep * gradient)
        direction = velocity
        if NESTEROV:
            direction = gradient + m * velocity
    return value - tl.load(how_ptr).to(kind) * direction, velocity


@triton.jit(do_not_specialize=["rows", "batch", "start", "left", "whole", "first"])
def walk(
    x_ptr, y_ptr, w_ptr, order_ptr, keys_ptr, tail_ptr, theta_ptr, velocity_ptr, how_ptr,
    rows, batch, start, left, whole, first, features, targets,
    BN: tl.constexpr, FP: tl.constexpr, OP: tl.constexpr, BITS: tl.constexpr,
    SHUFFLED: tl.constexpr, WEIGHTED: tl.constexpr, MOMENTUM: tl.constexpr, NESTEROV: tl.constexpr,
):  # fmt: skip
    """All batches of an epoch, one program."""
    n, f, o = tl.arange(0, BN).to(tl.int64), tl.arange(0, FP), tl.arange(0, OP)
    w_at = o[:, None] * (features + 1) + 1 + f[None, :]
    w_mask = (o < targets)[:, None] & (f < features)[None, :]
    b_at, b_mask = o * (features + 1), o < targets
    weight = tl.load(theta_ptr + w_at, mask=w_mask, other=0.0)
    bias = tl.load(theta_ptr + b_at, mask=b_mask, other=0.0)
    v_weight = tl.load(velocity_ptr + w_at, mask=w_mask, other=0.0)
    v_bias = tl.load(velocity_ptr + b_at, mask=b_mask, other=0.0)
    decay = tl.load(how_ptr + 3).to(weight.dtype)
    there = (n < batch) & (n < rows)
    x, y, w = fetch(
        x_ptr, y_ptr, w_ptr, order_ptr, keys_ptr, tail_ptr, start, left, whole, n, there, features, targets,
        FP, OP, BITS, SHUFFLED, WEIGHTED,
    )  # fmt: skip
    for t in range(0, tl.cdiv(rows, batch)):
        q = tl.full((BN,), t + 1, tl.int64) * batch + n  # the interpreter's t is a number of Python's
        there = (n < batch) & (q < rows)
        next_x, next_y, next_w = fetch(
            x_ptr, y_ptr, w_ptr, order_ptr, keys_ptr, tail_ptr, start, left, whole, q, there, features, targets,
            FP, OP, BITS, SHUFFLED, WEIGHTED,
        )  # fmt: skip
        size = tl.minimum(batch, rows - t * batch)
        r = _residual(x, y, w, weight, bias, OP) * (2.0 / (size * targets).to(weight.dtype))
        gradient = _added_up(_products(r, x, OP), OP) + decay * weight
        new = (first != 0) & (t == 0)
        weight, v_weight = _moved(weight, v_weight, gradient, how_ptr, new, MOMENTUM, NESTEROV)
        bias, v_bias = _moved(bias, v_bias, tl.sum(r, 0), how_ptr, new, MOMENTUM, NESTEROV)
        x, y, w = next_x, next_y, next_w
    tl.store(theta_ptr + w_at, weight, mask=w_mask)
    tl.store(theta_ptr + b_at, bias, mask=b_mask)
    if MOMENTUM:
        tl.store(velocity_ptr + w_at, v_weight, mask=w_mask)
        tl.store(velocity_ptr + b_at, v_bias, mask=b_mask)


@triton.jit(do_not_specialize=["rows", "batch", "each", "left", "whole"])
def part(
    x_ptr, y_ptr, w_ptr, order_ptr, keys_ptr, tail_ptr, theta_ptr, partial_ptr, clock_ptr,
    rows, batch, each, left, whole, features, targets,
    BN: tl.constexpr, FP: tl.constexpr, OP: tl.constexpr, BITS: tl.constexpr,
    SHUFFLED: tl.constexpr, WEIGHTED: tl.constexpr,
):  # fmt: skip
    """The gradient over a program's rows of the batch, not yet divided, to partial_GOD.

    ``clock`` holds: the batch that is done now, the one after it, how many there are, whether there is no velocity
    yet, the place of the block that is not whole. ``part`` reads the first and writes the second, ``finish`` the other
    way round, so no program reads what another one writes.
    """
    g = tl.program_id(0).to(tl.int64)
    t = tl.load(clock_ptr)
    batches, start = tl.load(clock_ptr + 2), tl.load(clock_ptr + 4)
    if g == 0:
        tl.store(clock_ptr + 1, t + 1)
    begin = t * batch + g * each
    stop = tl.minimum(tl.minimum(begin + each, (t + 1) * batch), rows)
    stop = tl.where(t < batches, stop, begin)  # no batch is left: nothing is read
    n, f, o = tl.arange(0, BN).to(tl.int64), tl.arange(0, FP), tl.arange(0, OP)
    w_at = o[:, None] * (features + 1) + 1 + f[None, :]
    w_mask = (o < targets)[:, None] & (f < features)[None, :]
    weight = tl.load(theta_ptr + w_at, mask=w_mask, other=0.0)
    bias = tl.load(theta_ptr + o * (features + 1), mask=o < targets, other=0.0)
    products = _products(tl.zeros((BN, OP), weight.dtype), tl.zeros((BN, FP), weight.dtype), OP)
    sums = tl.zeros((BN, OP), weight.dtype)
    for q in range(begin, stop, BN):
        x, y, w = fetch(
            x_ptr, y_ptr, w_ptr, order_ptr, keys_ptr, tail_ptr, start, left, whole, q + n, q + n < stop,
            features, targets, FP, OP, BITS, SHUFFLED, WEIGHTED,
        )  # fmt: skip
        r = _residual(x, y, w, weight, bias, OP)
        products += _products(r, x, OP)
        sums += r
    partial_ptr += g * targets * (features + 1)
    tl.store(partial_ptr + w_at, _added_up(products, OP), mask=w_mask)
    tl.store(partial_ptr + o * (features + 1), tl.sum(sums, 0), mask=o < targets)


@triton.jit(do_not_specialize=["rows", "batch", "programs"])
def finish(
    partial_ptr, theta_ptr, velocity_ptr, how_ptr, clock_ptr, rows, batch, programs, features, targets,
    BG: tl.constexpr, BD: tl.constexpr, MOMENTUM: tl.constexpr, NESTEROV: tl.constexpr,
):  # fmt: skip
    """The step: program (o, i) moves BD of the parameters of target o. Sums over programs are float64."""
    t = tl.load(clock_ptr + 1) - 1
    if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
        tl.store(clock_ptr, t + 1)
    d = tl.program_id(1) * BD + tl.arange(0, BD)
    at = tl.program_id(0) * (features + 1) + d
    there = (d < features + 1) & (t < tl.load(clock_ptr + 2))
    total = tl.zeros((BG, BD), tl.float64)
    for first_g in range(0, programs, BG):
        g = first_g + tl.arange(0, BG)
        total += tl.load(
            partial_ptr + g[:, None] * (targets * (features + 1)) + at[None, :],
            mask=(g < programs)[:, None] & there[None, :],
            other=0.0,
        ).to(tl.float64)
    value = tl.load(theta_ptr + at, mask=there, other=0.0)
    velocity = tl.load(velocity_ptr + at, mask=there, other=0.0)
    size = tl.minimum(batch, rows - t * batch)
    gradient = (tl.sum(total, 0) * (2.0 / (size * targets).to(tl.float64))).to(value.dtype)
    gradient += tl.where(d > 0, tl.load(how_ptr + 3).to(value.dtype), 0.0).to(value.dtype) * value
    new = (tl.load(clock_ptr + 3) != 0) & (t == 0)
    value, velocity = _moved(value, velocity, gradient, how_ptr, new, MOMENTUM, NESTEROV)
    tl.store(theta_ptr + at, value, mask=there)
    if MOMENTUM:
        tl.store(velocity_ptr + at, velocity, mask=there)
