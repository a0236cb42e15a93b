"""What ``linreg plan`` says of k-fold validation, on its page and in its document."""

import argparse
import re
from types import SimpleNamespace

import numpy as np
import pytest

from flows.cli import plan as command
from flows.cli.pages.plan import drawing, page, shown_points
from linreg import config_file
from linreg.config import TrainConfig
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments, merge
from linreg.moments.training_record import record_rows
from linreg.selection.kfold import CrossValidation, cross_validation
from linreg.training.plan import plan
from tests.support.processes import ROOT
from tests.support.tables import X15, Y15, rows_of

CROPS = ROOT / "configs" / "crops.toml"


def records(x: np.ndarray, y: np.ndarray, fold: np.ndarray, count: int = 5) -> list[Moments]:
    """A record a fold, empty ones too."""
    header = rows_of(x, y)
    z = np.hstack([x, y])
    return [Moments.leaf(z[fold == k], header.features, header.targets) for k in range(count)]


def planned(x: np.ndarray, y: np.ndarray, **settings: object) -> tuple[str, CrossValidation]:
    folds = records(x, y, np.arange(len(x)) % 5)
    config = TrainConfig(**settings)
    validated = cross_validation(folds, config)
    assert isinstance(validated, CrossValidation)
    return page(plan(merge(folds), config), len(x), config, validated), validated


def noisy(targets: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 30))
    return x, 0.3 * x[:, :targets] + 2 * rng.normal(size=(100, targets))


def test_the_page_shows_the_errors_in_sample_out_of_sample_and_of_the_mean() -> None:
    text, validated = planned(X15, Y15)
    lines = {line[:24].strip(): line[24:].split() for line in text.splitlines()}
    assert lines["on its own rows"] == [f"{v:.4g}" for v in [validated.in_sample_rmse, *np.sqrt(validated.in_sample_O)]]
    assert lines["5-fold"][:3] == [f"{v:.4g}" for v in [validated.trained.rmse, *validated.trained.rmse_O]]
    assert lines["standard error"] == [
        f"{v:.2g}" for v in [validated.trained.rmse_standard_error, *validated.trained.rmse_standard_error_O]
    ]
    assert lines["the mean, 5-fold"][0] == f"{validated.mean.rmse:.4g}"


def test_exact_needs_no_epochs_and_no_rate() -> None:
    lines = planned(X15, Y15, trainer="exact")[0].splitlines()
    assert "epochs to 1%          0: exact is at the optimum at once" in lines
    assert next(line for line in lines if line.startswith("largest stable rate")).endswith("(exact takes no steps)")


@pytest.mark.parametrize("decay", [0.0, 0.02, 1e6])
def test_the_path_has_at_most_nine_rows_and_marks_the_config_the_best_and_the_simplest(decay: float) -> None:
    text, validated = planned(*noisy(), weight_decay=decay)
    path = validated.path
    assert "along the weight decays (o: the RMSE, dashes: one standard error each way)\n" in text
    lines = text.split("standard error\n")[-1].split("\n\n")[0].splitlines()
    assert 4 <= len(lines) <= 9
    for mark, point in {"this config": path.index(decay), "best": path.best, "largest within": path.within}.items():
        line = next(line for line in lines if f" {mark}" in line)
        assert line.split()[0] == f"{path.weight_decay_G[point]:.3g}"
        assert line.split()[2] == f"{path.rmse_G[point]:.4g}"
    assert [float(line.split()[0]) for line in lines] == sorted(float(line.split()[0]) for line in lines)


@pytest.mark.parametrize(("scaled", "columns"), [(True, "scaled"), (False, "raw")])
def test_the_condition_number_says_of_which_columns_it_is(scaled: bool, columns: str) -> None:
    text, _ = planned(X15, Y15, standardize=scaled)
    assert re.search(rf"^condition number +[\d.e+]+ of the {columns} columns$", text, re.M)


def test_a_line_break_in_a_name_does_not_break_the_page() -> None:
    x, y = noisy(targets=2)
    x[:, 3] = x[:, 4]
    names = [f"x\n{i}" for i in range(30)], ["y\n0", "y1"]
    folds = [Moments.of([np.hstack([x, y])[k::5]], *names) for k in range(5)]
    config = TrainConfig()
    text = page(plan(merge(folds), config), 100, config, cross_validation(folds, config))
    assert r"y\n0" in text
    assert r"x\n3, x\n4 determine each other" in text


def test_many_targets_are_cut_and_the_page_says_so() -> None:
    text, _ = planned(*noisy(targets=8))
    assert "(the first 6 targets)" in text
    assert max(map(len, text.split("\n\n")[1].splitlines())) < 140


def test_the_path_of_a_single_point_is_shown() -> None:
    text, validated = planned(np.ones((20, 2)), np.arange(20.0)[:, None])
    assert shown_points(validated.path, 0) == [0]
    assert "this config, best, largest within" in text


def test_errors_are_drawn_on_one_scale() -> None:
    assert [line.rstrip() for line in drawing(np.array([1.0, 3.0]), np.array([1.0, 1.0]))] == [
        "------o------",
        "            ------o------",
    ]
    assert [line.strip() for line in drawing(np.array([2.0, 2.0]), np.zeros(2))] == ["o", "o"]


def run(monkeypatch: pytest.MonkeyPatch, count: int) -> tuple[dict[str, object], str]:
    """The command on the first rows of the tutorial's table, dealt in turn."""

    def read(*_: object, **__: object) -> SimpleNamespace:
        x, y = X15[:count], Y15[:count]
        folds = [MomentsWithGaps(r, (), 0) for r in records(x, y, np.arange(count) % 5 * 2, 10)]
        dataset = SimpleNamespace(train_rows=count, empty=())
        return SimpleNamespace(record=record_rows(rows_of(x, y)), dataset=dataset, folds=folds)

    monkeypatch.setattr(command, "record_dataset", read)
    document, text = command.plan(argparse.Namespace(config=str(CROPS), settings=[]))
    assert isinstance(document, dict)
    return document, text


def test_the_findings_are_lines_of_advice_in_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    document, text = run(monkeypatch, 15)
    assert any(line.startswith("5-fold RMSE ") for line in document["advice"])
    advice = "no weight decay is needed: none lowers the 5-fold error by more than the noise of the folds"
    assert document["advice"][-1] == advice
    assert advice in text


@pytest.mark.parametrize("count", [3, 5])
def test_a_plan_for_few_rows_says_why_there_is_no_validation(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    document, text = run(monkeypatch, count)
    assert str(document["advice"][-1]).startswith(f"k-fold validation is not possible: {count} rows are too few")
    assert document["advice"][-1] in text


def test_the_document_on_validation_gives_the_error_of_regions_kept_in_one_fold() -> None:
    config = config_file.load(CROPS).train
    validated = cross_validation(records(X15, Y15, np.arange(15) % 5), config)
    assert isinstance(validated, CrossValidation)
    assert f"the 5-fold error is {validated.trained.rmse:.2f}" in (ROOT / "docs" / "validation.md").read_text()
