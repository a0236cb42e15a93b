"""What a sweep says on a terminal and in a spreadsheet, and the progress of many models."""

import csv
import io

import pytest

from flows import progress
from flows.cli.pages.sweep import page
from flows.results.outcome import Outcome
from flows.results.sweep_table import Row, as_csv, best_first, rows_of, table


def row(i: int, loss: float | None, **more) -> Row:
    error = None if loss is not None else f"train.learning_rate {i} cannot converge"
    ending = {"status": "FINISHED" if loss is not None else "FAILED", "error": error}
    values = {"train.learning_rate": float(i), "train.nesterov": bool(i % 2)}
    return Row(f"{i:032x}", f"learning_rate={i}", values=values, ranked_by="5-fold loss", loss=loss, **ending, **more)


def test_the_page_shows_twenty_models_and_says_how_many_more_there_are() -> None:
    rows = [row(i, float(1000 - i)) for i in range(1, 31)] + [row(i, None) for i in range(31, 61)]
    swept = {"runs": tuple(rows), "ranked_on": "5-fold loss on 9 training rows"}
    outcome = Outcome("kept", reason="", run_id="", model="m", trainer="gram", device="cpu", **swept)
    lines = page(outcome).splitlines()
    assert lines[0] == "60 models, best first by 5-fold loss on 9 training rows"
    assert lines[3].split() == ["30.0", "false", "970", "00000000"]
    assert sum(line.startswith("failed: ") for line in lines) == 20
    assert "... and 10 more: --json, or sweep.csv of the run, has them all" in lines
    assert lines[-1] == "... and 10 more that failed"


def test_rows_are_sorted_by_loss_the_earlier_first_and_the_failed_last() -> None:
    rows = [row(1, None), row(2, 3.0), row(3, 1.0), row(4, 1.0)]
    assert [r.values["train.learning_rate"] for r in best_first(rows)] == [3.0, 4.0, 2.0, 1.0]


def test_the_table_of_an_artifact_comes_back_as_it_was() -> None:
    rows = (row(1, 0.1 + 0.2, standard_error=1e-17, metrics={"train_loss": 1 / 3}, epochs=4), row(2, None, metrics={}))
    assert rows_of(table(rows, "by something")) == (rows, "by something")


def test_the_spreadsheet_has_every_digit_and_every_metric() -> None:
    rows = [row(1, 0.1 + 0.2, metrics={"train_loss": 1 / 3}), row(2, 2.0, metrics={"test_mse, all": 5.0}), row(3, None)]
    (first, second, third) = csv.DictReader(io.StringIO(as_csv(rows)))
    assert float(first["loss"]) == 0.1 + 0.2
    assert float(first["train_loss"]) == 1 / 3
    assert (second["test_mse, all"], second["train_loss"]) == ("5.0", "")
    assert (third["loss"], third["error"]) == ("", "train.learning_rate 3 cannot converge")


def test_the_log_counts_the_epochs_of_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    lines: list[str] = []
    with progress.progress_of_many(2, 6, lambda words, *numbers: lines.append(words % numbers)) as on_epoch:
        for model in range(2):
            for epoch in range(1, 4):
                on_epoch(model, epoch, 0.5)
    assert lines[0] == "epoch 1 of 6 of 2 models, loss 0.5"
    assert lines[-1] == "epoch 6 of 6 of 2 models, loss 0.5"
