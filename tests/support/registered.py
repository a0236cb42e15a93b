"""Versions made of rows in a few lines: the run, the records and the registration that the flow does, without Prefect.

No test stands here.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from flows.tracking import registry
from flows.tracking.model_reader import Contents
from flows.tracking.run import TrackedRun
from linreg.config import Config
from linreg.config_file import from_dict
from linreg.least_squares.inference import infer
from linreg.least_squares.objective import Objective
from linreg.least_squares.validity import caller_reasons
from linreg.metrics import regression_metrics
from linreg.model import LinearModel
from linreg.moments.lineage import Lineage
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges

Files = Mapping[str, np.ndarray]  # rows (N, F + O) of a file, by its name


def config_of(features: Sequence[str], targets: Sequence[str], *, model: str = "m", **sections: object) -> Config:
    data = {"path": "days", "features": list(features), "targets": list(targets)}
    return from_dict({"model": model, "data": data | sections.get("data", {}), "train": sections.get("train", {})})


def descended(moments: Moments, config: Config, *, short_of: float) -> LinearModel:
    """The optimum of the config's loss, every parameter moved by so much."""
    objective = Objective.trained(moments, config.train)
    return objective.model(objective.optimum_DO + short_of)


def keep(
    store,
    config: Config,
    files: Files,
    *,
    short_of: float = 0.0,
    test: np.ndarray | None = None,
    records: bool = True,
    params: bool = True,
) -> LinearModel:
    """Train on the files' rows, judge, log and register; the model.

    Args:
        short_of: how far the parameters are from the optimum.
        test: the rows that judge it; None: the training rows do.
        records: whether anything is kept beside the model.
        params: whether the run knows its config.
    """
    features, targets = config.data.features, config.data.targets
    moments = Moments.of(list(files.values()), features, targets)
    model = descended(moments, config, short_of=short_of)
    why = caller_reasons(weight_decay=config.train.weight_decay, l1=config.train.l1)
    judges = np.vstack(list(files.values())) if test is None else test
    partitions = tuple((name, str(abs(float(z.sum())))) for name, z in files.items())
    ends = Ranges(judges.min(axis=0), judges.max(axis=0))
    lineage = Lineage(partitions, tuple(float(len(z)) for z in files.values()), (*features, *targets), ends)
    judged = MomentsWithGaps.of([judges], features, targets)
    contents = Contents(model, moments, infer(model, moments, reasons=why), judged, lineage)
    facts = {
        "metrics": metrics(model, judges) | {"train_loss": 1.0, "excess_loss": short_of},
        "data": {"digest": "-".join(map("=".join, partitions)), "rows": moments.rows, "train_rows": moments.rows},
        "trainer": config.train.trainer,
        "split": {"seed": 0, "key": [], "fraction": config.data.test_fraction},
        "features": list(features),
        "targets": list(targets),
    }
    with TrackedRun.start(store, experiment="e", name="a run", tags={}) as run:
        if params:
            run.log_params(config.flat())
        logged = run.log_model(contents if records else Contents(model), example=judges[:2, : len(features)].tolist())
    key = str(len(registry.versions(store)))
    registry.register(store, config.model, logged_model=logged, run_id=run.run_id, content_key=key, facts=facts)
    return model


def metrics(model: LinearModel, z_NP: np.ndarray) -> dict[str, float]:
    f = len(model.features)
    return regression_metrics(z_NP[:, f:], model.predict(z_NP[:, :f]), model.targets)
