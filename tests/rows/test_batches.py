"""The order of the rows: permutations, uniformity; nothing counts but seed and epoch."""

import numpy as np
import pytest
import torch
from scipy import stats

from linreg.rows.batches import batches, epoch_order
from tests.rows.test_splitmix import mixed


@pytest.mark.parametrize("rows", [1, 2, 15, 1000, 1024, 2048, 5000, 70_000])
def test_every_epoch_walks_every_row_once(rows: int) -> None:
    for epoch in (1, 2, 10**9):
        assert sorted(epoch_order(rows, 4, seed=0, epoch=epoch)) == list(range(rows))


def test_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    orders = {(s, e): tuple(epoch_order(50, 4, seed=s, epoch=e)) for s in (0, 1, 2, 2**63 - 1) for e in (1, 2, 3)}
    assert len(set(orders.values())) == len(orders)
    torch.manual_seed(5)
    np.random.default_rng(5).normal()
    assert tuple(epoch_order(50, 4, seed=1, epoch=2)) == orders[1, 2]


@pytest.mark.parametrize(("seed", "epoch"), [(0, 1), (7, 3), (2**63 - 1, 10**6)])
def test_the_order_ranks_the_random_words_of_the_rows(seed: int, epoch: int) -> None:
    def word(i: int) -> int:
        return mixed((i + 1) * 0x9E3779B97F4A7C15 % 2**64)

    stream = word(word(seed) ^ epoch)
    assert epoch_order(20, 4, seed=seed, epoch=epoch).tolist() == sorted(range(20), key=lambda i: word(i ^ stream))


def test_every_row_comes_first_equally_often_and_all_orders_of_three_are_as_likely() -> None:
    first = np.bincount([epoch_order(10, 4, seed=3, epoch=e)[0] for e in range(4000)], minlength=10)
    assert stats.chisquare(first).pvalue > 1e-3
    orders = [tuple(epoch_order(3, 4, seed=s, epoch=1)) for s in range(3000)]
    counts = list({o: orders.count(o) for o in set(orders)}.values())
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_batches_part_the_epoch_and_the_last_one_is_the_smaller() -> None:
    parts = list(batches(15, 4, seed=0, epoch=1))
    assert [len(p) for p in parts] == [4, 4, 4, 3]
    assert torch.cat(parts).tolist() == epoch_order(15, 4, seed=0, epoch=1).tolist()


@pytest.mark.parametrize("batch_size", [0, 15, 16, 10**9])
def test_a_batch_of_all_rows_takes_them_in_order(batch_size: int) -> None:
    assert list(batches(15, batch_size, seed=0, epoch=1)) == [slice(None)]
