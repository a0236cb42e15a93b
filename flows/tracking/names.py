"""Names and values in the form that MLflow takes.

MLflow refuses most punctuation in metric and param names, and cuts long values in silence. ``escaped`` makes a name
that it takes; the original is kept in a tag ``name.<escaped>``. Nothing here talks to a store.
"""

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

NAME_TAG = "name."
PARENT_TAG = "mlflow.parentRunId"  # MLflow's own: the run that this one is nested in
NOTE_TAG = "mlflow.note.content"  # MLflow's own: the description that its UI shows first
MAX_NAME = 200  # MLflow's limit is 250; the tag that keeps the original is a little longer than the name
MAX_PARAM = 6000
MAX_TAG = 5000
_REFUSED = re.compile(r"[^\w.\- :/]")


def escaped(name: str) -> str:
    """The name itself where MLflow takes it, else a readable one that no other name becomes.

    >>> escaped("test_rmse.yield (t)")
    'test_rmse.yield _t_-7a566d'
    """
    if name and len(name) <= MAX_NAME and not _REFUSED.search(name) and _is_plain_path(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{_REFUSED.sub('_', name).replace('/', '_')[:MAX_NAME].strip(' .')}-{digest}"


def originals(names: Mapping[str, Any]) -> dict[str, str]:
    """The tags that keep the names which ``escaped`` changes."""
    return {f"{NAME_TAG}{escaped(n)}": n[:MAX_TAG] for n in names if escaped(n) != n}


def restored(named: Mapping[str, T], tags: Mapping[str, str]) -> dict[str, T]:
    """Metrics or params under the names that they had before ``escaped``."""
    return {tags.get(f"{NAME_TAG}{name}", name): value for name, value in named.items()}


def plain(value: object) -> str:
    """A param's value as a person would write it: ``none``, ``true``, ``temp, rainfall``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(plain(v) for v in value) or "none"
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value)


def cut(text: str, limit: int = MAX_TAG) -> str:
    """The text, shortened to the limit, and then saying so."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def shortened(text: str) -> str:
    """The head of a value that is too long for a param, with the digest of all of it."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:500]}… ({len(text)} characters, sha256 {digest}; whole in the artifacts, under params/)"


def _is_plain_path(name: str) -> bool:
    norm = posixpath.normpath(name)
    return norm == name and norm != "." and not norm.startswith(("..", "/"))
