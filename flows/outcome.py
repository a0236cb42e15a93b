"""What a run came to: the record that the flow returns, and its JSON form, which is a contract."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.ingest import Ingested, Unchanged
from linreg import float32
from linreg.config import Config


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Args:
        decision: promoted, kept, refused or unchanged.
        reason: why, in one line.
        version: the registered version; None where nothing was registered.
        seconds: wall time of the flow.
        data: rows, train_rows, test_rows, digest, partitions, and read: the files whose rows were decoded.
        metrics: final ones, by name.
        advice: what to change, one line each; for people.
        judged_on: which rows the test metrics are of; for people.
        notes: what was done to the rows and where the training started, one line each; for people.
        standardize: the features were scaled, so the condition number is that of the scaled columns; for people.
    """

    decision: str
    reason: str
    run_id: str
    experiment: str
    flow_run_id: str | None
    model: str
    version: int | None
    aliases: tuple[str, ...]
    trainer: str
    device: str
    epochs: int
    seconds: float
    metrics: dict[str, float]
    data: dict[str, Any]
    advice: tuple[str, ...] = ()
    judged_on: str = ""
    notes: tuple[str, ...] = ()
    standardize: bool = False

    def to_json(self) -> dict[str, Any]:
        """The object that ``linreg run --json`` prints."""
        return {
            "status": "completed",
            "decision": self.decision,
            "reason": self.reason,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "flow_run_id": self.flow_run_id,
            "model": {"name": self.model, "version": self.version, "aliases": list(self.aliases)},
            "trainer": self.trainer,
            "device": self.device,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "metrics": self.metrics,
            "data": self.data,
        }


def data_facts(ingested: Ingested) -> dict[str, Any]:
    """The ``data`` of a run that read its files."""
    dataset = ingested.dataset
    return {
        "rows": dataset.rows,
        "train_rows": dataset.train_rows,
        "test_rows": dataset.test_rows,
        "digest": ingested.digest,
        "partitions": len(dataset.partitions),
        "read": ingested.read,
    }


def notes(config: Config, ingested: Ingested) -> tuple[str, ...]:
    """What a reader of the result must know of its rows and its start, one line each; often none."""
    data, lines = ingested.dataset, []
    if data.dropped:
        lines.append(
            f'left out {_count(data.dropped, "row")} with missing values (data.missing = "{config.data.missing}")'
        )
    if data.weightless:
        weigh = "weighs" if data.weightless == 1 else "weigh"
        lines.append(f"left out {_count(data.weightless, 'row')} that {weigh} 0 (data.weight = {config.data.weight})")
    if ingested.record.filled:
        values = _count(ingested.record.filled, "missing value")
        lines.append(f"filled {values} of the training rows with the means of their columns")
    judged = data.test.select(config.data.features) if config.data.test_fraction and data.test.gaps else None
    if judged is not None and np.isnan(judged).any():
        values = _count(int(np.isnan(judged).sum()), "missing value")
        lines.append(f"filled {values} of the test rows with the same means")
    if ingested.warm:
        lines.append(f"warm start from {ingested.warm.version.ref}: what that version learned stays in")
    elif config.train.warm_start:
        lines.append(f"cold start: {config.model} has no champion yet to start from")
    lines += filter(None, [_known(ingested), _plainly(ingested), float32.note(ingested.moments)])
    return tuple(lines)


def _known(ingested: Ingested) -> str:
    """How many files were not read, if any."""
    files = len(ingested.dataset.partitions)
    return f"read {ingested.read:,} of {_count(files, 'file')}: the others are known" if ingested.read < files else ""


def _plainly(ingested: Ingested) -> str:
    """Which way the record was made, where it is not the usual one."""
    count, parts = ingested.record.plain, len(ingested.record.partitions)
    which = "" if count == parts else f" of {count} of {parts} files"
    return f"moments{which} by plain sums: the rows are many, and no columns are nearly alike" if count else ""


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def unchanged(config: Config, found: Unchanged, *, flow_run_id: str | None, seconds: float) -> Outcome:
    """The outcome where a registered version has the same content: what that version was, and no new run."""
    version = found.version
    facts = version.facts
    return Outcome(
        decision="unchanged",
        reason=f"version {version.version} was trained on the same data with the same config",
        run_id=version.run_id or "",
        experiment=config.experiment,
        flow_run_id=flow_run_id,
        model=version.name,
        version=version.version,
        aliases=version.aliases,
        trainer=version.trainer or "",
        device=str(facts.get("device", "")),
        epochs=int(facts.get("epochs", 0)),
        seconds=seconds,
        metrics=dict(version.metrics),
        data={**facts.get("data", {}), "digest": found.digest, "partitions": found.partitions, "read": 0},
        judged_on=str(facts.get("judged_on", "")),
        standardize=config.train.standardize,
    )
