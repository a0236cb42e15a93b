"""What the documents say is checked against the code: keys, commands, files, and the figures of the first run."""

import re
import tomllib
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from flows.cli.main import _parser
from flows.cli.portrait import page
from flows.tracking.registry import Version
from linreg import config_file
from linreg.config import Config, TrainConfig
from linreg.crossval import fold_count
from linreg.dataset import load
from linreg.fit import fit
from linreg.grid import members, read
from linreg.inference import infer
from linreg.moments import Moments
from linreg.objective import Objective
from linreg.ranking import Loss, fold_pairs, kfold_losses
from linreg.tutorial import check, crops, printed
from linreg.walk import theta_after

ROOT = Path(__file__).parent.parent


def keys(record, prefix=""):
    hints = get_type_hints(record)
    for f in fields(record):
        if is_dataclass(hints[f.name]):
            yield from keys(hints[f.name], f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", f.default


def documented():
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \|", (ROOT / "docs/config.md").read_text(), re.M)
    return dict(rows)


def test_the_table_of_keys_lists_every_key_and_no_other():
    assert set(documented()) == {name for name, _ in keys(Config)}


def test_the_table_of_keys_gives_the_defaults():
    for name, default in keys(Config):
        said = documented()[name]
        if default is MISSING:
            assert said == "required", name
        elif default is None:
            assert said == "none", name
        else:
            value = tomllib.loads(f"v = {said.strip('`')}")["v"]
            assert (tuple(value) if isinstance(value, list) else value) == default, name


def test_the_readme_names_every_command_and_no_other():
    commands = set(_parser()._subparsers._group_actions[0].choices)
    told = set(re.findall(r"`linreg (\w+)", (ROOT / "README.md").read_text()))
    assert told == commands


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "ARCHITECTURE.md",
        *(f"docs/{n}.md" for n in ("config", "digits", "statistics", "sweep", "training", "validation")),
    ],
)
def test_linked_files_exist(page):
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), link


def test_files_named_in_the_architecture_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = [re.sub(r"^(?=[a-z_]+\.py)", "", n) for n in re.findall(r"((?:linreg|flows)/[\w/]+(?:\.py|/))", text)]
    assert named
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_readme_prints_what_the_first_run_gives():
    config = config_file.load(ROOT / "configs/crops.toml", [f"data.path={ROOT / 'data/crops-15.csv'}"])
    fitted = fit(load(config.data).train, config.train)
    text = (ROOT / "README.md").read_text()
    assert f"loss          {fitted.train_loss[-1]:.6g}, of which {fitted.excess_loss[-1]:.4g} is above" in text
    assert f"best possible {fitted.objective.optimum_loss:.6g}" in text


def test_the_page_on_statistics_prints_what_show_prints():
    settings = [f"data.path={ROOT / 'data/crops-15.csv'}", "train.trainer=exact"]
    config = config_file.load(ROOT / "configs/crops.toml", settings)
    fitted = fit(load(config.data).train, config.train)
    version = Version("crop-yield", 1, ("champion",), "2026-11-25", None)
    tables = page(version, infer(fitted.model, fitted.objective.moments)).partition("\n\n")[2]
    assert tables in (ROOT / "docs/statistics.md").read_text()


def test_the_python_example_of_the_readme_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    example = next(b for b in blocks if "from linreg.fit import fit" in b)
    exec(example, {})
    loss, excess = map(float, capsys.readouterr().out.split()[:2])
    assert excess < 1e-9 < loss


def test_the_readme_shows_lines_of_the_tutorials_table_as_it_is():
    lines = {line.what: line for line in check.table(crops.first_table(), crops.second_table())}
    text = (ROOT / "README.md").read_text()
    shown = re.search(r"linreg\.tutorial .*?```\n.*?\n(.*?)```\n\n\((\d+) of its (\d+) lines", text, re.S)
    body = [re.split(r"\s{2,}", line) for line in shown[1].splitlines()]
    assert (len(body), len(lines)) == (int(shown[2]), int(shown[3]))
    for what, *numbers in body:
        line = lines[what]
        wanted = line.printed, line.ours, line.difference, line.allowed
        assert [float(n) for n in numbers] == pytest.approx(wanted, abs=0.01)  # float32 elsewhere rounds otherwise


def test_the_readme_says_where_the_tutorials_descent_ends():
    objective = Objective.of(Moments.of(crops.first_table().blocks(), crops.FEATURES, crops.TARGETS))
    start = np.vstack([printed.BIAS_O, printed.WEIGHT_OF.T])
    loss = objective.loss(theta_after(objective, start, learning_rate=printed.LEARNING_RATE, epochs=printed.EPOCHS))
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"the loss is {loss:.2f} where {objective.optimum_loss:.4f} is possible" in text


def test_the_config_that_ships_is_the_tutorials_run():
    config = config_file.load(ROOT / "configs/crops.toml")
    assert config.train == TrainConfig(trainer="manual", learning_rate=1e-5, epochs=1000, standardize=False)


def test_the_page_on_sweeps_prints_the_losses_that_rank_its_models():
    text = (ROOT / "docs/sweep.md").read_text()
    settings = ["train.trainer=gram", "train.standardize=true", "train.epochs=200"]
    config = config_file.load(ROOT / "configs/crops.toml", [*settings, f"data.path={ROOT / 'data/crops-15.csv'}"])
    swept = re.findall(r"--grid (train\.\S+)", text)
    models = [member.config.train for member in members(config, read(swept[:2]))]
    pairs = fold_pairs(load(config.data, folds=fold_count).folds)
    losses = {
        (m.learning_rate, m.weight_decay): loss for m, loss in zip(models, kfold_losses(pairs, models), strict=True)
    }
    rows = re.findall(r"^ +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +\S+ +\S+ +200", text, re.M)
    assert len(rows) == 11
    for rate, decay, loss, error in rows:
        found = losses[float(rate), float(decay)]
        assert isinstance(found, Loss)
        assert (found.value, found.standard_error) == pytest.approx((float(loss), float(error)), rel=1e-5)
