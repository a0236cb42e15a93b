"""A whole ``linreg run`` with a new seed, in CPU time, beside a flow that only logs a model and a plain script."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from itertools import count
from pathlib import Path

from bench.harness import Result, in_turn, less_is_better

ROOT = Path(__file__).parent.parent

# The floor: a Prefect flow that does nothing but log one model of the same flavors.
FLOOR = """
import flows, numpy as np
from prefect import flow
from flows.tracking.run import TrackedRun
from flows.tracking.store import open_store
from linreg.model import LinearModel

@flow
def floor():
    names = ("temp", "rainfall", "humidity"), ("apples", "oranges")
    model = LinearModel(np.ones((2, 3)), np.ones(2), np.zeros(3), *names)
    with TrackedRun.start(open_store(create=True), experiment="floor", name="floor", tags={}) as run:
        run.log_model(model, example_NF=np.ones((5, 3)))

floor()
"""

# The peer: what a user writes from the two libraries' own first pages.
PLAIN = """
import mlflow, numpy as np, pandas as pd, torch
from prefect import flow, task

@task
def ingest():
    frame = pd.read_csv("data/crops-15.csv")
    x, y = frame[["temp", "rainfall", "humidity"]], frame[["apples", "oranges"]]
    return torch.tensor(x.values, dtype=torch.float32), torch.tensor(y.values, dtype=torch.float32)

@task
def train(x, y, epochs=1000):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    for epoch in range(epochs):
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        mlflow.log_metric("train_loss", loss.item(), step=epoch)
    return model

@flow
def pipeline():
    mlflow.set_tracking_uri("sqlite:///plain.db")
    mlflow.set_experiment("plain")
    x, y = ingest()
    with mlflow.start_run():
        model = train(x, y)
        example = x[:2].numpy()
        mlflow.pytorch.log_model(model, name="model", input_example=example, registered_model_name="plain")

pipeline()
"""


def run(*, rounds: int = 3) -> Result:
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder:
        measured = _measure(Path(folder), rounds)
    note = f"user and system time of each process and its children, new process each; medians of {rounds}"
    target = {"plain script": 2.5, "floor": 0.77}
    return less_is_better("pipeline", "CPU s", measured, target, note)


def _measure(folder: Path, rounds: int) -> dict[str, float]:
    for name in ("configs", "data"):
        shutil.copytree(ROOT / name, folder / name)
    seeds = count(1)
    ours = [sys.executable, "-m", "flows.cli.main", "run", "configs/crops.toml", "--set"]
    contenders = {
        "ours": lambda: _cpu([*ours, f"train.seed={next(seeds)}"], folder),
        "plain script": lambda: _cpu([sys.executable, "-c", textwrap.dedent(PLAIN)], folder),
        "floor": lambda: _cpu([sys.executable, "-c", textwrap.dedent(FLOOR)], folder),
    }
    for warm in contenders.values():  # stores made, pages cached
        warm()
    return in_turn(contenders, rounds)


def _cpu(command: list[str], folder: Path) -> float:
    """CPU seconds of a process and all its children, in a quiet environment that is the same for all."""
    quiet = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(folder / "prefect"),
        "PYTHONPATH": str(ROOT),
    }
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | quiet, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command[:4]} failed:\n{log.read_text()[-2000:]}")
    return usage.ru_utime + usage.ru_stime
