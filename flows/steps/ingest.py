"""The first step: files to rows and moments; or the finding that nothing has changed since a registered version.

It knows the registry only to ask two things: whether this content was registered before, and which columns the champion
needs to be judged on the same rows.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import torch

from flows.steps.run_input import Champion, RunInput, Unchanged, WarmStart
from flows.tracking import registry
from flows.tracking.stores.store import Store
from linreg.config import Config, TrainConfig
from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.files import partitions as source
from linreg.files.partitions import Partition
from linreg.ingest.dataset import find_files
from linreg.ingest.digest_cache import KnownFiles
from linreg.ingest.part import ALL, HELD_OUT
from linreg.ingest.records import record_dataset
from linreg.training.choose import check, choose
from linreg.training.device import resolve

KEY_FORMAT = 3  # of the content key; one more where a key changes its meaning
# What the key leaves out where it is no longer the default: a config that names it is as known as it ever was.
FORMER_DEFAULTS = {"learning_rate": 0.01, "tolerance": 0.0}


def content_key(config: Config, digest: str) -> str:
    """SHA-256 of the data digest, ``[data]``, ``[train]`` but for the device, and the model's name; of nothing else.

    What stands at its first default is left out, so that a release with a new key makes no old version a stranger.
    """
    data, train = (_set_keys(section) for section in (config.data, config.train))
    train.pop("device", None)  # where it ran is not what it is
    if config.train.trainer == "exact" and config.train.learning_rate == "auto":
        train = {name: value for name, value in train.items() if name not in FORMER_DEFAULTS}  # it has no rate
    content = {"format": KEY_FORMAT, "digest": digest, "data": data, "train": train, "model": config.model}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _set_keys(section: DataConfig | TrainConfig) -> dict[str, Any]:
    """The keys of a section that are not at their defaults."""
    defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(section)}
    defaults |= {name: value for name, value in FORMER_DEFAULTS.items() if name in defaults}
    return {name: value for name, default in defaults.items() if (value := getattr(section, name)) != default}


def ingest(config: Config, store: Store) -> RunInput | Unchanged:
    """Find and hash the files, and read them unless their content is registered already.

    Raises:
        UserError: a file, a column or a value is not as it must be, or the device is not there.
    """
    check(config)
    resolve(config.train.device, config.train.dtype)  # wrong on this machine even where nothing is left to train
    partitions, skipped = find(config)
    digest = source.digest(partitions)
    key = content_key(config, digest)
    version = registry.by_content_key(store, config.model, key)
    if version is not None:
        return Unchanged(version, digest, len(partitions), skipped=skipped)
    return read(config, store, partitions, digest, key, walked=walks_rows(config), skipped=skipped)


def find(config: Config) -> tuple[list[Partition], list[str]]:
    """The files of a config's data and their digests; those that are known and still the same are not opened.

    Returns:
        the files, and what is to be told of others that lie there too.

    Raises:
        UserError: as ``partitions.find``.
    """
    skipped: list[str] = []
    if not config.engine.cache:
        return find_files(config.data, tell=skipped.append), skipped
    known_files = KnownFiles.open(Path(os.path.expanduser(config.engine.cache)), config.data.path)
    known = None if config.engine.verify else known_files.files
    partitions = find_files(config.data, known=known, tell=skipped.append)
    known_files.save(partitions)
    return partitions, skipped


def read(
    config: Config,
    store: Store,
    partitions: Sequence[Partition],
    digest: str,
    key: str,
    *,
    walked: bool,
    folds: int = 0,
    skipped: Sequence[str] = (),
) -> RunInput:
    """Read the files, once.

    Args:
        partitions, digest: the files that were found, and the digest of their content.
        key: the content key.
        walked: whether training needs the rows themselves, and not their record alone.
        folds: how many folds the training rows are recorded by, besides; 0: none.
        skipped: what is to be told of files that are not read.

    Raises:
        UserError: as ``ingest``.
    """
    warm = warm_start(store, config)
    champion = current_champion(store, config.model)
    rows_held = ALL if walked or not config.data.test_fraction else HELD_OUT
    dataset_read = record_dataset(
        config.data,
        partitions=partitions,
        dtype=config.train.dtype,
        folds=folds,
        held=rows_held,
        device=_record_device(config),
        cache=Path(os.path.expanduser(config.engine.cache)) if config.engine.cache else None,
        most=round(config.engine.cache_gb * 2**30),
        **_champion_columns(champion),
    )
    records = dataset_read.record, dataset_read.validation, dataset_read.test, dataset_read.extents
    files = dataset_read.read, dataset_read.folds
    return RunInput(digest, key, dataset_read.dataset, *records, champion, warm, *files, tuple(skipped))


def walks_rows(config: Config) -> bool:
    """Whether its trainer walks the rows."""
    return choose(config.train)[0].needs_rows


def _record_device(config: Config) -> torch.device | None:
    """The CUDA device that ``train.device`` names. With ``auto`` records are the CPU's: the same bits anywhere."""
    device = resolve(config.train.device, config.train.dtype)
    return device if device.type == "cuda" and config.train.device != "auto" else None


def _champion_columns(champion: Champion | None) -> dict[str, Any]:
    """The columns that the champion needs beside today's, and whether it fills their gaps."""
    if champion is None or champion.model is None:
        return {}
    return {"optional": champion.model.inputs, "optional_gaps": champion.model.fill_F is not None}


def warm_start(store: Store, config: Config) -> WarmStart | None:
    """The version that ``train.warm_start`` names; None where it names none.

    A model that names its own champion and has none yet starts from the seed: so does the first night of a schedule,
    and one after a run that was cut off before its promotion.

    Raises:
        UserError: no such version, or its files cannot be read.
    """
    if not config.train.warm_start:
        return None
    ref = registry.parse_ref(config.train.warm_start)
    if starts_cold(config) and registry.champion(store, ref.name) is None:
        return None
    version = registry.lookup(store, config.train.warm_start)
    return WarmStart(version, registry.load(store, version))


def starts_cold(config: Config) -> bool:
    """Whether ``train.warm_start`` names the model's own champion, which need not be there yet."""
    ref = registry.parse_ref(config.train.warm_start)
    return ref == registry.Ref(config.model, alias="champion")


def training_config(config: Config, run_input: RunInput) -> TrainConfig:
    """``[train]``, without a warm start where there is nothing yet to start from."""
    return config.train if run_input.start else replace(config.train, warm_start="")


def current_champion(store: Store, name: str) -> Champion | None:
    """The champion of a model, loaded; None where there is none."""
    version = registry.champion(store, name)
    if version is None:
        return None
    try:
        contents = registry.contents(store, version, inference=False)
        return Champion(version, contents.model, "", contents.moments, contents.lineage)
    except UserError as e:  # a lost champion must not stop the nights that could replace it
        return Champion(version, None, str(e))
