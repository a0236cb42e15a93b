"""``linreg runs``, ``models`` and ``show``: what was done, what is registered, what a version says."""

import argparse
from collections.abc import Sequence
from typing import Any

from flows.tracking import registry
from flows.tracking.registry import Version
from flows.tracking.store import open_store

_NO_INFERENCE = "not computed: this release gives estimates only"


def runs(args: argparse.Namespace) -> tuple[object, str]:
    """Runs side by side, newest first."""
    found = registry.runs(open_store(create=False), args.experiment)
    cells = [
        [r["run_id"][:8], r["name"], r["status"].lower(), r["decision"] or "", *_measures(r["metrics"])] for r in found
    ]
    head = ["run", "name", "status", "decision", "train loss", "above optimum", "test rmse", "R2"]
    return found, _grid(head, cells) if found else "no runs yet: linreg run CONFIG makes one"


def models(args: argparse.Namespace) -> tuple[object, str]:
    """Versions, newest first; for people, the record of promotions too."""
    store = open_store(create=False)
    found = registry.versions(store, args.name)
    document = [_entry(v) for v in found]
    cells = [
        [v.ref, _at(v), v.created[:19], v.trainer or "", f"{v.data.get('rows', 0):,}", *_measures(v.metrics)]
        for v in found
    ]
    head = ["version", "aliases", "created", "trainer", "rows", "train loss", "above optimum", "test rmse", "R2"]
    page = [_grid(head, cells) if found else "nothing is registered yet: linreg run CONFIG does it"]
    for name in dict.fromkeys(v.name for v in found):
        page += ["", f"Champions of {name}", *_record(registry.history(store, name))]
    return document, "\n".join(page)


def show(args: argparse.Namespace) -> tuple[object, str]:
    """Coefficients in the data's own units, and where they come from."""
    store = open_store(create=False)
    version = registry.lookup(store, args.ref)
    model = registry.load(store, version)
    targets = {
        name: {
            "r2": version.metrics.get(f"test_r2.{name}"),
            "residual_standard_error": None,
            "intercept": _estimate(model.intercept_O[o]),
            "coefficients": {f: _estimate(model.weight_OF[o, i]) for i, f in enumerate(model.features)},
        }
        for o, name in enumerate(model.targets)
    }
    document = {**_entry(version), "targets": targets, "inference": _NO_INFERENCE}
    del document["created"]
    return document, _portrait(version, targets)


def _entry(version: Version) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "created": version.created,
        "run_id": version.run_id,
        "metrics": dict(version.metrics),
        "data": dict(version.data),
        "trainer": version.trainer,
    }


def _estimate(value: float) -> dict[str, float | None]:
    return {"estimate": float(value), **dict.fromkeys(("standard_error", "t", "p", "low", "high"))}


def _portrait(version: Version, targets: dict[str, Any]) -> str:
    data, m = version.data, version.metrics
    features = ["intercept", *next(iter(targets.values()))["coefficients"]]
    cells = [
        [
            f,
            *(
                f"{(t['intercept'] if f == 'intercept' else t['coefficients'][f])['estimate']:.6g}"
                for t in targets.values()
            ),
        ]
        for f in features
    ]
    lines = [
        f"{version.ref} {_at(version)}".rstrip(),
        f"  trained by {version.trainer} on {data.get('train_rows', 0):,} rows, digest {data.get('digest', '')[:12]}",
        f"  run {version.run_id}, registered {version.created[:19]}",
        f"  test rmse {m.get('test_rmse', 0):.6g}, R2 {m.get('test_r2', 0):.4f}; "
        f"loss {m.get('excess_loss', 0):.4g} above the best possible",
        "",
        _grid(["", *targets], cells),
        "",
        f"Standard errors and intervals: {_NO_INFERENCE}.",
    ]
    return "\n".join(lines)


def _record(history: Sequence[dict[str, Any]]) -> list[str]:
    if not history:
        return ["  none yet"]
    return [
        f"  {r['when'][:19]}  {r['action']}: {_number(r['from'])} -> {_number(r['to'])}, by {r['who']}: {r['why']}"
        for r in reversed(history)
    ]


def _number(version: int | None) -> str:
    return f"version {version}" if version else "none"


def _at(version: Version) -> str:
    return " ".join(f"@{a}" for a in version.aliases)


def _measures(metrics: Any) -> list[str]:
    names = ("train_loss", "excess_loss", "test_rmse", "test_r2")
    return [f"{metrics[n]:.5g}" if n in metrics else "" for n in names]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what they hold; texts to the left, numbers to the right."""
    table = [list(head), *[list(r) for r in rows]]
    widths = [max(len(r[i]) for r in table) for i in range(len(head))]
    right = [all(_is_number(r[i]) for r in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in table
    )


def _is_number(text: str) -> bool:
    return not text or (text.lstrip("-")[:1].isdigit() and not set(text) - set("0123456789.,e+-"))
