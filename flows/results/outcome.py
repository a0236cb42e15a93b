"""What a run came to: the record that the flow returns, and its JSON form, which is a contract."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flows.results.sweep_table import Row, rows_of
from flows.steps.drift import DriftReport
from flows.steps.evaluate import Evaluation
from flows.steps.rank import SweepInput
from flows.steps.register import Registered
from flows.steps.run_input import RunInput, Unchanged
from linreg.config import Config
from linreg.errors import listed
from linreg.evaluation import float32_export
from linreg.files import faults
from linreg.training.choose import choose
from linreg.training.device import resolve
from linreg.training.fit import Fit

_SHOWN = (  # in the JSON document, in this order
    *("decision", "reason", "run_id", "experiment", "flow_run_id", "model"),
    *("trainer", "device", "epochs", "seconds", "metrics", "data"),
)


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Args:
        decision: promoted, kept, refused or unchanged.
        reason: why, in one line.
        version: the registered version; None where nothing was registered.
        experiment, flow_run_id, seconds: the flow's; ``chain`` adds them, and its wall time.
        data: rows, train_rows, test_rows, digest, partitions, and read: the files whose rows were decoded.
        metrics: final ones, by name.
        advice: what to change, one line each; for people.
        judged_on: which rows the test metrics are of; for people.
        notes: what was done to the rows and where the training started, one line each; for people.
        standardize: the features were scaled, so the condition number is that of the scaled columns; for people.
        runs: a row for each model of a sweep, in the grid's order; None of a run. All else is the best model's.
        ranked_on: what ranked the models, in words; for people.
        rate: what an ``auto`` rate came to and why, or why it is no descent; for people.
    """

    decision: str
    reason: str
    run_id: str
    model: str
    trainer: str
    device: str
    experiment: str = ""
    flow_run_id: str | None = None
    version: int | None = None
    aliases: tuple[str, ...] = ()
    epochs: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    advice: tuple[str, ...] = ()
    judged_on: str = ""
    notes: tuple[str, ...] = ()
    standardize: bool = False
    runs: tuple[Row, ...] | None = None
    ranked_on: str = ""
    rate: str = ""

    def to_json(self) -> dict[str, Any]:
        """The object that ``linreg run --json`` prints; that of a sweep holds ``runs`` too."""
        document: dict[str, Any] = {"status": "completed"} | {name: getattr(self, name) for name in _SHOWN}
        document["model"] = {"name": self.model, "version": self.version, "aliases": list(self.aliases)}
        return document if self.runs is None else document | {"runs": [row.to_json() for row in self.runs]}


def notes(config: Config, run_input: RunInput) -> tuple[str, ...]:
    """What a reader of the result must know of its rows and its start, one line each; often none."""
    data, lines = run_input.dataset, list(run_input.skipped)
    if data.empty:
        lines.append(faults.without_rows(data.empty))
    if data.dropped:
        lines.append(
            f'left out {_count(data.dropped, "row")} with missing values (data.missing = "{config.data.missing}")'
        )
    if data.weightless:
        weigh = "weighs" if data.weightless == 1 else "weigh"
        lines.append(f"left out {_count(data.weightless, 'row')} that {weigh} 0 (data.weight = {config.data.weight})")
    if run_input.record.filled:
        values = _count(run_input.record.filled, "missing value")
        lines.append(f"filled {values} of the training rows with the means of their columns")
    judged = data.test.select(config.data.numbers) if config.data.test_fraction and data.test.gaps else None
    if judged is not None and np.isnan(judged).any():
        values = _count(int(np.isnan(judged).sum()), "missing value")
        lines.append(f"filled {values} of the test rows with the same means")
    if run_input.warm:
        lines.append(f"warm start from {run_input.warm.version.ref}: what that version learned stays in")
    elif config.train.warm_start:
        lines.append(f"cold start: {config.model} has no champion yet to start from")
    lines += _levels_notes(config, run_input)
    in_float32 = float32_export.warning(run_input.moments)
    lines += filter(None, [_duplicates_note(run_input), _read_note(run_input), _plain_sums_note(run_input), in_float32])
    return tuple(lines)


