"""A registered version as a record, how it is kept in tags and read back; how a REF is read.

MLflow's search returns neither aliases nor metrics, so everything that a look-up tells is put into the version's tags
when it is registered. Nothing here talks to a store.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from linreg.errors import UserError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
KEY_TAG = "content_key"
FACTS_TAG = "linreg.facts"
PORTION = 4000  # characters of the facts in one tag


@dataclass(frozen=True)
class Ref:
    """What ``NAME``, ``NAME@ALIAS`` or ``NAME/VERSION`` names; ``NAME`` alone means its champion."""

    name: str
    alias: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class Version:
    """A registered version.

    Args:
        name: of the registered model.
        version: its number.
        aliases: that point at it.
        created: ISO 8601, UTC.
        run_id: the MLflow run that trained it.
        flow_run_id: the Prefect flow run.
        metrics: final metrics by name.
        data: ``{"digest", "rows", ...}`` of what it was trained and judged on.
        trainer: that ran.
        tags: of the version in MLflow, ours left out.
        content_key: what it was made from.
        split: how its rows were split: seed, key, fraction.
        features: column names of the inputs.
        targets: column names of the outputs.
        facts: all that was registered with it, these included.
        source: ``models:/<model_id>``.
        manifest: SHA-256 of the model's manifest.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    created: str
    run_id: str | None
    flow_run_id: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    trainer: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    content_key: str | None = None
    split: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    manifest: str | None = None

    @property
    def ref(self) -> str:
        """``NAME/VERSION``."""
        return f"{self.name}/{self.version}"


def parse_ref(ref: str) -> Ref:
    """Read a REF.

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"(?P<name>[^/:@]*[^/:@\s][^/:@]*)(?:@(?P<alias>[\w-]+)|/(?P<version>[1-9]\d{0,8}))?", ref)
    if match is None:
        raise UserError(f"'{ref}' names no model: write NAME, NAME@ALIAS or NAME/VERSION, the version a number from 1")
    version = match["version"]
    alias = match["alias"] or (None if version else CHAMPION)
    return Ref(match["name"], alias, int(version) if version else None)


def version_of(entry: "ModelVersion", aliases: Mapping[str, Any] | None = None) -> Version:
    """Our record of MLflow's; ``aliases`` (alias to version) where MLflow's own are not filled in."""
    number = int(entry.version)
    names = list(entry.aliases) if aliases is None else [a for a, v in aliases.items() if int(v) == number]
    facts = unpacked(entry.tags)
    return Version(
        name=entry.name,
        version=number,
        aliases=tuple(sorted(names)),
        created=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC).isoformat(timespec="milliseconds"),
        run_id=entry.run_id or None,
        tags={k: v for k, v in entry.tags.items() if not k.startswith(FACTS_TAG)},
        content_key=entry.tags.get(KEY_TAG),
        source=entry.source or "",
        facts=facts,
        **_known(facts),
    )


def packed(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as tags, in portions that every database takes."""
    text = json.dumps(facts, allow_nan=False)  # in their order: targets stay as the config has them
    return {f"{FACTS_TAG}.{i // PORTION:03d}": text[i : i + PORTION] for i in range(0, len(text), PORTION)}


def unpacked(tags: Mapping[str, str]) -> dict[str, Any]:
    """What ``packed`` was given; empty for a version that was registered by other means."""
    text = "".join(tags[k] for k in sorted(tags) if k.startswith(f"{FACTS_TAG}."))
    facts = json.loads(text) if text else {}
    assert isinstance(facts, dict), f"facts are {type(facts).__name__}"
    return facts


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    plain = {k: facts[k] for k in ("flow_run_id", "metrics", "data", "trainer", "split", "manifest") if facts.get(k)}
    return plain | {k: tuple(facts.get(k, ())) for k in ("features", "targets")}
