"""What a model learned from: which files, by their content, and where their values lay.

It is kept beside the parameters, so that a later run knows which of its files are new to the model. Without a file's
content it tells nothing; it reads none.

Shapes: P columns, features then targets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from linreg.metrics import finite
from linreg.moments.ranges import Ranges


@dataclass(frozen=True)
class Lineage:
    """The files that a model was trained and judged on.

    Args:
        partitions: of every file, its name and the XXH3-128 of its content.
        weights: of every file, the weight of its training rows; how many there are, where all count the same.
        columns: names of the P columns.
        ranges: theirs over all rows.
    """

    partitions: tuple[tuple[str, str], ...]
    weights: tuple[float, ...]
    columns: tuple[str, ...]
    ranges: Ranges

    @property
    def digests(self) -> frozenset[str]:
        """The content of the files, whatever they are called."""
        return frozenset(digest for _, digest in self.partitions)

    def to_json(self) -> dict[str, Any]:
        """For a file: ``{"partitions": [[name, digest, weight]], "range": {column: [low, high]}}``; null: no value."""
        ends = zip(self.columns, self.ranges.low_P.tolist(), self.ranges.high_P.tolist(), strict=True)
        return {
            "partitions": [[*p, weight] for p, weight in zip(self.partitions, self.weights, strict=True)],
            "range": {name: [finite(low), finite(high)] for name, low, high in ends},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Lineage":
        """What ``to_json`` gave; raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is something else."""
        ends = [_ends(low, high) for low, high in document["range"].values()]
        low_P, high_P = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        partitions = tuple((str(name), str(digest)) for name, digest, _ in document["partitions"])
        weights = tuple(float(weight) for *_, weight in document["partitions"])
        return cls(partitions, weights, tuple(document["range"]), Ranges(low_P, high_P))


def _ends(low: float | None, high: float | None) -> Sequence[float]:
    return (math.inf if low is None else low, -math.inf if high is None else high)
