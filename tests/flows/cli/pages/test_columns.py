"""Every page at every width: columns stand apart, names that differ look different, and nothing else than text comes.

How wide a text is says rich, which has tables of its own of what a terminal shows.
"""

import fcntl
import os
import pty
import re
import struct
import sys
import termios

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

from flows.cli.pages import diff, models, plan, predict, run, runs, show, sweep
from flows.cli.pages.columns import grid, letters, page_width, shortened, wrapped
from flows.results.outcome import Outcome
from flows.results.sweep_table import Row
from flows.tracking.registry import Version
from linreg.config import TrainConfig
from linreg.least_squares.difference import Fitted, Penalty, difference
from linreg.least_squares.inference import infer
from linreg.least_squares.objective import Objective
from linreg.moments.moments import Moments, merge
from linreg.selection.kfold import cross_validation
from linreg.training import plan as training
from tests.support.processes import environment, started

WIDTHS = (40, 60, 80, 120, 200)
LONG = "the_mean_temperature_measured_in_the_hall_by_sensor_{}_in_degrees_centigrade_over_the_last_hour"
FEATURES = (
    *(LONG.format(n) for n in (1, 2, 12, "north", "south")),
    *("温度の平均値は毎日三回測定して記録されています" * 2, "é" * 30 + "e\u0301" * 30, "tab\tbreak\n\x1b[31m red"),
    *("intercept", "R2, training rows", "x"),
)
TARGETS = (LONG.format("yield_1"), LONG.format("yield_2"), "収穫量")
NAMES = [*FEATURES, *TARGETS]


@pytest.fixture(params=WIDTHS)
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def records(rows=120, folds=5):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, len(FEATURES)))
    y = x @ rng.normal(size=(len(FEATURES), len(TARGETS))) + rng.normal(size=(rows, len(TARGETS)))
    z = np.hstack([x, y])
    return [Moments.of([z[k::folds]], FEATURES, TARGETS) for k in range(folds)], z


FOLDS, ROWS = records()
MOMENTS = merge(FOLDS)
MODEL = Objective.of(MOMENTS).model(Objective.of(MOMENTS).optimum_DO)
METRICS = {"train_loss": 1.25, "excess_loss": 0.5, "optimum_loss": 0.75, "condition_number": 3.5} | {
    f"{prefix}{name}": 1.5
    for prefix in ("test_", "baseline.mean.test_", "baseline.exact.test_", "baseline.champion.test_")
    for name in ("rmse", "r2", *(f"rmse.{t}" for t in TARGETS))
}
DATA = {"rows": 1000, "train_rows": 800, "test_rows": 200, "partitions": 2, "digest": "ab" * 16}
MODEL_NAME = "a-model-with-quite-a-long-name-as-people-give-them-in-{}"
VERSIONS = [
    Version(MODEL_NAME.format(place), n, ("champion",), "2026-11-28T15:06:28.000+00:00", "dc" * 16, metrics=METRICS,
            data=DATA, trainer="exact", facts={"judged_on": "200 test rows"}, targets=TARGETS)
    for n, place in enumerate(("Spain", "Chile"), start=1)
]  # fmt: skip
OUTCOME = Outcome("kept", f"kept version 1: {LONG} is worse", "dc" * 16, MODEL_NAME, "exact", "cpu", metrics=METRICS,
                  data=DATA, notes=("drift: " + LONG,), judged_on="200 test rows", version=2)  # fmt: skip
GRID_ROWS = tuple(
    Row("dc" * 16, f"rate={rate}", "FINISHED", {"train.learning_rate": rate, "train.weight_decay": 1e-5}, "5-fold loss",
        1.25, 0.125, 100, METRICS)
    for rate in (0.001, 0.12345678)
)  # fmt: skip


def shown(inferred=MODEL):
    return show.page(VERSIONS[0], infer(inferred, MOMENTS), spreads=dict.fromkeys(FEATURES, 1.0))


def planned():
    config = TrainConfig(trainer="gram")
    validated = cross_validation(FOLDS, config)
    return plan.page(training.plan(MOMENTS, config), len(ROWS), config, validated)


def predicted(tmp_path):
    frame = pd.DataFrame(ROWS, columns=[*FEATURES, *(f"predicted_{t}" for t in TARGETS)])
    frame.to_parquet(tmp_path / "scored.parquet")
    return "\n".join(predict.preview(tmp_path / "scored.parquet", FEATURES, TARGETS, len(frame)))


def listed():
    row = {"run_id": "dc" * 16, "status": "FINISHED", "decision": "kept", "drift": "warn", "metrics": METRICS}
    words = {"judged_on": "200 test rows", "reason": "", "drift_why": LONG, "nested": False}
    rows = [row | words | {"name": f"{MODEL_NAME} {second}"} for second in ("15:06:28", "15:06:29")]
    return runs.page(rows, {}, [f"experiment '{LONG}' was deleted: restore it with `mlflow experiments restore -x 1`"])


def compared():
    objective = Objective.of(MOMENTS)
    fitted = [Fitted(objective.model(objective.optimum_DO + shift), MOMENTS, Penalty()) for shift in (0, 1)]
    moves, side = difference(*fitted, shared="same", reasons=()), {"promoted": []}
    columns = {"features": [LONG.format(n) for n in "ab"], "targets": [LONG.format("c")]}
    config = {"data.features": {"before": ", ".join(FEATURES), "after": None}}
    words = {"verdict": diff.verdict(moves, *VERSIONS, same_rows=True), "notes": [LONG]}
    parts = {"before": side, "after": side, "stopped": {"before": 0.0, "after": 7.5}, "config": config}
    return diff.page(words | parts | {"added": columns, "removed": columns}, moves, *VERSIONS)


