"""The fourth step: the gate, and what follows from it in the registry.

Decision and moves happen under the model's lock, against the champion as it is at that moment: of two runs that end
together, the second is compared with the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flows.steps.evaluate import Evaluation, champion_losses, saw_test_rows, split_of
from flows.steps.ingest import current_champion
from flows.steps.run_input import Champion, RunInput
from flows.tracking import registry
from flows.tracking.model_writer import LoggedModel
from flows.tracking.registry import Version
from flows.tracking.run import TrackedRun
from flows.tracking.stores.store import Store
from linreg.config import Config
from linreg.evaluation.gate import Verdict, against_champion, failed_limits, unconverged
from linreg.least_squares.validity import errors_from_optimum
from linreg.training.fit import Fit


@dataclass(frozen=True)
class Registered:
    """The verdict and the version that came of it; None where the gate refused."""

    verdict: Verdict
    version: Version | None


def register(
    config: Config,
    run_input: RunInput,
    fitted: Fit,
    evaluation: Evaluation,
    *,
    run: TrackedRun,
    logged: LoggedModel,
    flow_run_id: str | None,
    tags: Mapping[str, str] | None = None,
) -> Registered:
    """Ask the gate, then register, and promote or keep as a challenger.

    Args:
        tags: further ones for the version; one that is registered already gets them too.
    """
    store = run.store
    missed = failed_limits(evaluation.metrics, config.gate)
    if missed:
        return Registered(Verdict("refused", "; ".join(missed)), None)
    with store.lock(config.model):
        twin = registry.by_content_key(store, config.model, run_input.content_key)
        if twin is not None:
            registry.mark(store, twin, tags or {})
            return _registered_before(twin, run)
        champion = _champion_now(config.model, run_input, store)
        verdict = _beside_the_mean(_verdict(config, run_input, evaluation, champion), evaluation.metrics)
        verdict = _beside_the_optimum(verdict, config, run_input, fitted, champion)
        facts = _facts(config, run_input, fitted, evaluation) | {
            "flow_run_id": flow_run_id,
            "decision": verdict.decision,
            "reason": verdict.reason,
            "over": champion.version.version if champion else None,
        }
        version = registry.register(
            store,
            config.model,
            logged_model=logged,
            run_id=run.run_id,
            content_key=run_input.content_key,
            facts=facts | ({"tags": dict(tags)} if tags else {}),
        )
        if verdict.decision == "promoted":
            registry.promote(store, config.model, version.version, why=verdict.reason, flow_run_id=flow_run_id)
        else:
            registry.set_alias(store, config.model, version=version.version, alias="challenger")
    reason = verdict.reason.replace(_ref(config.model), version.ref)
    return Registered(replace(verdict, reason=reason), registry.lookup(store, version.ref))


def take_up(version: Version, store: Store) -> bool:
    """Finish what a run left undone that was cut off after its registration; say whether anything was.

    A promotion, where the champion still is the one that the version was found better than; the alias ``challenger``,
    where no newer version is there to have it. A version that the record has had is left as it is.
    """
    with store.lock(version.name):
        champion = registry.champion(store, version.name)
        on_record = any(record["to"] == version.version for record in registry.history(store, version.name))
        if on_record or (champion.version if champion else None) != version.facts.get("over"):
            return False
        if version.facts.get("decision") == "promoted":
            why = f"{version.facts.get('reason')} (taken up after its run was cut off)"
            registry.promote(store, version.name, version.version, why=why, flow_run_id=version.flow_run_id)
            return True
        newest = registry.versions(store, version.name)[0]
        if newest.version != version.version or "challenger" in newest.aliases:
            return False
        registry.set_alias(store, version.name, version=version.version, alias="challenger")
        return True


def _registered_before(twin: Version, run: TrackedRun) -> Registered:
    """The version is there already: made by an earlier try of this run, or by one that ran at the same time."""
    take_up(twin, run.store)
    version = registry.lookup(run.store, twin.ref)
    if twin.run_id == run.run_id:
        reason = twin.facts["reason"].replace(_ref(twin.name), twin.ref)
        return Registered(Verdict(twin.facts["decision"], reason), version)
    reason = f"version {twin.version} was registered from the same data and config in the meantime"
    return Registered(Verdict("unchanged", reason), version)


def _champion_now(name: str, run_input: RunInput, store: Store) -> Champion | None:
    """The champion at this moment; the one that was loaded before training, if it still is the same."""
    version = registry.champion(store, name)
    before = run_input.champion
    if version is None or (before is not None and before.version.version == version.version):
        return before if version else None
    return current_champion(store, name)


def _verdict(config: Config, run_input: RunInput, evaluation: Evaluation, champion: Champion | None) -> Verdict:
    if champion is None:
        limits = "within the limits" if config.gate.limits() else "no limits are set"
        return Verdict("promoted", f"the first version; {limits}, judged on {evaluation.judged_on}")
    number = champion.version.version
    saw = saw_test_rows(run_input, config.data)
    losses = f"its test rows may be known to it: {saw}" if saw else champion_losses(champion, run_input, config.data)
    if isinstance(losses, str):
        if config.gate.rule == "limits":
            words = f'took over from version {number}, not compared: {losses} (gate.rule = "limits")'
            return Verdict("promoted", words)
        by_hand = f"`linreg promote {_ref(config.model)}` decides by hand"
        return Verdict("kept", f"kept version {number}, not compared: {losses}; {by_hand}")
    return against_champion(
        evaluation.losses_NO,
        losses,
        targets=run_input.moments.targets,
        version=number,
        rule=config.gate.rule,
        margin=config.gate.margin,
        held_out=config.data.test_fraction > 0,
        weight_N=run_input.dataset.test.weights(),
        counts=run_input.dataset.judges,
    )


def _beside_the_mean(verdict: Verdict, metrics: Mapping[str, float]) -> Verdict:
    """The verdict, which says so where the model is worse than no model."""
    if metrics["test_mse"] <= metrics["baseline.mean.test_mse"]:
        return verdict
    return replace(verdict, reason=f"{verdict.reason}; worse than always saying the mean")


def _beside_the_optimum(
    verdict: Verdict, config: Config, run_input: RunInput, fitted: Fit, champion: Champion | None
) -> Verdict:
    """The verdict, which says so where the champion was trained less far than the new model."""
    if champion is None or champion.model is None or champion.moments is None:
        return verdict
    new = errors_from_optimum(fitted.model, run_input.moments, penalised=fitted.objective.penalised)
    penalised = "excess_mse" in champion.version.metrics  # kept of these alone
    old = errors_from_optimum(champion.model, champion.moments, penalised=penalised)
    if new != 0 or not old:
        return verdict
    number, ref = champion.version.version, _ref(config.model)
    return unconverged(verdict, rule=config.gate.rule, version=number, errors=old, ref=ref)


def _ref(name: str) -> str:
    """What a reason calls the new version before it has its number."""
    return f"{name}/VERSION"


def _facts(config: Config, run_input: RunInput, fitted: Fit, evaluation: Evaluation) -> dict[str, Any]:
    """What a look-up of the version tells without opening the run."""
    return {
        "metrics": evaluation.metrics,
        "data": run_input.facts,
        "trainer": fitted.trainer,
        "device": fitted.device,
        "epochs": fitted.epochs,
        "features": list(fitted.model.features),
        "targets": list(fitted.model.targets),
        "split": split_of(config.data),
        "judged_on": evaluation.judged_on,
        "saw_test_rows": saw_test_rows(run_input, config.data) or None,
        "start": run_input.warm.version.ref if run_input.warm else None,
    }
