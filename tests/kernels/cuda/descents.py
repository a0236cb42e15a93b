"""Descent on a card: the numbers of ``torch.optim.SGD`` on the same batches, whichever way an epoch takes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from linreg.kernels.cuda import batch_order as order
from linreg.kernels.cuda import descent
from linreg.kernels.cuda.descent import How
from linreg.rows.batches import batches, epoch_blocks, epoch_order

BOUND = {torch.float64: 1e-12, torch.float32: 2e-5}
SHAPES = {  # rows, features, targets, batch: every way through
    "one program, few parameters": (1100, 3, 2, 250),
    "one program, one feature": (40, 1, 1, 7),
    "one program, all rows": (90, 5, 1, 0),
    "parts, short last batch": (1500, 7, 2, 700),
    "parts, wide": (330, 33, 1, 300),
    "parts, three targets": (90, 70, 3, 40),
    "parts, all rows": (1300, 4, 1, 0),
}
HOW = {
    "plain": How(0.01),
    "decay": How(0.01, decay=0.3),
    "momentum": How(0.01, momentum=0.9, dampening=0.2, decay=0.1),
    "nesterov": How(0.01, momentum=0.8, nesterov=True),
}


def data(n: int, f: int, o: int, dtype: torch.dtype, *, weighted: bool = False) -> descent.Rows:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, f))
    y = x @ rng.normal(size=(f, o)) + 3 + 0.5 * rng.normal(size=(n, o))
    w = rng.uniform(0.2, 1.8, n) if weighted else None
    return descent.Rows(*(None if a is None else torch.from_numpy(a).to(dtype) for a in (x, y, w)))


def start(rows: descent.Rows) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    f, o, dtype = rows.x_NF.shape[1], rows.y_NO.shape[1], rows.x_NF.dtype
    return {
        "weight": torch.randn((o, f), generator=generator).to(dtype),
        "bias": torch.randn(o, generator=generator).to(dtype),
    }


def moved(to: torch.device, things):
    """Tensors, in a tuple or a dict, on a device."""
    if isinstance(things, dict):
        return {k: v.to(to) for k, v in things.items()}
    return type(things)(*(None if t is None else t.to(to) for t in things))


def walk(rows, batch, how, state, *, epochs=(1, 2), shuffle=True, rates=()) -> dict[str, torch.Tensor]:
    n = len(rows.x_NF)
    for e in epochs:
        blocks = epoch_blocks(n, batch, seed=3, epoch=e) if shuffle and 0 < batch < n else None
        of_epoch = replace(how, rate=rates[e - 1]) if rates else how
        state = descent.epoch(rows, blocks, batch or n, of_epoch, state)
    return state


def torch_sgd(rows, batch, how, state, *, epochs=(1, 2), shuffle=True, rates=()) -> torch.Tensor:
    model = torch.nn.Linear(rows.x_NF.shape[1], rows.y_NO.shape[1], dtype=rows.x_NF.dtype)
    model.load_state_dict(state)
    groups = [{"params": [model.weight], "weight_decay": how.decay}, {"params": [model.bias]}]
    sgd = torch.optim.SGD(groups, lr=how.rate, momentum=how.momentum, dampening=how.dampening, nesterov=how.nesterov)
    for e in epochs:
        for group in sgd.param_groups:
            group["lr"] = rates[e - 1] if rates else how.rate
        for i in batches(len(rows.x_NF), batch, seed=3, epoch=e, shuffle=shuffle):
            sgd.zero_grad()
            squares = (model(rows.x_NF[i]) - rows.y_NO[i]) ** 2
            (squares if rows.weight_N is None else squares * rows.weight_N[i][:, None]).mean().backward()
            sgd.step()
    return theta(model.state_dict())


def theta(state) -> torch.Tensor:
    return torch.cat([state["bias"][:, None], state["weight"]], 1).detach().cpu()


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.fixture(params=["kernels", "torch"])
def way(request, monkeypatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(descent, "kernels", lambda _: False)
    else:
        pytest.importorskip("triton", reason="Triton is not installed")
    return request.param


def check(rows, batch, how, device, **options) -> None:
    begin = start(rows)
    expected = torch_sgd(rows, batch, how, begin, **options)
    ours = theta(walk(moved(device, rows), batch, how, moved(device, begin), **options))
    assert apart(ours, expected) <= BOUND[rows.x_NF.dtype]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", BOUND, ids=["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_gives_the_numbers_of_torch_s_sgd(shape: str, dtype: torch.dtype, device) -> None:
    n, f, o, batch = SHAPES[shape]
    check(data(n, f, o, dtype), batch, HOW["momentum"], device)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("weighted", [False, True], ids=["equal rows", "weights"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("shape", ["one program, one feature", "parts, wide"])
def test_every_option_gives_the_numbers_of_torch_s_sgd(shape: str, how: str, weighted: bool, device) -> None:
    n, f, o, batch = SHAPES[shape]
    check(data(n, f, o, torch.float64, weighted=weighted), batch, HOW[how], device)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("shape", ["one program, few parameters", "parts, short last batch"])
def test_in_order_it_walks_the_rows_as_they_stand(shape: str, device) -> None:
    n, f, o, batch = SHAPES[shape]
    check(data(n, f, o, torch.float64), batch, HOW["plain"], device, shuffle=False)


@pytest.mark.usefixtures("way")
def test_each_epoch_has_its_own_rate(device) -> None:
    for shape in ("one program, one feature", "parts, wide"):
        n, f, o, batch = SHAPES[shape]
        check(data(n, f, o, torch.float64), batch, HOW["momentum"], device, rates=(0.02, 0.005))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("shape", ["one program, few parameters", "parts, short last batch"])
def test_taken_up_again_it_goes_on_with_the_same_bits(shape: str, device) -> None:
    n, f, o, batch = SHAPES[shape]
    rows = moved(device, data(n, f, o, torch.float32))
    begin, how = moved(device, start(rows)), HOW["momentum"]
    whole = walk(rows, batch, how, begin, epochs=(1, 2))
    half = walk(rows, batch, how, begin, epochs=(1,))
    kept = {k: v.clone() for k, v in half.items()}
    resumed = walk(moved(device, data(n, f, o, torch.float32)), batch, how, half, epochs=(2,))
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert all(torch.equal(half[k], kept[k]) for k in half)  # the state handed in is left as it was


@pytest.mark.parametrize(("rows", "batch"), [(5000, 5), (1024, 10), (1025, 10), (700, 3), (20_000, 1000)])
def test_the_row_at_each_place_is_that_of_the_epoch_s_order(rows: int, batch: int) -> None:
    """``order`` undoes what ``batches`` does; the kernel's arithmetic, in numpy."""
    blocks = epoch_blocks(rows, batch, seed=4, epoch=2)
    begun, bits = order.of(blocks, rows), (blocks.size - 1).bit_length()
    q = np.arange(rows)
    after, tail = q >= begun.start + begun.left, (q >= begun.start) & (q < begun.start + begun.left)
    w = np.where(after, q - begun.left, q)
    block = begun.order_C.numpy()[np.where(tail, 0, (w >> bits) + after)]
    a, b, c, from_a, from_b, from_c = begun.keys_C6.numpy().view(np.uint32)[np.where(tail, 0, block)].T
    mask, half = np.uint32(blocks.size - 1), np.uint32((bits + 1) // 2)
    word = (((w & (blocks.size - 1)).astype(np.uint32) - a) * from_c) & mask
    word = ((word ^ (word >> half)) - c) * from_b & mask
    word = ((word ^ (word >> half)) - b) * from_a & mask
    last = begun.tail_T.numpy()[np.where(tail, q - begun.start, 0)]
    found = np.where(tail, (begun.whole << bits) + last, (block.astype(np.int64) << bits) + word)
    np.testing.assert_array_equal(found, epoch_order(rows, batch, seed=4, epoch=2))


def test_a_shape_that_no_kernel_takes_goes_by_torch(device) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    rows = data(50, 1500, 2, torch.float64)
    wide = descent.Shape(50, 1500, 2, 20, 1024, False, False, False, torch.float64, device)
    assert not descent.kernels(wide)
    check(rows, 20, How(1e-4), device)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(1_000_003, 32, 1, 0), (200_003, 32, 1, 64), (500_003, 3, 2, 5000)])