HISTORY = [{"when": "2026-11-28T15:06:28", "action": "promote", "from": None, "to": 1, "who": "me\n", "why": LONG}]
PAGES = {
    "show": lambda _: shown(),
    "show without errors": lambda _: shown(Objective.of(MOMENTS).model(Objective.of(MOMENTS).optimum_DO + 1)),
    "plan": lambda _: planned(),
    "run": lambda _: run.summary(OUTCOME, "c.toml"),
    "sweep": lambda _: sweep.page(Outcome(**vars(OUTCOME) | {"runs": GRID_ROWS, "ranked_on": "5-fold loss"})),
    "diff": lambda _: compared(),
    "models": lambda _: models.page(VERSIONS, {v.name: HISTORY for v in VERSIONS}),
    "runs": lambda _: listed(),
    "predict": predicted,
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_its_terminal_and_holds_nothing_that_moves_the_cursor(width, tmp_path, page):
    for line in PAGES[page](tmp_path).splitlines():
        assert cell_len(line) <= width or "`" in line or "linreg " in line or "--set " in line, line  # commands
        assert line.isprintable()


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("page", ["show", "show without errors"])
def test_a_feature_may_be_called_as_a_row_of_the_page(page):
    titles = [re.split(r"\s{2,}", line.strip())[0] for line in PAGES[page](None).splitlines()]
    tables = len([title for title in titles if title == "intercept"])
    assert tables == len([title for title in titles if title == "(intercept)"]) > 0
    if page == "show without errors":
        assert titles.count("R2, training rows") == titles.count("(R2, training rows)") == tables


def test_columns_stand_apart_names_stay_distinct_and_numbers_whole(width):
    head = ["", *TARGETS, "judged on", "R2"]
    rows = [[n, "1.2345e-12", f"{i}", "-123456.7", "1,456 test rows of 37 files", "0.5"] for i, n in enumerate(NAMES)]
    blocks = [block.splitlines() for block in grid(head, rows, indent="  ").split("\n\n")]
    titles, cells = [], []
    for block in blocks:
        assert all(cell_len(line) <= width for line in block)
        first = {re.split(r" {2,}", line[2:])[0] for line in block[1:]}
        assert len(first) == len(NAMES)
        separate = [all(column_of(line, c) == " " for line in block) for c in range(2, width)]
        columns = "".join("_" if gap else "x" for gap in separate)
        parts = [m.span() for m in re.finditer(r"x+(?:_x+)*", columns)]
        titles += [part_of(block[0], *span) for span in parts[1:]]
        cells += [[part_of(line, *span) for line in block[1:]] for span in parts[1:]]
    assert len(titles) == len(set(titles)) == len(head) - 1
    for column, expected in zip(cells, list(zip(*rows, strict=True))[1:], strict=True):
        assert column == list(expected) or "…" in column[0]
    assert cells[0][0] == "1.2345e-12"


def column_of(line, place):
    """What stands in a column of the terminal."""
    at = 0
    for letter in line:
        at += cell_len(letter)
        if at > place:
            return letter
    return " "


def part_of(line, start, end):
    places = np.cumsum([0, *(cell_len(letter) for letter in line)])
    return "".join(letter for letter, at in zip(line, places, strict=False) if start + 2 <= at < end + 2).strip()


@pytest.mark.parametrize("most", [12, 17, 28, 60])
def test_shortened_names_fit_differ_and_keep_their_beginning(most):
    texts = shortened(NAMES, most)
    assert len(set(texts)) == len(NAMES)
    assert max(map(cell_len, texts)) <= most
    assert all(text[0] == name[0] for text, name in zip(texts, NAMES, strict=True))
    assert shortened(["x" * 60, "x" * 60], most)[0] == shortened(["x" * 60], most)[0]  # one name twice is one name
    assert not any(re.search("…\u0301", text) for text in texts)  # a mark stays with its letter


@pytest.mark.parametrize("text", [*NAMES, "한국어", "👍", "ก็ได้", "\u202eabc", "a\u00a0b"])
def test_letters_are_columns_of_a_terminal(text):
    visible = text if text.isprintable() else shortened([text], 200)[0]
    assert letters(visible) == cell_len(visible)


def test_a_command_in_a_text_is_not_broken_and_no_word_is_lost(width):
    text = f"kept: {LONG} is worse; `linreg promote m/2` puts it in use, " + "and so on " * 20
    lines = wrapped(text).splitlines()
    assert any("`linreg promote m/2`" in line for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(map(cell_len, lines)) <= min(width, 100)


def test_the_width_is_the_terminals_and_of_a_pipe_the_widest(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert (page_width(), page_width(100)) == (200, 100)
    for columns, expected in (("39", 40), ("57", 57), ("500", 200), ("", 100), ("wide", 100), ("0", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        assert page_width(100) == expected
    code = "import sys; from flows.cli import main; from flows.cli.pages.columns import page_width\n"
    code += "with main._stdout_apart() as out: out.write(str(page_width(7)))"
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 57, 0, 0))
        with started([sys.executable, "-c", code], env=environment(), stdout=theirs, stderr=None) as process:
            assert process.wait(60) == 0
        assert os.read(ours, 100) == b"57"
    finally:
        os.close(ours)
        os.close(theirs)
