"""Records and full-batch epochs on an NVIDIA card, as shares of what its memory and its bus allow.

    python -m bench.card

It needs torch, Triton, numpy and pyarrow alone, makes its rows on the card, and says so where there is none. Each pass
over rows is held against a reduction of the same rows by torch (``read``) and a copy on the card (``copy``, bytes read
and written); from host memory, against a copy from pinned memory (``pinned``).

Shapes: N rows, F features, P = F + 1 columns.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch

from bench.harness import Contender, Result, in_turn, machine, more_is_better, seconds, table
from linreg.kernels.cuda import descent, record
from linreg.kernels.cuda import transfer as feed

FEATURES = (3, 32, 64)
SIZE = 1 << 32  # bytes of rows: far beyond a card's caches
SHARE = 0.8  # of the read speed that a pass has to reach
READ, COPY, PINNED = "read", "copy", "pinned"


def run(*, size: int = SIZE, rounds: int = 7, device: str = "cuda:0") -> list[Result]:
    """A result for each kind of pass and number of features; none where there is no card."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        sys.stderr.write("card: skipped, no NVIDIA card on this machine\n")
        return []
    where = torch.device(device)
    passes = [r for f in FEATURES for r in (*_records(f, size, rounds, where), _epochs(f, size, rounds, where))]
    return [*passes, _from_host(32, size, rounds, where)]


def _records(features: int, size: int, rounds: int, where: torch.device) -> list[Result]:
    """The pass over the rows, and the whole record of them: sample, Cholesky factor and checks on the CPU included."""
    rows = size // (8 * (features + 1))
    z_PN = torch.randn((features + 1, rows), dtype=torch.float64, device=where)
    shift_P, source = torch.zeros(features + 1, dtype=torch.float64, device=where), record.OnCard(z_PN)
    _check_the_same(z_PN, where)
    limits = _limits(z_PN)
    sums = in_turn({"ours": _speed(lambda: record.gram(source, shift_P), z_PN.nbytes, where)} | limits, rounds)
    whole = in_turn(
        {"ours": _speed(lambda: record.factor(source, where, way="plain"), z_PN.nbytes, where)} | limits, rounds
    )
    note = f"{rows:,} rows in float64 on {_name(where)}, one target, columns; medians of {rounds} in turn"
    return [
        more_is_better(f"card sums F={features}", "GB/s", sums, {READ: SHARE}, note=f"one pass over {note}"),
        more_is_better(f"card record F={features}", "GB/s", whole, {}, note=f"the whole record, way plain, of {note}"),
    ]


def _epochs(features: int, size: int, rounds: int, where: torch.device, *, epochs: int = 10) -> Result:
    rows = size // (4 * (features + 1))
    x_NF, y_NO = (torch.randn((rows, k), device=where) for k in (features, 1))
    data, how = descent.Rows(x_NF, y_NO), descent.How(0.01, momentum=0.9)

    def work() -> None:
        state = {"weight": torch.zeros((1, features), device=where), "bias": torch.zeros(1, device=where)}
        for _ in range(epochs):
            state = descent.epoch(data, None, rows, how, state)

    measured = in_turn({"ours": _speed(work, epochs * (x_NF.nbytes + y_NO.nbytes), where)} | _limits(x_NF), rounds)
    note = (
        f"{epochs} full-batch epochs with momentum on {rows:,} rows in float32 on {_name(where)}, one target; medians "
        f"of {rounds} in turn"
    )
    return more_is_better(f"card epochs F={features}", "GB/s", measured, {READ: SHARE}, note=note)


def _from_host(features: int, size: int, rounds: int, where: torch.device) -> Result:
    """Columns in ordinary host memory, as Arrow holds them: through pinned buffers, copied while the card computes."""
    leaves = max(1, size // (4 * (features + 1) * record.LEAF))
    z_PN = np.ones((features + 1, leaves * record.LEAF), np.float32)
    z_PN += np.random.default_rng(0).standard_normal((features + 1, record.LEAF), np.float32).repeat(leaves, axis=1)

    def leaf(i: int) -> feed.Leaf:
        return feed.Leaf(list(z_PN[:, i * record.LEAF : (i + 1) * record.LEAF]))

    source = feed.Host(leaf, leaves, where)
    pinned = torch.ones(min(size, 1 << 30) // 4, pin_memory=where.type == "cuda")
    card = torch.empty_like(pinned, device=where)
    contenders = {
        "ours": _speed(lambda: record.factor(source, where, way="plain"), z_PN.nbytes, where),
        PINNED: _speed(lambda: card.copy_(pinned, non_blocking=True), pinned.nbytes, where),
    }
    note = (
        f"{z_PN.shape[1]:,} rows x {features} features in float32 from host memory to their record on {_name(where)}; "
        f"{PINNED}: one copy of pinned memory to it; medians of {rounds} in turn"
    )
    return more_is_better(f"card from host F={features}", "GB/s", in_turn(contenders, rounds), {}, note=note)


def _limits(rows: torch.Tensor) -> dict[str, Contender]:
    half = rows.view(-1)[: rows.numel() // 2]
    to = torch.empty_like(half)
    return {
        READ: _speed(rows.sum, rows.nbytes, rows.device),
        COPY: _speed(lambda: to.copy_(half), 2 * half.nbytes, rows.device),
    }


def _speed(work: Callable[[], object], size: int, where: torch.device) -> Contender:
    """Gigabytes (1e9 bytes) a second, the second time: the first one compiles."""

    def measure() -> tuple[float]:
        return (size / 1e9 / seconds(lambda: (work(), _wait(where)))[0],)

    work()
    _wait(where)
    return measure


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def _name(where: torch.device) -> str:
    return torch.cuda.get_device_name(where) if where.type == "cuda" else str(where)


def _check_the_same(z_PN: torch.Tensor, where: torch.device) -> None:
    """Sums of products to ten digits, of the first rows: by the pass that is measured, and by torch."""
    some = z_PN[:, : 4 * record.LEAF].contiguous()
    v = torch.cat([torch.ones_like(some[:1]), some])
    ours = record.gram(record.OnCard(some), torch.zeros(len(some), dtype=torch.float64, device=where))
    np.testing.assert_allclose(ours, (v @ v.T).cpu().numpy(), rtol=1e-10, atol=1e-10 * some.shape[1])


if __name__ == "__main__":
    found = run()
    if found:
        print("\n\n".join([machine(), table(found)]))
