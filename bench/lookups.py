"""Look-ups on a small store, as whole processes, beside MLflow's import alone and its client's plainest question.

``python -m bench.lookups`` makes the store in the working directory.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.harness import Result, in_turn, less_is_better, load
from bench.pipeline import cost

MODEL = "crop-yield"
COMMANDS = {
    "models": ["models", MODEL],
    "runs": ["runs"],
    "show": ["show", MODEL],
    "diff": ["diff", f"{MODEL}/1", f"{MODEL}/2"],
}
IMPORT, CLIENT = "import mlflow", "MlflowClient"
ASK = "import sys, flows, mlflow; mlflow.MlflowClient(sys.argv[1], sys.argv[1]).search_registered_models()"


def run(*, rounds: int = 5) -> list[Result]:
    """Two results a command, all of the same processes: their CPU time, which has the targets, and their wall time."""
    busy = load()
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as name:
        folder = Path(name)
        cost(["-m", "bench.lookups"], folder)
        contenders = _contenders(folder)
        for warm in contenders.values():
            warm()
        measured = in_turn(contenders, rounds)
    note = f"a new process each, on a store of two versions; medians of {rounds} taken in turn; {busy}"
    results = []
    for name in COMMANDS:
        times = {"ours": measured[name], IMPORT: measured[IMPORT], CLIENT: measured[CLIENT]}
        target = {IMPORT: 0.85 if name == "diff" else 1}  # diff loads scipy's linear algebra too
        results += [
            less_is_better(f"lookups {name}", "CPU s", times, target, note=note),
            less_is_better(f"lookups {name}", "wall s", times, {}, note=note, column=1),
        ]
    return results


def _contenders(folder: Path) -> dict[str, Callable[[], tuple[float, float]]]:
    arguments = {name: ["-m", "flows.cli.main", *words] for name, words in COMMANDS.items()}
    arguments |= {IMPORT: ["-c", "import mlflow"], CLIENT: ["-c", ASK, f"sqlite:///{folder}/mlruns/mlflow.db"]}
    return {name: partial(cost, words, folder) for name, words in arguments.items()}


def make() -> None:
    """Two versions of a model with all that is kept beside one, in the store of the working directory."""
    from flows.tracking import registry
    from flows.tracking.model_reader import Contents
    from flows.tracking.run import TrackedRun
    from flows.tracking.stores.store import open_store
    from linreg.config_file import from_dict
    from linreg.least_squares.inference import infer
    from linreg.least_squares.objective import Objective
    from linreg.moments.moments import Moments

    features, targets = ("temp", "rainfall", "humidity"), ("apples", "oranges")
    store = open_store(create=True)
    config = from_dict({"model": MODEL, "data": {"path": "-", "features": list(features), "targets": list(targets)}})
    for seed in range(2):
        z_NP = np.random.default_rng(seed).normal(size=(200, 5))
        moments = Moments.of([z_NP], features, targets)
        objective = Objective.trained(moments, config.train)
        model = objective.model(objective.optimum_DO)
        data = {"digest": f"{seed:032x}", "rows": 200, "train_rows": 200}
        facts = {"metrics": {"test_rmse": 1.0, "test_r2": 0.0}, "data": data}
        with TrackedRun.start(store, experiment="crops", name=f"run {seed}", tags={}) as tracked:
            tracked.log_params(config.flat())
            contents = Contents(model, moments, infer(model, moments))
            logged = tracked.log_model(contents, example=z_NP[:, :3].tolist())
        number = registry.register(
            store, MODEL, logged_model=logged, run_id=tracked.run_id, content_key=str(seed), facts=facts
        ).version
        registry.promote(store, MODEL, number, why="the newest")


if __name__ == "__main__":
    make()