def _levels_notes(config: Config, run_input: RunInput) -> Iterator[str]:
    """Levels that the champion knows and today's training rows do not have, and the other way round."""
    design, champion = run_input.dataset.train.design, run_input.champion
    for column, levels in (design.levels if design else {}).items():
        unused = [level for level in config.data.levels.get(column, ()) if level not in levels]
        if unused:
            yield f"no training row is at {listed(unused)} of data.levels.{column}: left out"
        if len(levels) == 1:
            yield f"{column}: all training rows are at {levels[0]}, so it has no column"
        if not champion or not champion.model or not champion.model.design:
            continue
        known, number = champion.model.design.levels.get(column, levels), champion.version.version
        gone, fresh = [x for x in known if x not in levels], [x for x in levels if x not in known]
        if gone:
            yield f"{column}: no row is at {listed(gone)} any more, which version {number} knows"
        if fresh:
            yield f"{column}: {listed(fresh)} {'is' if len(fresh) == 1 else 'are'} new since version {number}"


def _duplicates_note(run_input: RunInput) -> str:
    """Files of the same bytes: a delivery that came twice, it may be."""
    data, first = run_input.dataset, dict[str, str]()
    with_rows = [p for p in data.partitions if p.name not in data.empty]
    copies = [(first[p.digest], p.name) for p in with_rows if first.setdefault(p.digest, p.name) != p.name]
    if not copies:
        return ""
    more = f", and {_count(len(copies) - 1, 'more such file')}" if len(copies) > 1 else ""
    return f"{copies[0][0]} and {copies[0][1]} hold the same bytes: their rows count twice{more}"


def _read_note(run_input: RunInput) -> str:
    """How many files were not read, if any."""
    files = len(run_input.dataset.partitions)
    if run_input.read == files:
        return ""
    if not run_input.read:
        return "read no file: " + ("it is known" if files == 1 else f"all {files:,} are known")
    return f"read {run_input.read:,} of {_count(files, 'file')}: the others are known"


def _plain_sums_note(run_input: RunInput) -> str:
    """Which way the record was made, where it is not the usual one."""
    count, parts = run_input.record.plain, len(run_input.record.partitions)
    files = "" if count == parts else f" of {count} of {parts} files"
    return f"moments{files} by plain sums: the rows are many, and no columns are nearly alike" if count else ""


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def completed(
    config: Config,
    run_input: RunInput,
    fitted: Fit,
    evaluation: Evaluation,
    registered: Registered,
    run_id: str,
) -> Outcome:
    """The outcome of a run that went through all steps; the plan's advice is the caller's to add."""
    version = registered.version
    fell_back = fitted.trainer == "exact" and config.train.trainer == "auto"
    return Outcome(
        decision=registered.verdict.decision,
        reason=registered.verdict.reason,
        run_id=run_id,
        model=config.model,
        trainer=fitted.trainer,
        device=fitted.device,
        version=version.version if version else None,
        aliases=version.aliases if version else (),
        epochs=fitted.epochs,
        metrics=evaluation.metrics,
        data=run_input.facts,
        judged_on=evaluation.judged_on,
        notes=notes(config, run_input),
        standardize=config.train.standardize,
        rate=fitted.rate or (fitted.why if fell_back else ""),
    )


def stopped(config: Config, run_input: RunInput, report: DriftReport, run_id: str) -> Outcome:
    """The outcome of a run that ends before it trains, since the data drifted."""
    return Outcome(
        decision="refused",
        reason=report.reason,
        run_id=run_id,
        model=config.model,
        trainer=choose(config.train)[0].name,
        device=str(resolve(config.train.device, config.train.dtype)),
        metrics=report.metrics,
        data=run_input.facts,
        notes=(*notes(config, run_input), *report.notes[1:]),  # the first is the reason
        runs=() if isinstance(run_input, SweepInput) else None,
    )


def unchanged(config: Config, same: Unchanged) -> Outcome:
    """The outcome where a registered version has the same content: what that version was, and no new run."""
    version, facts = same.version, same.version.facts
    if same.table is None:
        origin, runs, ranked_on = "was trained on the same data with the same config", None, ""
    else:
        origin, (runs, ranked_on) = "came of the same sweep of the same data", rows_of(same.table)
    return Outcome(
        decision="unchanged",
        reason=f"version {version.version} {origin}",
        run_id=version.run_id or "",
        model=version.name,
        trainer=version.trainer or "",
        device=str(facts.get("device", "")),
        version=version.version,
        aliases=version.aliases,
        epochs=int(facts.get("epochs", 0)),
        metrics=dict(version.metrics),
        data={**facts.get("data", {}), "digest": same.digest, "partitions": same.partitions, "read": 0},
        judged_on=str(facts.get("judged_on", "")),
        standardize=config.train.standardize,
        runs=runs,
        ranked_on=ranked_on,
    )
