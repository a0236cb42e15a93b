"""The first step: files to rows and moments; or the finding that nothing has changed since a registered version.

It knows the registry only to ask two things: whether this content was registered before, and which columns the champion
needs to be judged on the same rows.
"""

import hashlib
import json
from dataclasses import dataclass

from flows.tracking import registry
from flows.tracking.registry import Version
from flows.tracking.store import Store
from linreg import source
from linreg.config import Config
from linreg.config_file import to_dict
from linreg.dataset import Dataset, load
from linreg.device import resolve
from linreg.errors import UserError
from linreg.model import LinearModel
from linreg.moments import Moments


@dataclass(frozen=True)
class Champion:
    """The version that is in use, and its parameters.

    Args:
        version: as the registry has it.
        model: None where its files cannot be read.
        fault: why they cannot, in words.
    """

    version: Version
    model: LinearModel | None
    fault: str = ""


@dataclass(frozen=True)
class Ingested:
    """What the later steps work on.

    Args:
        digest: of the content of all partitions.
        content_key: see ``content_key``.
        dataset: the rows.
        moments: the record of the training rows.
        champion: the version in use; None where there is none yet.
    """

    digest: str
    content_key: str
    dataset: Dataset
    moments: Moments
    champion: Champion | None


@dataclass(frozen=True)
class Unchanged:
    """A version with this content key is registered already.

    Args:
        version: that version.
        digest: of the data.
        partitions: how many files the data has; none of them was decoded.
    """

    version: Version
    digest: str
    partitions: int


def content_key(config: Config, digest: str) -> str:
    """SHA-256 of the data digest, ``[data]``, ``[train]`` but for the device, and the model's name; of nothing else."""
    table = to_dict(config)
    del table["train"]["device"]  # where it ran is not what it is
    content = {"digest": digest, "data": table["data"], "train": table["train"], "model": config.model}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def ingest(config: Config, store: Store) -> Ingested | Unchanged:
    """Find and hash the files, and read them unless their content is registered already.

    Raises:
        UserError: a file, a column or a value is not as it must be, or the device is not there.
    """
    resolve(config.train.device, config.train.dtype)  # wrong on this machine even where nothing is left to train
    partitions = source.find(config.data.path)
    digest = source.digest(partitions)
    key = content_key(config, digest)
    known = registry.by_content_key(store, config.model, key)
    if known is not None:
        return Unchanged(known, digest, len(partitions))
    champion = current_champion(store, config.model)
    wanted = champion.model.features if champion and champion.model else ()
    dataset = load(config.data, partitions=partitions, dtype=config.train.dtype, optional=wanted)
    rows = dataset.train
    moments = Moments.of(rows.blocks(), rows.features, rows.targets)
    return Ingested(digest, key, dataset, moments, champion)


def current_champion(store: Store, name: str) -> Champion | None:
    """The champion of a model, loaded; None where there is none."""
    version = registry.champion(store, name)
    if version is None:
        return None
    try:
        return Champion(version, registry.load(store, version))
    except UserError as e:  # a lost champion must not stop the nights that could replace it
        return Champion(version, None, str(e))
