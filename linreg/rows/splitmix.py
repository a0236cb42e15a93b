"""SplitMix64, vectorised: the integer generator behind the split and the batch order, the same on every machine.

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
"""

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the step from one state to the next


def mix(state: Words) -> Words:
    """The generator's output function: 64-bit words to 64-bit words, one to one; shape kept."""
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def splitmix64(words: Words) -> Words:
    """Output number ``words[i]`` of the generator seeded with 0; shape kept."""
    return mix((words + np.uint64(1)) * GOLDEN)
