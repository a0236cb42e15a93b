"""One tracked run: what MLflow holds of one execution of the flow.

Every call names its run by id (MLflow's own active run is thread-local, and Prefect has many threads) and is
synchronous: what was logged survives a kill in the next instant. Used as a context manager it ends the run in every
case: FINISHED, FAILED with the error's line as a tag, or KILLED.
"""

import contextlib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)

from flows import interrupts
from flows.tracking.model_reader import Contents
from flows.tracking.model_writer import LoggedModel, write
from flows.tracking.names import MAX_PARAM, NOTE_TAG, PARENT_TAG, cut, escaped, originals, plain, shortened
from flows.tracking.origin import origin
from flows.tracking.stores.server import answering
from flows.tracking.stores.store import Store
from linreg.errors import ServerAway

METRICS_A_CALL = 1000
PARAMS_A_CALL = 100
MAX_DIGEST = 36


class TrackedRun:
    """A run in an experiment; made by ``start``.

    Args:
        store: where it is.
        run_id: MLflow's id.
        experiment_id: MLflow's id of the experiment.
        started: milliseconds since 1970, as the store has it.
    """

    def __init__(self, store: Store, *, run_id: str, experiment_id: str, started: int) -> None:
        self.store = store
        self.run_id = run_id
        self.experiment_id = experiment_id
        self.started = started
        self.ended = False
        self._params: dict[str, str] = {}
        self._last_step: dict[str, int] = {}

    @classmethod
    def start(
        cls,
        store: Store,
        *,
        experiment: str,
        name: str,
        tags: Mapping[str, object],
        parent: "TrackedRun | None" = None,
    ) -> Self:
        """Begin a run.

        Args:
            store: an open store.
            experiment: the experiment's name; made if there is none.
            name: the run's name in the UI.
            tags: further tags, as text.
            parent: the run that this one is nested in.
        """
        experiment_id = store.experiment(experiment)
        own = {k: cut(plain(v)) for k, v in tags.items()} | origin(name)
        if parent is not None:
            own[PARENT_TAG] = parent.run_id
        run: Any = None
        try:
            with answering(store.uri):
                run = store.client.create_run(experiment_id, tags=own, run_name=name)
            return cls(store, run_id=run.info.run_id, experiment_id=experiment_id, started=run.info.start_time)
        except BaseException as e:
            if run is not None and not isinstance(e, Exception):  # a signal: nobody else knows of the run yet
                store.client.set_terminated(run.info.run_id, "KILLED")
            raise

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Add or replace tags; a value over 5000 characters is cut, and ends in an ellipsis."""
        pairs = [RunTag(k, cut(plain(v))) for k, v in tags.items()]
        self._log("tags", pairs, PARAMS_A_CALL)

    def set_decision(self, decision: str, reason: str) -> None:
        """Tag the run with what was decided and why; both are the description, too, that MLflow's UI shows first."""
        note = f"**{decision}**: {reason}"
        self.set_tags({"decision": decision, "reason": reason, NOTE_TAG: note})

    def log_params(self, flat: Mapping[str, object]) -> None:
        """Log a flat config. A value that MLflow would cut goes whole into an artifact ``params/NAME.txt``."""
        texts = {name: plain(value) for name, value in flat.items()}
        for name, text in texts.items():
            if len(text) > MAX_PARAM:
                self.log_text(f"params/{escaped(name).replace('/', '_')}.txt", text)
        params = {escaped(n): t if len(t) <= MAX_PARAM else shortened(t) for n, t in texts.items()}
        self._params |= params
        self._log("params", [Param(k, v) for k, v in params.items()], PARAMS_A_CALL)
        self.set_tags(originals(flat))

    def log_history(self, history: Mapping[str, Sequence[float]]) -> None:
        """Log curves; step 0 is the start, step e is after e epochs.

        Timestamps come from the run's start and the step alone: logged again, each point is the same point.
        """
        points = [
            Metric(escaped(name), _finite(name, value), self.started + step, step)
            for name, values in history.items()
            for step, value in enumerate(values)
        ]
        self._log("metrics", points, METRICS_A_CALL)
        self._last_step |= {name: len(values) - 1 for name, values in history.items()}
        self.set_tags(originals(history))

    def log_metrics(self, metrics: Mapping[str, float], model_id: str | None = None) -> None:
        """Log final metrics, shown at the logged model too where its id is given.

        One that has a history is logged at the end of it: no second point appears in its curve.

        Raises:
            AssertionError: a value is not finite: MLflow would store 1.8e308, or lose it.
        """
        points = [
            Metric(escaped(n), _finite(n, v), self.started + step, step, model_id=model_id)
            for n, v in metrics.items()
            for step in [self._last_step.get(n, 0)]
        ]
        self._log("metrics", points, METRICS_A_CALL)
        self.set_tags(originals(metrics))

    def log_dataset(self, name: str, source: str, digest: str, rows: int, columns: Sequence[str]) -> None:
        """Name the data as an input of the run, by the digest of all its content."""
        profile = f'{{"num_rows": {int(rows)}, "num_columns": {len(columns)}}}'
        data = Dataset(cut(name, 500), digest[:MAX_DIGEST], "local", _source(source), _schema(columns), profile)
        tags = [InputTag("mlflow.data.context", "training"), InputTag("digest", digest)]
        with answering(self.store.uri):
            self.store.client.log_inputs(self.run_id, datasets=[DatasetInput(data, tags)])

    def log_text(self, name: str, text: str) -> None:
        """Keep a text as the artifact of that name."""
        with answering(self.store.uri):
            self.store.client.log_text(self.run_id, text, name)

    def log_artifacts(self, folder: str | Path) -> None:
        """Keep every file of a folder, under its path below the folder."""
        with answering(self.store.uri):
            self.store.client.log_artifacts(self.run_id, str(folder))

    def log_model(
        self,
        contents: Contents,
        *,
        example: Sequence[Sequence[Any]],
        metadata: Mapping[str, Any] | None = None,
    ) -> LoggedModel:
        """Keep the model, as the directory that ``model_writer`` describes; registering is a separate step."""
        client = self.store.client
        with answering(self.store.uri):
            entry = client.create_logged_model(
                self.experiment_id, name="model", source_run_id=self.run_id, params=self._params, model_type="linear"
            )
            identity = {
                "artifact_path": entry.artifact_location,
                "model_uuid": entry.model_id,
                "run_id": self.run_id,
                "model_id": entry.model_id,
            }
            with tempfile.TemporaryDirectory(prefix="linreg-model-") as scratch:
                folder = Path(scratch) / "model"
                manifest = write(contents, folder, example=example, metadata=metadata or {}, identity=identity)
                client.log_model_artifacts(entry.model_id, str(folder))
            client.log_outputs(self.run_id, [LoggedModelOutput(entry.model_id, step=0)])
            client.finalize_logged_model(entry.model_id, LoggedModelStatus.READY)
        return LoggedModel(entry.model_id, f"models:/{entry.model_id}", manifest)

    def finish(self) -> None:
        """End the run as FINISHED."""
        self._end("FINISHED")

    def fail(self, line: str) -> None:
        """End the run as FAILED, with that line as its tag ``error``."""
        self.set_tags({"error": line})
        self._end("FAILED")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.ended:
            return
        if error is None:
            self.finish()
            return
        with contextlib.suppress(ServerAway):  # the error on its way out is the one to be told about
            if isinstance(error, Exception) and not interrupts.stop_requested():
                self.fail(str(error) or type(error).__name__)
            else:
                self._end("KILLED")  # the user stopped it

    def _end(self, status: str) -> None:
        with answering(self.store.uri):
            self.store.client.set_terminated(self.run_id, status)
        self.ended = True

    def _log(self, kind: str, entities: Sequence[Any], most: int) -> None:
        """Log entities of one kind, at most so many a call."""
        for i in range(0, len(entities), most):
            portion: dict[str, Any] = {kind: entities[i : i + most]}
            with answering(self.store.uri):
                self.store.client.log_batch(self.run_id, synchronous=True, **portion)


def _finite(name: str, value: float) -> float:
    number = float(value)
    assert math.isfinite(number), f"metric {name} is {number}: stop and say why instead of logging it"
    return number


def _source(source: str) -> str:
    return json.dumps({"uri": source if "://" in source else Path(source).absolute().as_uri()})


def _schema(columns: Sequence[str]) -> str:
    return json.dumps({"mlflow_colspec": [{"type": "double", "name": c, "required": True} for c in columns]})
