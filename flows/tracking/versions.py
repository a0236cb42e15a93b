"""Registered versions: what a REF means, what is known of a version, and its model.

MLflow's search returns neither aliases nor metrics, so everything that a look-up tells was put into the version's tags
when it was registered, and a look-up is one or two calls. Nothing here changes the registry.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from flows.tracking.reach import answering
from flows.tracking.store import Store, open_store
from linreg.errors import UserError, nearest

if TYPE_CHECKING:  # torch takes a second to import; look-ups do without
    from linreg.model import LinearModel

CHAMPION = "champion"
CHALLENGER = "challenger"
KEY_TAG = "content_key"
FACTS_TAG = "linreg.facts"
PORTION = 4000  # of the facts in one tag
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


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
        aliases: that point at it; empty in a result of ``by_content_key``.
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


@overload
def lookup(store: Store, ref: str, /) -> Version: ...
@overload
def lookup(ref: str, /, *, store: Store | None = None) -> Version: ...
def lookup(first: Store | str, second: str | None = None, /, *, store: Store | None = None) -> Version:
    """The version that a REF names: ``lookup(store, REF)``; or ``lookup(REF)``, which opens this folder's own store.

    Raises:
        UserError: unknown name, version or alias, with the nearest that is known; no store.
        ServerAway: the tracking server does not answer.
    """
    ref = first if isinstance(first, str) else second or ""
    wanted = parse_ref(ref)
    opened = store or (open_store(create=False) if isinstance(first, str) else first)
    with answering(opened.uri):
        found = find(opened, wanted)
        if found is None:
            raise _unknown(opened, wanted)
    return found


def find(store: Store, ref: Ref) -> Version | None:
    """The version that a read REF names; none where there is none."""
    client = store.client
    try:
        if ref.version is not None:
            return version_of(client.get_model_version(ref.name, str(ref.version)))
        return version_of(client.get_model_version_by_alias(ref.name, ref.alias or CHAMPION))
    except MlflowException as e:
        if e.error_code not in _ABSENT:
            raise
        return None


def champion(store: Store, name: str) -> Version | None:
    """The version that has the alias ``champion``; none where there is no such model, or no champion yet."""
    with answering(store.uri):
        return find(store, Ref(name, alias=CHAMPION))


def versions(store: Store, name: str | None = None) -> list[Version]:
    """All versions of a model, newest first; without a name, of all models, by name.

    Raises:
        UserError: no model has that name.
    """
    with answering(store.uri):
        models = registered(store) if name is None else [registered_model(store, name)]
        found = search(store, of(name))
    aliases = {m.name: m.aliases for m in models}
    out = [version_of(v, aliases.get(v.name, {})) for v in found if name in (None, v.name)]
    return sorted(out, key=lambda v: (v.name, -v.version))


def by_content_key(store: Store, name: str, key: str) -> Version | None:
    """The version of that model made from the same content (the first, should there be two); none if there is none."""
    with answering(store.uri):
        found = search(store, " AND ".join(filter(None, [of(name), f"tags.{KEY_TAG} = '{key}'"])))
        same = [v for v in found if v.name == name and v.tags.get(KEY_TAG) == key]
        if not same:
            return None
        first = min(int(v.version) for v in same)
        return version_of(store.client.get_model_version(name, str(first)))


def load(store: Store, version: Version) -> "LinearModel":
    """The parameters of a version, every file checked against its manifest first.

    Raises:
        UserError: the files are gone, are not those that were logged, or are not of this pipeline.
    """
    from mlflow.artifacts import download_artifacts

    from flows.tracking.served import read

    with answering(store.uri), tempfile.TemporaryDirectory(prefix="linreg-load-") as scratch:
        try:
            location = _location(store, version)
            folder = download_artifacts(artifact_uri=location, dst_path=scratch, tracking_uri=store.uri)
        except (OSError, MlflowException) as e:
            raise UserError(f"the files of {version.ref} cannot be fetched ({e}): restore them, or train again") from e
        try:
            return read(Path(folder), manifest=version.manifest)
        except UserError as e:
            raise UserError(f"{version.ref}: {str(e).replace(str(folder), location)}") from e


def registered(store: Store) -> list[RegisteredModel]:
    """All registered models, with their aliases and tags."""
    return pages(lambda token: store.client.search_registered_models(max_results=1000, page_token=token))


def registered_model(store: Store, name: str) -> RegisteredModel:
    """The registered model of that name.

    Raises:
        UserError: there is none, with the nearest.
    """
    try:
        return store.client.get_registered_model(name)
    except MlflowException as e:
        if e.error_code not in _ABSENT:
            raise
        known = nearest(name, [m.name for m in registered(store)])
        raise UserError(f"no model '{name}' in {store.title}{known}: `linreg models` lists them") from e


def search(store: Store, query: str) -> list[ModelVersion]:
    """Every version that matches; without aliases."""
    return pages(lambda token: store.client.search_model_versions(query, max_results=10_000, page_token=token))


def of(name: str | None) -> str:
    """MLflow's query for the versions of a model; of all models where its language cannot quote the name."""
    if name is None or ("'" in name and '"' in name):
        return ""
    mark = '"' if "'" in name else "'"
    return f"name = {mark}{name}{mark}"


def version_of(found: ModelVersion, aliases: Mapping[str, Any] | None = None) -> Version:
    """Our record of MLflow's; ``aliases`` (alias to version) where MLflow's own are not filled in."""
    number = int(found.version)
    names = list(found.aliases) if aliases is None else [a for a, v in aliases.items() if int(v) == number]
    facts = unpacked(found.tags)
    return Version(
        name=found.name,
        version=number,
        aliases=tuple(sorted(names)),
        created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC).isoformat(timespec="milliseconds"),
        run_id=found.run_id or None,
        tags={k: v for k, v in found.tags.items() if not k.startswith(FACTS_TAG)},
        content_key=found.tags.get(KEY_TAG),
        source=found.source or "",
        facts=facts,
        **_known(facts),
    )


def packed(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as tags, in portions that every database takes."""
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
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


def _unknown(store: Store, ref: Ref) -> UserError:
    model = registered_model(store, ref.name)
    if ref.version is not None:
        numbers = sorted(int(v.version) for v in search(store, of(ref.name)) if v.name == ref.name)
        return UserError(f"model '{ref.name}' has no version {ref.version}{_numbers(numbers)}")
    if ref.alias == CHAMPION:
        return UserError(f"model '{ref.name}' has no champion: `linreg promote {ref.name}/VERSION` makes one")
    return UserError(f"model '{ref.name}' has no alias '{ref.alias}'{nearest(str(ref.alias), model.aliases)}")


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[-20:]))
    return f" (known: {'..., ' if len(numbers) > 20 else ''}{shown})" if numbers else " (it has none yet)"


def _location(store: Store, version: Version) -> str:
    """Where the files are: of the logged model itself, as MLflow writes a note into those of ``models:/NAME/N``."""
    model_id = version.source.removeprefix("models:/")
    if model_id.startswith("m-") and model_id != version.source:
        return str(store.client.get_logged_model(model_id).artifact_location)
    return str(store.client.get_model_version_download_uri(version.name, str(version.version)))


def pages(fetch: Callable[[str | None], Any]) -> list[Any]:
    """All that a paged call of MLflow gives; ``fetch`` takes the token of the page."""
    out: list[Any] = []
    token: str | None = None
    while True:
        page: Iterable[Any] = fetch(token)
        out.extend(page)
        token = getattr(page, "token", None)
        if not token:
            return out
