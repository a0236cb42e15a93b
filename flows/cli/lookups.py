"""``linreg runs``, ``models`` and ``show``: what was done, what is registered, what a version says."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flows.cli.pages import models as models_page
from flows.cli.pages import runs as runs_page
from flows.cli.pages import show as show_page
from flows.cli.pages.show import NOT_KEPT
from flows.tracking import registry
from flows.tracking.registry import Version
from flows.tracking.stores.store import Store, open_store

if TYPE_CHECKING:  # a list of runs or versions needs no arrays
    from linreg.least_squares.results import Inference
    from linreg.model import LinearModel

_RUN = ("run_id", "name", "started", "status", "decision", "metrics")  # of the document, which is a contract


def runs(args: argparse.Namespace) -> tuple[object, str]:
    """Runs side by side, newest first; for people, what came of the last one too."""
    store = open_store(create=False)
    rows = registry.runs(store, args.experiment)
    document = [{name: value for name, value in row.items() if name in _RUN} for row in rows]
    listed = {row["run_id"] for row in rows}
    versions = [version for version in registry.versions(store) if version.run_id in listed] if rows else []
    deleted = registry.deleted_experiments(store) if args.experiment is None else {}
    notes = [store.deletion_note(name, number) for name, number in deleted.items()]
    unchanged = {version.ref: registry.seen_again(version) for version in versions}
    return document, runs_page.page(rows, unchanged, notes)


def models(args: argparse.Namespace) -> tuple[object, str]:
    """Versions, newest first; for people, the record of promotions too."""
    store = open_store(create=False)
    versions = registry.versions(store, args.name)
    document = [entry(v) for v in versions]
    if args.rescore and versions:
        return _rescored(store, versions, document)
    histories = {name: registry.history(store, name) for name in dict.fromkeys(v.name for v in versions)}
    return document, models_page.page(versions, histories)


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
    levels = contents.model.design.levels if contents.model.design else {}
    return document, show_page.page(version, inference, lineage=contents.lineage, spreads=spreads, levels=levels)


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
