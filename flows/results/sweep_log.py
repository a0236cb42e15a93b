"""What a sweep writes down in MLflow: a nested run for each model, and its own run with the table and the picture."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from flows import interrupts
from flows.results.run_log import log_start, log_training
from flows.results.sweep_outcome import Row, as_csv, table
from flows.steps.rank import SweepIngested
from flows.tracking.run import TrackedRun
from flows.tracking.sweeps import TABLE
from linreg.config import Config
from linreg.config_file import to_toml
from linreg.errors import UserError
from linreg.selection.fit_many import Result
from linreg.selection.grid import Grid
from linreg.selection.ranking import Loss
from linreg.training.fit import Fit


def log_sweep(run: TrackedRun, config: Config, grid: Grid, sweep: SweepIngested) -> None:
    """The config with the swept keys' values in their places, the grid, and the data by its digest."""
    data = sweep.found.dataset
    run.log_params(config.flat() | {key: list(values) for key, values in grid.items()})
    run.log_text("config.toml", to_toml(config))
    run.log_text("grid.json", json.dumps({k: list(v) for k, v in grid.items()}, indent=1, allow_nan=False))
    columns = [*config.data.features, *config.data.targets]
    run.log_dataset(config.data.path, config.data.path, sweep.found.digest, data.rows, columns)
    run.set_tags({"models": len(sweep.models), "ranked_by": sweep.ranked_on, "sweep_key": sweep.key})


class Nest:
    """The nested runs of a sweep, each begun when its model has a result; all are ended with it.

    Args:
        parent: the sweep's own run.
        sweep: the models and the rows.
        tags: of every nested run.
    """

    def __init__(self, parent: TrackedRun, sweep: SweepIngested, tags: Mapping[str, object]) -> None:
        self.parent, self.sweep, self.tags = parent, sweep, tags
        self.runs: dict[int, TrackedRun] = {}
        self.results: dict[int, Result] = {}
        self.errors: dict[int, str] = {}
        self.metrics: dict[int, dict[str, float]] = {}

    def log(self, i: int, result: Result) -> None:
        """What a model was trained with, and its whole curve; of one that failed the reason.

        Called again, it changes nothing.
        """
        if i not in self.runs:
            self.runs[i] = self._start(i)
        run, found = self.runs[i], self.sweep.of(i)
        self.results[i] = result
        if run.ended:
            return
        log_start(run, self.sweep.models[i].config, found)
        if isinstance(result, Fit):
            log_training(run, result, found)
            self.metrics[i] = {"train_loss": result.train_loss[-1], "excess_loss": result.excess_loss[-1]}
        else:
            self._fail(i, result)

    def _start(self, i: int) -> TrackedRun:
        model = self.sweep.models[i]
        tags = {**self.tags, **{f"grid.{key}": value for key, value in model.values.items()}}
        experiment = model.config.experiment
        return TrackedRun.start(
            self.parent.store, experiment=experiment, name=model.label, tags=tags, parent=self.parent
        )

    def _fail(self, i: int, error: UserError) -> None:
        self.errors[i] = str(error)
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
            self.metrics[i] |= measured
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
        own = {name: value for name, value in self.metrics[best].items() if name not in metrics}
        self.runs[best].log_metrics(own)
        self.runs[best].finish()
        self.metrics[best] = {**own, **metrics}

    def rows(self, losses: Sequence[Loss | UserError]) -> list[Row]:
        """Every model's row."""
        return [self._row(i, loss) for i, loss in enumerate(losses)]

    def _row(self, i: int, loss: Loss | UserError) -> Row:
        model, result = self.sweep.models[i], self.results[i]
        return Row(
            run_id=self.runs[i].run_id,
            name=model.label,
            status="FAILED" if i in self.errors else "FINISHED",
            values=model.values,
            ranked_by=self.sweep.ranked_by,
            loss=loss.value if isinstance(loss, Loss) else None,
            standard_error=loss.standard_error if isinstance(loss, Loss) else None,
            epochs=result.epochs if isinstance(result, Fit) else None,
            metrics=self.metrics.get(i),
            error=self.errors.get(i),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with interrupts.held():  # a second Ctrl-C would leave the rest RUNNING
            for run in self.runs.values():
                run.__exit__(kind, error, trace)


def log_table(run: TrackedRun, rows: Sequence[Row], sweep: SweepIngested, results: Sequence[Result], best: int) -> None:
    """The models side by side: as JSON, as CSV and as a picture."""
    run.log_text(TABLE, json.dumps(table(rows, sweep.ranked_on), indent=1, allow_nan=False))
    with tempfile.TemporaryDirectory(prefix="linreg-sweep-") as folder:
        (Path(folder) / "sweep.csv").write_text(as_csv(rows), encoding="utf-8")
        (Path(folder) / "sweep.png").write_bytes(picture(rows, sweep, results, best))
        run.log_artifacts(folder)
    loss = rows[best].loss
    assert loss is not None
    run.log_metrics({"best_loss": loss, "failed_models": float(sum(row.loss is None for row in rows))})


def picture(rows: Sequence[Row], sweep: SweepIngested, results: Sequence[Result], best: int) -> bytes:
    """The curves, and what ranked the models, as a PNG."""
    from linreg import plots  # matplotlib is loaded when something is drawn

    watched = sweep.found.validation is not None
    figure = plots.sweep(
        [_curve(result, watched) for result in results],
        [row.loss for row in rows],
        [row.values for row in rows],
        best=best,
        ranked_by=sweep.ranked_by,
        curves_of="validation loss" if watched else "train loss",
        errors=[row.standard_error for row in rows],
    )
    return plots.png(figure)


def _curve(result: Result, watched: bool) -> Sequence[float]:
    if not isinstance(result, Fit):
        return ()
    return result.validation_loss if watched else result.train_loss