def test_on_a_card_large_sets_give_the_numbers_of_torch_and_the_same_bits_twice(shape, way, device) -> None:
    n, f, o, batch = shape
    rows = data(n, f, o, torch.float64)
    if way == "kernels" or batch != 64:  # three thousand batches one by one prove nothing more
        check(rows, batch, HOW["momentum"], device)
    on_card, begin = moved(device, rows), moved(device, start(rows))
    first, again = (walk(on_card, batch, HOW["momentum"], begin) for _ in range(2))
    assert all(torch.equal(first[k], again[k]) for k in first)


@pytest.mark.gpu
def test_on_a_card_a_graph_that_was_recorded_walks_another_epoch_and_other_data(device) -> None:
    """The recorded graph knows addresses alone: new numbers in the same place, and a second set beside it."""
    rows = moved(device, data(60_000, 8, 1, torch.float64))
    for source in (rows, moved(device, data(60_001, 8, 1, torch.float64)), rows):
        back = moved(torch.device("cpu"), source)
        check(back, 4096, HOW["nesterov"], device)
        expected = torch_sgd(back, 4096, HOW["nesterov"], start(back))
        ours = theta(walk(source, 4096, HOW["nesterov"], moved(device, start(back))))
        assert apart(ours, expected) <= BOUND[torch.float64]
