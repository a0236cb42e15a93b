"""Who was champion when, and why: moving the alias, on the record.

Moving an MLflow alias leaves no trace, so each move appends a record to the registered model's tags, in the store
itself. The alias is what users of the model load: it is the truth, and the record follows it. A move is written down as
pending, then made, then put on the record; a kill at any point leaves a state that reads the same as before or after,
and the next move tidies up. An alias that was moved by other means appears as ``moved``.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflow.entities.model_registry import RegisteredModel

from flows.tracking.names import cut
from flows.tracking.origin import user
from flows.tracking.stores.server import answering
from flows.tracking.stores.store import Store
from flows.tracking.version import CHAMPION, Ref, Version
from flows.tracking.versions import find, lookup, registered_model
from linreg.errors import UserError

CHALLENGER = "challenger"
PENDING = "promotion-pending"
PREFIX = "promotion."
MAX_WHY = 2000  # a tag of a registered model holds 5000 characters on PostgreSQL
Record = dict[str, Any]


def promote(
    store: Store,
    name: str,
    version: int,
    *,
    why: str,
    who: str | None = None,
    flow_run_id: str | None = None,
    action: str = "promote",
) -> Record:
    """Make a version the champion. Done again, it changes nothing and returns the record of the first time.

    Args:
        store: an open store.
        name: of the registered model.
        version: its number.
        why: in a sentence, for the record.
        who: for the record; none: the user.
        flow_run_id: the Prefect flow run that decided it.
        action: ``promote``, or what else the record shall call it.

    Returns:
        ``{"when", "who", "from", "to", "why", "flow_run_id", "run_id", "action"}``; ``from`` is null for the first.

    Raises:
        UserError: no such model or version.
    """
    with store.lock(name), answering(store.uri):
        state = _settle(store, name)
        target = lookup(store, f"{name}/{version}")
        if state.champion == version:
            return state.records[-1]
        return _move(store, state, target, why=why, who=who, flow_run_id=flow_run_id, action=action)


def rollback(store: Store, name: str, *, why: str = "rolled back", who: str | None = None) -> Record:
    """Go to the champion before the current one in the record; again, one further back.

    Raises:
        UserError: no such model, or no champion before.
    """
    with store.lock(name), answering(store.uri):
        state = _settle(store, name)
        for number in reversed(stack(state.records)):
            version = None if number == state.champion else find(store, Ref(name, version=number))
            if version is not None:  # one that was deleted since is passed over
                return _move(store, state, version, why=why, who=who, flow_run_id=None, action="rollback")
    raise UserError(f"model '{name}' has no champion before {_title(name, state.champion)}: nothing to roll back to")


def history(store: Store, name: str) -> list[Record]:
    """Every record of the model, oldest first.

    Raises:
        UserError: no such model.
    """
    with answering(store.uri):
        return _read(registered_model(store, name)).records


def stack(records: list[Record]) -> list[int]:
    """The champions that a rollback would go back through, the current one last.

    >>> stack([{"action": "promote", "to": 1}, {"action": "promote", "to": 2}, {"action": "rollback", "to": 1}])
    [1]
    """
    out: list[int] = []
    for record in records:
        to = record["to"]
        if record["action"] == "rollback":
            while out and out[-1] != to:
                out.pop()
        if to is not None and (not out or out[-1] != to):
            out.append(to)
    return out


@dataclass(frozen=True)
class _State:
    """What the registered model's tags and aliases say.

    ``missing``: records that belong on the record and are not there yet, by tag. ``pending``: whether a note of an
    unfinished move is left. ``stale``: whether the champion still has the alias challenger.
    """

    name: str
    champion: int | None
    records: list[Record]
    keys: list[str]
    missing: Mapping[str, Record]
    pending: bool
    stale: bool


def _read(model: RegisteredModel) -> _State:
    aliases = {alias: int(version) for alias, version in model.aliases.items()}
    current = aliases.get(CHAMPION)
    written = {k: json.loads(v) for k, v in sorted(model.tags.items()) if k.startswith(PREFIX)}
    missing = _unfinished(model, current, written)
    records = written | missing
    last = records[max(records)]["to"] if records else None
    if last != current:
        key, record = _entry(sorted(records), last, current, why="moved by other means than linreg", action="moved")
        missing[key] = records[key] = record
    return _State(
        name=model.name,
        champion=current,
        records=[records[k] for k in sorted(records)],
        keys=sorted(records),
        missing=missing,
        pending=PENDING in model.tags,
        stale=current is not None and aliases.get(CHALLENGER) == current,
    )


def _unfinished(model: RegisteredModel, current: int | None, written: Mapping[str, Record]) -> dict[str, Record]:
    """The pending move, if the alias got there before its process died."""
    if PENDING not in model.tags:
        return {}
    note = json.loads(model.tags[PENDING])
    return {note["key"]: note["record"]} if note["record"]["to"] == current and note["key"] not in written else {}


def _settle(store: Store, name: str) -> _State:
    """Write what is missing after a kill, or after a move by other means; under the lock."""
    state = _read(registered_model(store, name))
    for key, record in state.missing.items():
        store.client.set_registered_model_tag(name, key, json.dumps(record))
    if state.pending:
        store.client.delete_registered_model_tag(name, PENDING)
    if state.stale:
        store.client.delete_registered_model_alias(name, CHALLENGER)
    return state


def _move(store: Store, state: _State, target: Version, *, action: str, **facts: Any) -> Record:
    key, record = _entry(state.keys, state.champion, target.version, action=action, run_id=target.run_id, **facts)
    client, name = store.client, state.name
    client.set_registered_model_tag(name, PENDING, json.dumps({"key": key, "record": record}))
    client.set_registered_model_alias(name, CHAMPION, str(target.version))
    client.set_registered_model_tag(name, key, json.dumps(record))
    client.delete_registered_model_tag(name, PENDING)
    if CHALLENGER in target.aliases:
        client.delete_registered_model_alias(name, CHALLENGER)
    return record


def _entry(
    keys: list[str],
    before: int | None,
    after: int | None,
    *,
    why: str,
    action: str,
    who: str | None = None,
    flow_run_id: str | None = None,
    run_id: str | None = None,
) -> tuple[str, Record]:
    """A record with its tag; the tags sort in the order of the moves even where a clock was set back."""
    when = datetime.now(UTC)
    if keys:
        when = max(when, _when(keys[-1]) + timedelta(microseconds=1))
    record = {
        "when": when.isoformat(timespec="microseconds"),
        "who": who or user(),
        "from": before,
        "to": after,
        "why": cut(why, MAX_WHY),
        "flow_run_id": flow_run_id,
        "run_id": run_id,
        "action": action,
    }
    return f"{PREFIX}{when.strftime(_STAMP)}-{secrets.token_hex(4)}", record


_STAMP = "%Y%m%dT%H%M%S.%fZ"


def _when(key: str) -> datetime:
    return datetime.strptime(key.removeprefix(PREFIX).rpartition("-")[0], _STAMP).replace(tzinfo=UTC)


def _title(name: str, version: int | None) -> str:
    return f"{name}/{version}" if version else "the one that it has not got"
