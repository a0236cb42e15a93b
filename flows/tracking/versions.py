"""Registered versions: what a REF means, what is known of a version, and its model.

A look-up is one or two calls of the store. Nothing here changes the registry.
"""

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from flows.tracking.stores.mlflow_internals import reach_hdfs
from flows.tracking.stores.server import answering, is_outage, redacted
from flows.tracking.stores.store import Store
from flows.tracking.version import CHAMPION, KEY_TAG, Ref, Version, parse_ref, version_of
from linreg.errors import UserError, nearest

if TYPE_CHECKING:  # torch takes a second to import; look-ups do without
    from flows.tracking.model_reader import Contents
    from linreg.model import LinearModel

T = TypeVar("T")

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def lookup(store: Store, ref: str) -> Version:
    """The version that a REF names.

    Raises:
        UserError: unknown name, version or alias, with the nearest that is known.
        ServerAway: the tracking server does not answer.
    """
    parsed = parse_ref(ref)
    with answering(store.uri):
        version = find(store, parsed)
        if version is None:
            raise _unknown(store, parsed)
    return version


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
        matching = search(store, name_query(name))
    aliases = {m.name: m.aliases for m in models}
    out = [version_of(v, aliases.get(v.name, {})) for v in matching if name in (None, v.name)]
    return sorted(out, key=lambda v: (v.name, -v.version))


def by_content_key(store: Store, name: str, key: str) -> Version | None:
    """The version of that model made from the same content (the first, should there be two); none if there is none."""
    with answering(store.uri):
        matching = tagged(store, name, KEY_TAG, f"= '{key}'")
        return find(store, Ref(name, version=int(matching[0].version))) if matching else None


def load(store: Store, version: Version) -> "LinearModel":
    """The parameters of a version, every file checked against its manifest first.

    Raises:
        UserError: the files are gone, are not those that were logged, or are not of this pipeline.
    """
    from flows.tracking.model_reader import read

    return _fetched(store, version, read)


def contents(store: Store, version: Version, *, inference: bool = True) -> "Contents":
    """The parameters of a version and what is kept beside them: records of its rows, its files, and the inference.

    Args:
        inference: whether that is wanted too.

    Raises:
        UserError: as ``load``.
    """
    from flows.tracking.model_reader import read_contents

    return _fetched(store, version, partial(read_contents, inference=inference))


def _fetched(store: Store, version: Version, read: Callable[..., T]) -> T:
    """What a reader finds in the directory of a version, fetched into a folder that is gone afterwards."""
    from mlflow.artifacts import download_artifacts

    with answering(store.uri), tempfile.TemporaryDirectory(prefix="linreg-load-") as scratch:
        try:
            location = _location(store, version)
            reach_hdfs(location)
            folder = download_artifacts(artifact_uri=location, dst_path=scratch, tracking_uri=store.uri)
        except (OSError, MlflowException) as e:
            if is_outage(e):
                raise
            why = redacted(str(e), store.uri)
            raise UserError(
                f"the files of {version.ref} cannot be fetched ({why}): restore them, or train again"
            ) from e
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


def tagged(store: Store, name: str, tag: str, comparison: str) -> list[ModelVersion]:
    """The versions of a model whose tag is as MLflow's ``comparison`` says, oldest first; without aliases."""
    matching = search(store, " AND ".join(filter(None, [name_query(name), f"tags.{tag} {comparison}"])))
    return sorted((v for v in matching if v.name == name), key=lambda v: int(v.version))


def name_query(name: str | None) -> str:
    """MLflow's query for the versions of a model; of all models where its language cannot quote the name."""
    if name is None or ("'" in name and '"' in name):
        return ""
    mark = '"' if "'" in name else "'"
    return f"name = {mark}{name}{mark}"


def _unknown(store: Store, ref: Ref) -> UserError:
    model = registered_model(store, ref.name)
    if ref.version is not None:
        numbers = sorted(int(v.version) for v in search(store, name_query(ref.name)) if v.name == ref.name)
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
