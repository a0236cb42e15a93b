"""How time and memory grow with rows and features: a new process for each size, ours against itself.

    python -m bench.growth WORK PATH FEATURES      one size; prints seconds and peak megabytes as JSON

The rows come from Parquet files of one size each, one, ten and a hundred of them: the files of so many nights. Linear
means that ten files take ten times as long as one, at most; flat means the same peak memory.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench import data
from bench.harness import Measured, Result, in_turn, less_is_better, load, seconds
from bench.pipeline import ROOT
from linreg.data_config import DataConfig
from linreg.evaluation.score_files import score
from linreg.ingest.records import record_dataset
from linreg.model import LinearModel
from linreg.moments import from_rows

FEATURES = 16  # where rows grow
TIMES = (1, 10, 100)  # files
WIDTHS = (8, 16, 32, 64, 128, 256, 512)  # where features grow, on the rows of one file
MEGABYTES = "MB peak"
LINEAR, FLAT = 0.8, 0.8  # the rest is the noise of a small measurement, and what an allocator keeps


def _record(path: str, features: int) -> None:
    """From files to the record."""
    names = data.names(features)
    record_dataset(DataConfig(path=path, features=names[0], targets=names[1]), held=())


def _predict(path: str, features: int) -> None:
    """From files to a file of predictions."""
    names = data.names(features)
    model = LinearModel(np.ones((len(names[1]), features)), np.ones(len(names[1])), np.zeros(features), *names)
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder:
        score(model, path, Path(folder) / "scored.parquet")


# What grows, each a function of a path (or glob) and a number of features.
WORK: dict[str, Callable[[str, int], None]] = {"record": _record, "predict": _predict}


def run(*, rows: int = 100_000, rounds: int = 3, widths: tuple[int, ...] = WIDTHS) -> list[Result]:
    """For each work: time and peak memory at each number of files, then at each number of features."""
    busy = load()
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder:
        sizes = _files(Path(folder), rows, widths)
        contenders = {f"{work} {size}": partial(_cost, work, *what) for work in WORK for size, what in sizes.items()}
        measured = in_turn(contenders, rounds)
    note = (
        f"{rows:,} rows x {FEATURES} features a file where files are added, float32 Parquet, read, checked and "
        f"recorded, or scored into a file, in a process each, whose whole peak memory is counted; medians of {rounds} "
        f"taken in turn; {busy}"
    )
    return [result for work in WORK for result in _results(work, measured, widths, note)]


def _files(folder: Path, rows: int, widths: tuple[int, ...]) -> dict[str, tuple[str, int]]:
    """Each size's name, with what finds its files and its number of features."""
    for i in range(max(TIMES)):
        data.parquet(folder / f"night-{i:02d}.parquet", rows, FEATURES, seed=i)
    globs = ("night-00.parquet", "night-0?.parquet", "night-*.parquet")
    out = {f"x{times}": (str(folder / glob), FEATURES) for times, glob in zip(TIMES, globs, strict=True)}
    return out | {f"F={f}": (str(data.parquet(folder / f"wide-{f}.parquet", rows, f)), f) for f in widths}


def _results(work: str, measured: Measured, widths: tuple[int, ...], note: str) -> list[Result]:
    """Against the size before it; the first of each stands alone."""
    out = []
    for times in TIMES:
        own, base = {"ours": measured[f"{work} x{times}"]}, measured[f"{work} x1"]
        linear: Measured = {} if times == 1 else {f"{times} times x1": [(times * elapsed, mb) for elapsed, mb in base]}
        flat: Measured = {} if times == 1 else {"x1": base}
        name = f"growth {work}, rows x{times}"
        out.append(less_is_better(name, "s", own | linear, dict.fromkeys(linear, LINEAR), note=note))
        out.append(less_is_better(name, MEGABYTES, own | flat, dict.fromkeys(flat, FLAT), note=note, column=1))
    for narrow, f in zip((None, *widths), widths, strict=False):
        own = {"ours": measured[f"{work} F={f}"]}
        before: Measured = {} if narrow is None else {f"F={narrow}": measured[f"{work} F={narrow}"]}
        name = f"growth {work}, F={f}"
        out.append(less_is_better(name, "s", own | before, {}, note=note))
        out.append(less_is_better(name, MEGABYTES, own | before, {}, note=note, column=1))
    return out


def _cost(work: str, path: str, features: int) -> tuple[float, float]:
    """Seconds and peak megabytes of one size, in a process of its own."""
    command = [sys.executable, "-m", "bench.growth", work, path, str(features)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(f"{command[2:]} failed:\n{process.stderr[-2000:]}")
    elapsed, megabytes = json.loads(process.stdout)
    return elapsed, megabytes


def main(work: str, path: str, features: str) -> None:
    """One size. A small file and a compiled leaf go first: nothing is compiled or imported on the clock."""
    from_rows.moments(data.rows(*data.arrays(1000, int(features))), method="R")
    with tempfile.TemporaryDirectory() as folder:
        WORK[work](str(data.parquet(Path(folder) / "small.parquet", 1000, int(features))), int(features))
    (elapsed,) = seconds(lambda: WORK[work](path, int(features)))
    print(json.dumps([elapsed, _peak()]))


def _peak() -> float:
    """This process's largest memory so far, in megabytes (1e6 bytes)."""
    try:
        text = Path("/proc/self/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):  # not Linux, where getrusage counts what the parent had before this process began
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
