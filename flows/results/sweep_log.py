"""What a sweep writes down in MLflow beside a run: a nested run for each model, and the table of them all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from flows import interrupts
from flows.results.run_log import log_start, log_training
from flows.results.sweep_table import Row, as_csv, table
from flows.steps.rank import SweepInput
from flows.tracking.run import TrackedRun
from flows.tracking.sweeps import TABLE
from linreg.errors import UserError
from linreg.selection.fit_many import Result
from linreg.selection.ranking import Loss
from linreg.training.fit import Fit


class NestedRuns:
    """The nested runs of a sweep, each begun when its model has a result; all are ended with it.

    Args:
        parent: the sweep's own run.
        sweep: the models and the rows.
        tags: of every nested run.
    """

    def __init__(self, parent: TrackedRun, sweep: SweepInput, tags: Mapping[str, object]) -> None:
        self.parent, self.sweep, self.tags = parent, sweep, tags
        self.runs: dict[int, TrackedRun] = {}
        self._rows: dict[int, Row] = {}

    @property
    def rows(self) -> list[Row]:
        """Every model's row, as far as it has come."""
        return [self._rows[i] for i in sorted(self._rows)]

    def log(self, i: int, result: Result) -> None:
        """What a model was trained with, and its whole curve; of one that failed the reason.

        Called again, it changes nothing.
        """
        if i not in self.runs:
            self._start(i)
        run, run_input = self.runs[i], self.sweep.of(i)
        if run.ended:
            return
        log_start(run, self.sweep.models[i].config, run_input)
        if isinstance(result, Fit):
            log_training(run, result, run_input)
            metrics = {"train_loss": result.train_loss[-1], "excess_loss": result.excess_loss[-1]}
            self._note(i, epochs=result.epochs, metrics=metrics)
        else:
            self._fail(i, result)

    def _start(self, i: int) -> None:
        model, ranked_by = self.sweep.models[i], self.sweep.ranked_by
        tags = {**self.tags, **{f"grid.{key}": value for key, value in model.values.items()}}
        experiment, store = model.config.experiment, self.parent.store
        run = TrackedRun.start(store, experiment=experiment, name=model.label, tags=tags, parent=self.parent)
        self.runs[i] = run
        self._rows[i] = Row(run.run_id, model.label, status="FINISHED", values=model.values, ranked_by=ranked_by)

    def _note(self, i: int, **facts: Any) -> None:
        self._rows[i] = replace(self._rows[i], **facts)

    def _fail(self, i: int, error: UserError) -> None:
        self._note(i, status="FAILED", error=str(error))
        self.runs[i].fail(str(error))

    def rank(self, losses: Sequence[Loss | UserError], best: int | None) -> None:
        """Log what ranked the models, and end all runs but that of the best, which goes on to be judged."""
        for i, loss in enumerate(losses):
            if self.runs[i].ended:
                continue
            if isinstance(loss, UserError):
                self._fail(i, loss)
                continue
            measured = self._measured(loss)
            metrics = {**(self._rows[i].metrics or {}), **measured}
            self._note(i, loss=loss.value, standard_error=loss.standard_error, metrics=metrics)
            if i != best:
                self.runs[i].log_metrics(measured)
                self.runs[i].finish()

    def _measured(self, loss: Loss) -> dict[str, float]:
        if not self.sweep.pairs:
            return {"validation_mse": loss.value}
        error = {} if loss.standard_error is None else {"kfold_standard_error": loss.standard_error}
        return {"kfold_mse": loss.value, **error}

    def judged(self, best: int, metrics: Mapping[str, float]) -> None:
        """End the best model's run, whose metrics are those of an ordinary run's and what ranked it."""
        own = {name: value for name, value in (self._rows[best].metrics or {}).items() if name not in metrics}
        self.runs[best].log_metrics(own)
        self.runs[best].finish()
        self._note(best, metrics={**own, **metrics})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with interrupts.deferred():  # a second Ctrl-C would leave the rest RUNNING
            for run in self.runs.values():
                run.__exit__(kind, error, trace)


def log_table(run: TrackedRun, rows: Sequence[Row], ranked_on: str, best: int) -> None:
    """The models side by side: as JSON and as CSV."""
    run.log_text(TABLE, json.dumps(table(rows, ranked_on), indent=1, allow_nan=False))
    run.log_text("sweep.csv", as_csv(rows))
    loss = rows[best].loss
    assert loss is not None
    run.log_metrics({"best_loss": loss, "failed_models": float(sum(row.loss is None for row in rows))})
