"""Runs that found nothing new: they make no MLflow run, so the version that they found again remembers them.

A version carries one tag, ``unchanged``, with how many there were and when the last one was.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from flows.tracking.stores.server import answering
from flows.tracking.stores.store import Store
from flows.tracking.version import Version

TAG = "unchanged"


@dataclass(frozen=True)
class SeenAgain:
    """The runs that found a version's data and config unchanged.

    Args:
        times: how many there were.
        last: when the last one was; ISO 8601, UTC.
        flow_run_id: Prefect's id of that one.
    """

    times: int
    last: str
    flow_run_id: str | None


def seen_again(version: Version) -> SeenAgain | None:
    """Those of a version; None where there were none."""
    return _read(version.tags.get(TAG))


def _read(tag: str | None) -> SeenAgain | None:
    """What a tag says; nothing where it was changed by other hands."""
    try:
        fields = json.loads(tag or "")
        return SeenAgain(int(fields["times"]), str(fields["last"]), fields["flow_run_id"])
    except (KeyError, TypeError, ValueError):
        return None


def see_again(store: Store, version: Version, *, flow_run_id: str | None) -> SeenAgain:
    """Count one more, now.

    Raises:
        ServerAway: the tracking server does not answer.
    """
    with store.lock(version.name), answering(store.uri):
        now = store.client.get_model_version(version.name, str(version.version)).tags.get(TAG)
        before = _read(now)
        times = 1 + (before.times if before else 0)
        again = SeenAgain(times, datetime.now(UTC).isoformat(timespec="seconds"), flow_run_id)
        store.client.set_model_version_tag(version.name, str(version.version), TAG, json.dumps(asdict(again)))
    return again
