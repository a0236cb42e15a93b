"""The integer generator gives the numbers that are published for it."""

import numpy as np
import pytest

from linreg.rows.splitmix import GOLDEN, mix, splitmix64

PUBLISHED = {
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC],
    1234567: [6457827717110365317],
}


def mixed(word: int) -> int:
    """The generator's output function, in Python's own integers."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return word ^ word >> 31


@pytest.mark.parametrize("seed", PUBLISHED)
def test_the_generator_gives_the_published_numbers(seed: int) -> None:
    """Those of the reference code and other implementations."""
    count = len(PUBLISHED[seed])
    states = [(seed + n * int(GOLDEN)) % 2**64 for n in range(1, count + 1)]
    assert [mixed(state) for state in states] == PUBLISHED[seed]
    assert mix(np.array(states, np.uint64)).tolist() == PUBLISHED[seed]


def test_the_outputs_of_seed_0_are_had_by_their_numbers() -> None:
    assert splitmix64(np.arange(4, dtype=np.uint64)).tolist() == PUBLISHED[0]
