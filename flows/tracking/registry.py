"""The registry: registering by content key, look-ups, aliases, the record of promotions, and the list of runs.

The one door for those who use it; reading versions is in ``version``, ``versions``, ``run_config`` and ``sweeps``, the
record in ``promotions``.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from flows.tracking.names import PARENT_TAG, cut, restored
from flows.tracking.promotions import history, promote, rollback
from flows.tracking.run_config import settings
from flows.tracking.stores.server import answering, redacted
from flows.tracking.stores.store import Store
from flows.tracking.sweeps import by_sweep_key, mark
from flows.tracking.unchanged_runs import SeenAgain, see_again, seen_again
from flows.tracking.version import KEY_TAG, Ref, Version, packed, parse_ref
from flows.tracking.versions import by_content_key, champion, contents, load, lookup, pages, versions
from linreg.config import check_model_name
from linreg.errors import UserError, nearest

if TYPE_CHECKING:
    from flows.tracking.model_writer import LoggedModel

__all__ = [
    "Ref",
    "SeenAgain",
    "Version",
    "by_content_key",
    "by_sweep_key",
    "champion",
    "contents",
    "deleted_experiments",
    "history",
    "load",
    "lookup",
    "mark",
    "parse_ref",
    "promote",
    "register",
    "rollback",
    "runs",
    "see_again",
    "seen_again",
    "set_alias",
    "settings",
    "versions",
]

RUNS_A_PAGE = 1000


def register(
    store: Store,
    name: str,
    *,
    logged_model: "LoggedModel",
    run_id: str,
    content_key: str,
    facts: Mapping[str, Any],
) -> Version:
    """Register a logged model, once for each content key: again, it returns the version that is there.

    The version and all its tags are one transaction: a kill leaves a whole version or none (at most a model name
    without versions).

    Args:
        store: an open store.
        name: of the registered model; made if there is none.
        logged_model: what ``TrackedRun.log_model`` returned.
        run_id: the run that trained it.
        content_key: what it was made from.
        facts: ``metrics``, ``data``, ``trainer``, ``split``, ``features``, ``targets``, ``flow_run_id`` and what else
            shall be known without opening the run; as JSON.

    Raises:
        UserError: the name cannot be told apart in a REF, or MLflow refuses it.
    """
    check_model_name(name)
    with store.lock(name), answering(store.uri):
        known = by_content_key(store, name, content_key)
        if known is not None:
            return known
        _ensure_model(store, name)
        entry = store.client.create_model_version(
            name,
            logged_model.uri,
            run_id,
            tags=_tags(content_key, {**facts, "manifest": logged_model.manifest}),
            model_id=logged_model.model_id,
            description=cut(str(facts.get("reason") or "")),
        )
        return _first(store, name, content_key, int(entry.version))


def set_alias(store: Store, name: str, version: int, alias: str) -> None:
    """Point an alias at a version (not for ``champion``: ``promote`` keeps the record).

    Raises:
        UserError: no such model or version.
    """
    assert alias != "champion", "the champion is moved by promote, on the record"
    lookup(store, f"{name}/{version}")
    with store.lock(name), answering(store.uri):
        store.client.set_registered_model_alias(name, alias, str(version))


def runs(store: Store, experiment: str | None = None) -> list[dict[str, Any]]:
    """Runs with their final metrics, newest first; of one experiment, or of all.

    Returns:
        ``[{"run_id", "name", "started", "status", "decision", "metrics", ...}]``; a killed run stays RUNNING, as MLflow
        has it. Beside these, for people, each empty where there is none: ``judged_on``, which rows the test metrics are
        of; ``reason``, why it was so decided, or what it failed of; ``drift`` and ``drift_why``, as
        ``flows.steps.drift`` has them; ``nested``, whether it is a model of a sweep.

    Raises:
        UserError: no such experiment, with the nearest; or it was deleted.
    """
    with answering(store.uri):
        client = store.client
        listed = pages(lambda token: client.search_experiments(max_results=RUNS_A_PAGE, page_token=token))
        experiments = {e.name: e.experiment_id for e in listed}
        if experiment is not None and experiment not in experiments:
            if experiment in (deleted := deleted_experiments(store)):
                raise UserError(store.deletion_note(experiment, deleted[experiment]))
            raise UserError(f"no experiment '{experiment}' in {store.title}{nearest(experiment, experiments)}")
        ids = list(experiments.values()) if experiment is None else [experiments[experiment]]
        newest = ["attributes.start_time DESC"]
        matching = pages(lambda token: client.search_runs(ids, "", ViewType.ACTIVE_ONLY, RUNS_A_PAGE, newest, token))
    return [_row(run) for run in matching]


def deleted_experiments(store: Store) -> dict[str, str]:
    """The ids, by name, of the experiments that were deleted and not yet removed for good."""
    with answering(store.uri):
        search, gone = store.client.search_experiments, ViewType.DELETED_ONLY
        listed = pages(lambda token: search(view_type=gone, max_results=RUNS_A_PAGE, page_token=token))
    return {e.name: e.experiment_id for e in listed}


def _ensure_model(store: Store, name: str) -> None:
    try:
        store.client.create_registered_model(name)
    except MlflowException as e:
        if e.error_code == "INVALID_PARAMETER_VALUE":
            raise UserError(f"model '{name}' cannot be registered: {redacted(str(e), store.uri)}") from e
        if e.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _tags(content_key: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """The searchable few in plain words, for MLflow's UI; and everything, for look-ups."""
    data = facts.get("data") or {}
    plain = {
        KEY_TAG: content_key,
        "trainer": facts.get("trainer"),
        "data.digest": data.get("digest"),
        "data.rows": data.get("rows"),
        "flow_run_id": facts.get("flow_run_id"),
        **(facts.get("tags") or {}),
    }
    return {k: cut(str(v)) for k, v in plain.items() if v is not None} | packed(facts)


def _first(store: Store, name: str, content_key: str, number: int) -> Version:
    """The version just registered, unless another machine, out of reach of our lock, was quicker with its content."""
    first = by_content_key(store, name, content_key) or lookup(store, f"{name}/{number}")
    if first.version != number:
        store.client.delete_model_version(name, str(number))
    return first


def _row(run: Run) -> dict[str, Any]:
    tags = run.data.tags
    started = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "started": started.isoformat(timespec="milliseconds"),
        "status": run.info.status,
        "decision": tags.get("decision"),
        "metrics": restored(run.data.metrics, tags),
        "judged_on": tags.get("judged_on") or "",
        "reason": tags.get("reason") or tags.get("error") or "",
        "drift": tags.get("drift") or "",
        "drift_why": tags.get("drift.why") or "",
        "nested": PARENT_TAG in tags,
    }
