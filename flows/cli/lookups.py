"""``linreg runs``, ``models`` and ``show``: what was done, what is registered, what a version says."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flows.cli.pages.columns import grid, plain
from flows.cli.pages.heading import at, judged_on, trained_on
from flows.cli.pages.version import NOT_KEPT, page
from flows.tracking import registry
from flows.tracking.registry import Version
from flows.tracking.stores.store import Store, open_store

if TYPE_CHECKING:  # a list of runs or versions needs no arrays
    from linreg.least_squares.results import Inference
    from linreg.model import LinearModel

_RUN = ("run_id", "name", "started", "status", "decision", "metrics")  # of the document, which is a contract
_DRIFT = {"none": "quiet", "warn": "warn", "stop": "stop"}
_MEASURES = ("train loss", "above optimum", "rmse", "R2", "judged on")


def runs(args: argparse.Namespace) -> tuple[object, str]:
    """Runs side by side, newest first; for people, what came of the last one too."""
    store = open_store(create=False)
    rows = registry.runs(store, args.experiment)
    document = [{name: value for name, value in row.items() if name in _RUN} for row in rows]
    if not rows:
        return document, "no runs yet: linreg run CONFIG makes one"
    head = ["run", "name", "status", "decision", "drift", *_MEASURES]
    last = next((row for row in rows if not row["nested"]), rows[0])  # a sweep's own run may have been deleted
    return document, "\n".join([grid(head, [_cells(r) for r in rows]), "", *_last(last), *_nothing_new(store, rows)])


def _cells(run: dict[str, Any]) -> list[str]:
    outcome = [run["status"].lower(), run["decision"] or "", _DRIFT.get(run["drift"], "")]
    return [run["run_id"][:8], run["name"], *outcome, *_measures(run["metrics"]), run["judged_on"]]


def _last(run: dict[str, Any]) -> Iterator[str]:
    """What came of the newest run, and what of its data."""
    decision, reason = run["decision"] or run["status"].lower(), run["reason"]
    text = reason if reason.startswith(decision) else ": ".join(filter(None, [decision, reason]))
    yield plain(f"The last one, {run['name']}: {text}")
    if run["drift"] in ("none", "warn"):  # a stop is the reason itself
        yield from (f"  drift: {plain(line)}" for line in run["drift_why"].splitlines())


def _nothing_new(store: Store, runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The runs that found nothing new, which are in no list: of the versions that came of these runs."""
    listed = {r["run_id"] for r in runs}
    for version in registry.versions(store):
        unchanged = registry.seen_again(version)
        if unchanged and version.run_id in listed:
            count = "1 run" if unchanged.times == 1 else f"{unchanged.times:,} runs"
            yield f"{count} found the data and the config of {version.ref} unchanged, the last at {unchanged.last[:19]}"


def models(args: argparse.Namespace) -> tuple[object, str]:
    """Versions, newest first; for people, the record of promotions too."""
    store = open_store(create=False)
    versions = registry.versions(store, args.name)
    document = [entry(v) for v in versions]
    if not versions:
        return document, "nothing is registered yet: linreg run CONFIG does it"
    if args.rescore:
        return _rescored(store, versions, document)
    cells = [
        [v.ref, at(v), v.created[:19], v.trainer or "", trained_on(v), *_measures(v.metrics), judged_on(v)]
        for v in versions
    ]
    head = ["version", "aliases", "created", "trainer", "trained on", *_MEASURES]
    histories = {name: registry.history(store, name) for name in dict.fromkeys(v.name for v in versions)}
    lines = [*(_in_use(name, history) for name, history in histories.items()), "", grid(head, cells)]
    for name, history in histories.items():
        lines += ["", f"Champions of {name}", *_record(history)]
    return document, "\n".join(lines)


def _rescored(store: Store, versions: Sequence[Version], document: list[dict[str, Any]]) -> tuple[object, str]:
    """The same entries, with what each version comes to on today's test rows."""
    from flows.cli.pages.rescoring import table
    from flows.tracking.rescore import rescored

    scored = rescored(store, versions)
    names = dict.fromkeys(v.name for v in versions)
    tables = ["\n".join(table([s for s in scored if s.version.name == name])) for name in names]
    return [d | s.to_json() for d, s in zip(document, scored, strict=True)], "\n\n".join(tables)


def show(args: argparse.Namespace) -> tuple[object, str]:
    """Coefficients in the data's own units with their errors and intervals, and where they come from."""
    store = open_store(create=False)
    version = registry.lookup(store, args.ref)
    contents = registry.contents(store, version)
    inference = contents.inference or _estimates_only(contents.model, version)
    targets = {
        name: {
            "r2": target.quality.r2,
            "residual_standard_error": target.quality.residual_standard_error,
            "intercept": target.intercept.to_json(),
            "coefficients": {feature: c.to_json() for feature, c in target.coefficients.items()},
        }
        for name, target in inference.targets.items()
    }
    document = {**entry(version), "targets": targets, "inference": inference.inference}
    del document["created"]
    moments = contents.moments
    spreads = dict(zip(moments.features, moments.spread_P.tolist(), strict=False)) if moments else {}
    return document, page(version, inference, lineage=contents.lineage, spreads=spreads)


def _estimates_only(model: "LinearModel", version: Version) -> "Inference":
    """What can be said of a version that nothing but the model was kept of."""
    from linreg.least_squares.results import Coefficient, Inference, Quality, TargetInference

    on_training_rows = version.split.get("fraction") == 0  # the test rows are the training rows then
    targets = {}
    for o, name in enumerate(model.targets):
        r2 = version.metrics.get(f"test_r2.{name}") if on_training_rows else None
        slopes = {f: Coefficient(float(w)) for f, w in zip(model.features, model.weight_OF[o], strict=True)}
        targets[name] = TargetInference(Quality(r2), Coefficient(float(model.intercept_O[o])), slopes)
    rows = int(version.data.get("train_rows", 0))
    return Inference(NOT_KEPT, 0.95, rows, None, 0, None, dict.fromkeys(model.features), (), (), targets)


def entry(version: Version) -> dict[str, Any]:
    """A version, as documents have it."""
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


def _in_use(name: str, history: Sequence[dict[str, Any]]) -> str:
    """Which version ``NAME`` alone means, since when and why."""
    if not history or history[-1]["to"] is None:
        return f"No version of {name} is in use: linreg promote {name}/VERSION chooses one"
    last = history[-1]
    return plain(f"In use: {name}/{last['to']}, since {last['when'][:19]}: {last['why']}")


def _record(history: Sequence[dict[str, Any]]) -> list[str]:
    if not history:
        return ["  none yet"]
    return [
        f"  {r['when'][:19]}  {r['action']}: {_number(r['from'])} -> {_number(r['to'])}, by {r['who']}: {r['why']}"
        for r in reversed(history)
    ]


def _number(version: int | None) -> str:
    return f"version {version}" if version else "none"


def _measures(metrics: Any) -> list[str]:
    names = ("train_loss", "excess_loss", "test_rmse", "test_r2")
    return [f"{metrics[n]:.5g}" if n in metrics else "" for n in names]
