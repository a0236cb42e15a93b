"""What the first step hands to the later ones: rows and records, the champion, or the finding that nothing changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from flows.tracking.registry import Version
from linreg.files.partitions import Partition
from linreg.ingest.dataset import Dataset
from linreg.model import LinearModel
from linreg.moments.deferred import PartitionMoments
from linreg.moments.lineage import Lineage
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.moments.training_record import TrainingRecord
from linreg.rows import split


@dataclass(frozen=True)
class Champion:
    """The version that is in use, and its parameters.

    Args:
        version: as the registry has it.
        model: None where its files cannot be read.
        fault: why they cannot, in words.
        moments: the record of its training rows; None where none was kept.
        lineage: the files that it learned from; None where they were not kept.
    """

    version: Version
    model: LinearModel | None
    fault: str = ""
    moments: Moments | None = None
    lineage: Lineage | None = None


@dataclass(frozen=True)
class WarmStart:
    """The version that a training starts from, and its parameters."""

    version: Version
    model: LinearModel


@dataclass(frozen=True)
class RunInput:
    """What the later steps work on.

    Args:
        digest: of the content of all partitions.
        content_key: see ``content_key``.
        dataset: the rows.
        record: the record of the training rows.
        validation: that of the validation rows, gaps filled with the training means; None where there are none.
        test: that of the rows that judge, gaps still open.
        extents: the range of every partition, features then targets.
        champion: the version in use; None where there is none yet.
        warm: the version that ``train.warm_start`` names; None for a cold start.
        read: how many files were read; the others were known.
        folds: the record of the training rows of each fold; empty where none were asked for.
        skipped: what is to be told of files that are not read, one line each.
    """

    digest: str
    content_key: str
    dataset: Dataset
    record: TrainingRecord
    validation: Moments | None
    test: MomentsWithGaps
    extents: tuple[Ranges, ...]
    champion: Champion | None
    warm: WarmStart | None = None
    read: int = 0
    folds: tuple[MomentsWithGaps, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def start(self) -> LinearModel | None:
        """The model that training starts from; None: seeded standard normals."""
        return self.warm.model if self.warm else None

    @property
    def moments(self) -> Moments:
        """The moments of the training rows."""
        return self.record.moments

    @property
    def ranges(self) -> Ranges:
        """The range of the columns over all rows, features then targets."""
        return reduce(add, self.extents)

    @property
    def trained(self) -> list[tuple[Partition, PartitionMoments, Ranges]]:
        """The partitions that have training rows: the record of these, and the range of all rows."""
        files = zip(self.dataset.partitions, self.extents, self.dataset.counts, strict=True)
        with_rows = [(partition, ranges) for partition, ranges, count in files if count[split.TRAIN]]
        return [(p, m, e) for (p, e), m in zip(with_rows, self.record.partitions, strict=True)]

    @property
    def facts(self) -> dict[str, Any]:
        """The ``data`` of a run that read its files."""
        return {
            "rows": self.dataset.rows,
            "train_rows": self.dataset.train_rows,
            "test_rows": self.dataset.test_rows,
            "digest": self.digest,
            "partitions": len(self.dataset.partitions),
            **({"empty": len(empty)} if (empty := self.dataset.empty) else {}),
            "read": self.read,
        }

    @property
    def lineage(self) -> Lineage:
        """The files that the model learns from."""
        columns = (*self.moments.features, *self.moments.targets)
        files = tuple((p.name, p.digest) for p in self.dataset.partitions)
        weight = {p: m.weight for p, m, _ in self.trained}
        weights = tuple(weight.get(p, 0.0) for p in self.dataset.partitions)
        return Lineage(files, weights, columns, self.ranges)


@dataclass(frozen=True)
class Unchanged:
    """A version with this content key is registered already.

    Args:
        version: that version.
        digest: of the data.
        partitions: how many files the data has; none of them was decoded.
        table: of the models, where it came of the same sweep.
        skipped: as of ``RunInput``.
    """

    version: Version
    digest: str
    partitions: int
    table: Mapping[str, Any] | None = None
    skipped: Sequence[str] = ()
