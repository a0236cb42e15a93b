"""Scoring any size: the model's own predictions and intervals, row by row, in order; a failure leaves nothing."""

import os
import signal
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linreg.errors import UserError
from linreg.evaluation import predict, score_files
from linreg.evaluation.score_files import score
from linreg.files import csv_pieces, parquet_stream, writer
from linreg.least_squares.inference import HalfWidths, intervals
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from tests.support.processes import PATIENCE, run, started, wait_for

WEIGHT = np.array([[0.3, -2.0, 1e-3], [4.0, 0.5, 2.0]])
MODEL = LinearModel(WEIGHT, np.array([1.5, -3.0]), np.array([10.0, -1e4, 0.5]), ("a", "b", "c"), ("y", "z"))
FILLED = replace(MODEL, fill_F=np.array([1.0, 2.0, 3.0]))
ADDED = ["predicted_y", "predicted_z"]
READ = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"c": rng.normal(size=rows), "id": np.arange(rows), "a": rng.normal(size=rows), "b": rng.normal(size=rows)}
    )


def put(rows: pd.DataFrame, path: Path) -> str:
    rows.to_csv(path, index=False) if path.suffix == ".csv" else rows.to_parquet(path, row_group_size=70)
    return str(path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, batches and row groups so small that a thousand rows make many."""
    monkeypatch.setattr(predict, "_BLOCK", 16)
    monkeypatch.setattr(score_files, "_FACTOR_BLOCK", 7)
    monkeypatch.setattr(csv_pieces, "CHUNK", 2048)
    monkeypatch.setattr(parquet_stream, "_ROWS", (100, 100))
    monkeypatch.setattr(writer, "_GROUP_ROWS", 250)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("to", READ)
@pytest.mark.parametrize("source", READ)
def test_rows_keep_their_order_and_get_the_models_predictions(tmp_path: Path, source: str, to: str) -> None:
    rows = frame(1234)
    output = tmp_path / f"out{to}"
    assert score(MODEL, put(rows, tmp_path / f"in{source}"), output) == (1234, 0)
    scored = READ[to](output)
    assert list(scored.columns) == ["a", "b", "c", *ADDED]
    np.testing.assert_allclose(scored[["a", "b", "c"]], rows[["a", "b", "c"]], rtol=1e-15)
    np.testing.assert_allclose(scored[ADDED], MODEL.predict(rows[["a", "b", "c"]]), rtol=1e-13)


def test_a_row_has_the_same_bits_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame(50_000)
    score(MODEL, put(rows, tmp_path / "in.parquet"), tmp_path / "1.parquet")
    monkeypatch.setattr(predict, "_BLOCK", 1000)
    monkeypatch.setattr(parquet_stream, "_ROWS", (77, 777))
    score(MODEL, put(rows.iloc[::-1], tmp_path / "back.parquet"), tmp_path / "2.parquet")
    one, two = (pd.read_parquet(tmp_path / n)[ADDED].to_numpy() for n in ("1.parquet", "2.parquet"))
    assert (one == two[::-1]).all()


def test_numbers_of_every_kind_are_scored_and_keep_their_types(tmp_path: Path) -> None:
    kinds = {
        "int8": pa.array([1, -2, 3], pa.int8()),
        "uint64": pa.array([2**63, 1, 0], pa.uint64()),
        "bool": pa.array([True, False, True]),
        "float": pa.array([0.1, 2.5, -1.0], pa.float32()),
        "half": pa.array([0.5, 2.5, -1.0], pa.float16()),
        "decimal": pa.array([Decimal("1.25"), Decimal(2), Decimal(0)]),
        "category": pa.array([7, 8, 7]).dictionary_encode(),
    }
    for name, values in kinds.items():
        pq.write_table(pa.table({"a": values, "b": [1, 2, 3], "c": [0.5, 1.5, 2.5]}), tmp_path / "in.parquet")
        score(MODEL, str(tmp_path / "in.parquet"), tmp_path / "out.parquet")
        scored = pq.read_table(tmp_path / "out.parquet")
        expected = values.type if name in ("int8", "uint64", "bool", "float") else None
        assert expected in (None, scored["a"].type), name
        x_NF = np.column_stack([[float(v) for v in values.to_pylist()], [1, 2, 3], [0.5, 1.5, 2.5]])
        np.testing.assert_allclose(np.column_stack([scored[c] for c in ADDED]), MODEL.predict(x_NF), rtol=1e-13)


def test_a_folder_is_scored_file_after_file_with_types_for_all(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rows = frame(30)
    put(rows[:10].astype({"a": int}), folder / "1.parquet")
    put(rows[10:20], folder / "2.csv")
    put(rows[20:].astype({"b": np.float32}), folder / "3.parquet")
    assert score(MODEL, str(folder), tmp_path / "out.parquet") == (30, 0)
    scored = pd.read_parquet(tmp_path / "out.parquet")
    assert (scored["b"].dtype, scored["a"].dtype) == (np.float64, np.float64)
    expected = rows[["a", "b", "c"]].to_numpy().copy()
    expected[:10, 0] = np.trunc(expected[:10, 0])
    np.testing.assert_allclose(scored[ADDED], MODEL.predict(expected), rtol=1e-6)


def test_gaps_are_filled_where_the_model_fills_them_and_stay_gaps_in_the_output(tmp_path: Path) -> None:
    rows = frame(500).mask(np.random.default_rng(1).uniform(size=(500, 4)) < 0.1)
    for name in ("in.csv", "in.parquet"):
        score(FILLED, put(rows, tmp_path / name), tmp_path / "out.parquet")
        scored = pd.read_parquet(tmp_path / "out.parquet")
        np.testing.assert_allclose(scored[ADDED], FILLED.predict(rows[["a", "b", "c"]]), rtol=1e-13)
        assert (scored["a"].isna() == rows["a"].isna()).all()


FAULTS = {
    "missing": (
        np.nan,
        "the value is missing (2 such in the column): fill it, or leave the row out (a model trained "
        'with data.missing = "mean" fills it)',
    ),
    "infinite": (-np.inf, "the value is infinite or beyond float64 (2 such in the column): correct or remove it"),
    "large": (1e200, "the value is too large to be squared (2 such in the column): rescale the column"),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("value", "line"), FAULTS.values(), ids=FAULTS)
def test_a_value_in_the_third_batch_is_told_with_its_row(tmp_path: Path, value: float, line: str) -> None:
    """A missing one only where that is asked for."""
    rows = frame(1000)
    rows.loc[[250, 900], "b"] = value
    output = tmp_path / "out.parquet"
    output.write_text("old\n")
    path = put(rows, tmp_path / "in.parquet")
    with pytest.raises(UserError) as caught:
        score(MODEL, path, output, strict=line.startswith("the value is missing"))
    assert str(caught.value) == f"{path}: row 251, column 'b': {line}"
    assert output.read_text() == "old\n"
    assert sorted(os.listdir(tmp_path)) == ["in.parquet", "out.parquet"]


@pytest.mark.usefixtures("small")
def test_a_value_in_a_csv_is_told_with_its_line_and_text(tmp_path: Path) -> None:
    lines = ["a,b,c", *["1,2,3"] * 900, "", "1, inf ,3", *["1,2,3"] * 99]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match="line 903, column 'b': the value ' inf ' is infinite"):
        score(MODEL, str(tmp_path / "in.csv"), tmp_path / "out.csv")
    assert os.listdir(tmp_path) == ["in.csv"]


def test_an_infinite_value_is_refused_where_gaps_are_filled_too(tmp_path: Path) -> None:
    for value, line in ((np.inf, "row 2, column 'c': the value is infinite"), (1e151, "too large to be squared")):
        rows = pd.DataFrame({"a": [1.0, np.nan], "b": [np.nan, 2.0], "c": [3.0, value]})
        with pytest.raises(UserError, match=line):
            score(FILLED, put(rows, tmp_path / "in.parquet"), tmp_path / "out.parquet")


def test_predictions_beyond_float64_are_no_fault_of_the_rows(tmp_path: Path) -> None:
    steep = LinearModel(np.array([[1e200]]), np.zeros(1), np.zeros(1), ("a",), ("y",))
    score(steep, put(pd.DataFrame({"a": [1.0, 1e120]}), tmp_path / "in.parquet"), tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["predicted_y"].tolist() == [1e200, np.inf]


@pytest.fixture(scope="module")
def record() -> tuple[LinearModel, Moments]:
    """A model at the optimum of some rows, and their record."""
    rng = np.random.default_rng(5)
    x_NF = rng.normal([10, -1e4, 0.5], [1, 30, 2], (80, 3))
    y_NO = MODEL.predict(x_NF) + rng.normal(size=(80, 2))
    moments = Moments.of([np.hstack([x_NF, y_NO])], MODEL.features, MODEL.targets)
    s = moments.solve()
    return LinearModel(s.weight_OF, s.bias_O, s.mean_F, MODEL.features, MODEL.targets), moments


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["prediction", "confidence"])
@pytest.mark.parametrize("level", [0.5, 0.99])
def test_intervals_are_those_of_inference(tmp_path: Path, record, kind, level: float) -> None:  # type: ignore[no-untyped-def]
    model, moments = record
    rows = frame(333)
    half_widths = HalfWidths.of(model, moments, kind=kind, level=level)
    score(model, put(rows, tmp_path / "in.parquet"), tmp_path / "out.csv", half_widths=half_widths)
    scored = pd.read_csv(tmp_path / "out.csv")
    ends = [f"{k}_{t}" for t in "yz" for k in ("predicted", "low", "high")]
    assert list(scored.columns) == ["a", "b", "c", *ends]
    low_NO, high_NO = intervals(model, moments, rows[["a", "b", "c"]].to_numpy(), kind=kind, level=level)
    np.testing.assert_allclose(scored[["low_y", "low_z"]], low_NO, rtol=1e-12)
    np.testing.assert_allclose(scored[["high_y", "high_z"]], high_NO, rtol=1e-12)


@pytest.mark.parametrize("suffix", READ)
def test_a_row_with_a_gap_has_no_prediction_and_one_that_is_filled_no_interval(tmp_path: Path, record, suffix) -> None:  # type: ignore[no-untyped-def]
    model, moments = record
    rows = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, np.nan, 2.0], "c": [1.0, 2.0, 3.0]})
    path, output = put(rows, tmp_path / "in.parquet"), tmp_path / f"out{suffix}"
    assert score(model, path, output) == (3, 1)
    scored = READ[suffix](output)
    assert scored["predicted_y"].isna().tolist() == [False, True, False]
    np.testing.assert_allclose(scored[ADDED].dropna(), model.predict(rows.dropna()), rtol=1e-13)
    filled = replace(model, fill_F=model.mean_F)
    half_widths = HalfWidths.of(filled, moments, kind="prediction")
    assert score(filled, path, output, half_widths=half_widths) == (3, 0)
    assert READ[suffix](output).isna().sum()[["predicted_y", "low_y", "high_y", "b"]].tolist() == [0, 1, 1, 1]
    with pytest.raises(UserError, match="row 2, column 'b': the value is missing: an interval needs all of a row's"):
        score(filled, path, output, half_widths=half_widths, strict=True)


def test_progress_is_told_of_all_rows(tmp_path: Path) -> None:
    progress: list[int | None] = []

    def watch(total: int | None):  # type: ignore[no-untyped-def]
        progress.append(total)
        return progress.append

    put(frame(200_000), tmp_path / "in.parquet")
    score(MODEL, str(tmp_path / "in.parquet"), tmp_path / "out.parquet", watch=watch)
    assert progress[0] == sum(progress[1:]) == 200_000  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["x.csv", "./x.csv", "link.csv", "hard.csv", "folder/../x.csv", "{absolute}/x.csv"])
@pytest.mark.parametrize("source", ["x.csv", "{absolute}/x.csv", "file://{absolute}/x.csv", "x.*", "link.csv"])
def test_an_output_that_is_the_input_is_refused_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    put(frame(5), Path("x.csv"))
    before = Path("x.csv").read_bytes()
    Path("link.csv").symlink_to("x.csv")
    os.link("x.csv", "hard.csv")
    Path("folder").mkdir()
    source, name = (text.format(absolute=tmp_path) for text in (source, name))
    with pytest.raises(UserError, match=f"output {os.path.normpath(name) if '..' not in name else name} is the same"):
        score(MODEL, source, Path(name))
    assert Path("x.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("in", "in/out.csv"),  # not there yet: the next run would read it
        ("in", "in/sub/out.csv"),
        ("in", "elsewhere/out.csv"),  # behind a link
        ("file://{absolute}/in", "in/out.csv"),
        ("in/*.csv", "in/out.csv"),
        ("in/*", "in/out.parquet"),
        ("i?/**", "in/sub/out.csv"),
        ("**/*.csv", "elsewhere/out.csv"),
        ("in/sub/../*.csv", "{absolute}/in/out.csv"),
    ],
)
def test_an_output_that_the_next_run_would_score_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in/sub").mkdir(parents=True)
    Path("elsewhere").mkdir()
    put(frame(5), Path("in/a.csv"))
    put(frame(5), Path("elsewhere/a.csv"))
    Path("in/links").symlink_to(tmp_path / "elsewhere")
    source, to, of_folders = source.format(absolute=tmp_path), Path(output.format(absolute=tmp_path)), list[str]()
    with pytest.raises(UserError, match="lies among the files of"):
        score(MODEL, source, to, tell=of_folders.append)
    assert {p.name for p in tmp_path.rglob("*.*")} == {"a.csv"}
    for source, output in (("in/*.csv", "in/out.parquet"), ("in/*.csv", "in/sub/out.csv"), ("in", "out.csv")):
        assert score(MODEL, source, Path(output)).rows in (5, 10)
        Path(output).unlink()


@pytest.mark.parametrize("name", ["x" * 300 + ".csv", "\udcff.csv"])
def test_a_name_that_no_file_can_have_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"cannot be written|is no UTF-8"):
        score(MODEL, put(frame(5), tmp_path / "in.csv"), tmp_path / name)


def test_a_level_without_an_end_is_refused(record) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="has no end"):
        HalfWidths.of(*record, kind="prediction", level=1 - 2**-53)


def test_a_feature_and_a_prediction_of_one_name_are_refused(tmp_path: Path) -> None:
    stacked = LinearModel(np.ones((1, 1)), np.zeros(1), np.zeros(1), ("predicted_y",), ("y",))
    source = put(pd.DataFrame({"predicted_y": [1.0, 2.0]}), tmp_path / "in.csv")
    with pytest.raises(UserError, match="two columns 'predicted_y'"):
        score(stacked, source, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_link_stays_a_link_and_a_replaced_file_keeps_who_may_read_it(tmp_path: Path) -> None:
    source, real, link = put(frame(5), tmp_path / "in.csv"), tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    score(MODEL, source, link)
    assert link.is_symlink()
    assert len(pd.read_csv(real)) == 5
    assert real.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("small")
def test_row_groups_are_of_a_size_whatever_the_batches(tmp_path: Path) -> None:
    score(MODEL, put(frame(1000), tmp_path / "in.parquet"), tmp_path / "out.parquet")
    meta = pq.ParquetFile(tmp_path / "out.parquet").metadata
    assert {meta.row_group(i).num_rows for i in range(meta.num_row_groups - 1)} == {300}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = writer._WRITERS[".csv"]
    monkeypatch.setitem(writer._WRITERS, ".csv", lambda _path, schema: real("/dev/full", schema))
    with pytest.raises(UserError, match=r"out.csv cannot be written .*No space left.*: free or choose another place"):
        score(MODEL, put(frame(100_000), tmp_path / "in.parquet"), tmp_path / "out.csv")
    assert os.listdir(tmp_path) == ["in.parquet"]


RUN = """
import gc, resource, sys
from pathlib import Path
from tests.evaluation.test_score_files import MODEL
from linreg.evaluation.score_files import score
gc.set_threshold(50_000)  # as the command does
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = score(MODEL, sys.argv[1], Path(sys.argv[2])).rows
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""
HELD = """
import sys, threading
from pathlib import Path
from tests.evaluation.test_score_files import MODEL, PATIENCE, wait_for
from linreg.evaluation.score_files import score
output, done = Path(sys.argv[2]), 0
def advance(rows):
    global done
    done += rows
    if done > 100_000:  # with most of the file to come, and some of it on the disk
        wait_for(lambda: any(p.stat().st_size > 1_000_000 for p in output.parent.glob(".out-*/out.csv")))
        print("held", flush=True)
        threading.Event().wait(PATIENCE)
score(MODEL, sys.argv[1], output, watch=lambda total: advance)
"""


def command(code: str, source: Path, output: Path) -> list[object]:
    return [sys.executable, "-c", code, source, output]


def large(path: Path, rows: int) -> Path:
    random = np.random.default_rng(0)
    pq.write_table(pa.table({c: random.normal(size=rows) for c in "abc"}), path, row_group_size=rows)
    return path


def test_memory_stays_flat_from_end_to_end(tmp_path: Path) -> None:
    peaks = []
    for rows in (500_000, 5_000_000):
        source = large(tmp_path / "in.parquet", rows)
        scored, peak = map(int, run(command(RUN, source, tmp_path / "out.parquet"), check=True).stdout.split())
        assert scored == rows
        peaks.append(peak / 1024)
    assert peaks[1] < peaks[0] + 60, peaks  # MiB; the larger file is 120 MB, and its output 200 MB


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_kill_in_the_middle_leaves_the_old_output(tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "out.csv"
    output.write_text("old\n")
    log = tmp_path / "log"
    with started(command(HELD, large(tmp_path / "in.parquet", 1_000_000), output), log=log) as process:
        wait_for(lambda: "held" in log.read_text(), process, log)
        process.send_signal(number)
        assert process.wait(PATIENCE) != 0
    assert output.read_text() == "old\n"
    if number == signal.SIGINT:
        assert sorted(os.listdir(tmp_path)) == ["in.parquet", "log", "out.csv"]
