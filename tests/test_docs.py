"""What the documents say is checked against the code: keys, commands, files, and the figures of the first run."""

import re
import shlex
import shutil
import sys
import textwrap
import tomllib
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import yaml

from flows.cli.main import _parser
from linreg import config_file
from linreg.config import Config, TrainConfig
from linreg.ingest.dataset import read_dataset
from linreg.ingest.records import record_dataset
from linreg.least_squares.objective import Objective
from linreg.moments.moments import Moments
from linreg.selection import grid
from linreg.selection.folds import FOLDS, enough
from linreg.selection.ranking import Loss, fold_pairs, kfold_losses
from linreg.training.convergence import parameters_after
from linreg.training.fit import fit
from linreg.tutorial import crops, printed_numbers
from tests.support.command import linreg
from tests.support.processes import ROOT, run


def keys(record, prefix=""):
    hints = get_type_hints(record)
    for f in fields(record):
        if is_dataclass(hints[f.name]):
            yield from keys(hints[f.name], f"{prefix}{f.name}.")
        else:
            made = f.default_factory is not MISSING
            yield f"{prefix}{f.name}", f.default_factory() if made else f.default


def test_the_table_of_keys_lists_every_key_with_its_default_and_no_other():
    documented = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", (ROOT / "docs/config.md").read_text(), re.M))
    assert set(documented) == {name for name, _ in keys(Config)}
    for name, default in keys(Config):
        if default is MISSING:
            assert documented[name] == "required", name
        elif default is None:
            assert documented[name] == "none", name
        else:
            value = tomllib.loads(f"v = {documented[name].strip('`')}")["v"]
            assert (tuple(value) if isinstance(value, list) else value) == default, name


def test_the_readme_names_every_command_and_no_other():
    commands = set(_parser()._subparsers._group_actions[0].choices)
    documented = set(re.findall(r"`linreg (\w+)", (ROOT / "README.md").read_text()))
    assert documented == commands


@pytest.mark.parametrize(
    "page", ["README.md", "ARCHITECTURE.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
)
def test_linked_files_exist(page):
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), link


def test_files_named_in_the_architecture_exist():
    named = re.findall(r"((?:linreg|flows)/[\w/]+(?:\.py|/))", (ROOT / "ARCHITECTURE.md").read_text())
    assert named
    for name in named:
        assert (ROOT / name).exists(), name


_FOLLOWED = (
    "validation",
    "training",
    "statistics",
    "config",
    "categories",
    "formulas",
    "digits",
    "registry",
    "nights",
    "drift",
)
PAGES = ["README.md", *(f"docs/{name}.md" for name in _FOLLOWED)]
_FENCE = r"(?:^|\n)```(?P<language>\w*)\n(?P<block>(?s:.*?))\n```(?=\n)"
_TYPED = r"(?P<typed>(?:(?:^|(?<=\n))    \S[^\n]*(?:\n|$)(?: {5,}[^\n]*\n)*)+)"
_REGISTRY = ("linreg show ", "linreg diff ", "linreg models ", "linreg promote ", "linreg rollback ")
_NIGHTS = ("linreg run nights.toml", "linreg runs ", "linreg predict ", "mv to-come/")
_FLATS = ("linreg run flats.toml", "linreg predict flats ")
_SALES = ("linreg run sales.toml", "linreg predict sales ")
_LISTED = (*_FLATS, *_SALES, *_REGISTRY, *_NIGHTS)
_OURS = ("linreg run configs/", *_LISTED, "linreg plan configs/", "make run", "python -m linreg.tutorial")


def pieces(page):
    """What a reader types and sees, in order: ``("typed" | "python" | "printed", text)``."""
    shown = []
    for match in re.finditer(f"{_FENCE}|{_TYPED}", (ROOT / page).read_text()):
        if match["typed"] is not None:
            lines = textwrap.dedent(match["typed"]).replace("\\\n", " ").splitlines()
            shown.append(("typed", [" ".join(line.split()) for line in lines if line.startswith(_OURS)]))
        elif match["language"] in ("", "python"):
            shown.append(("printed" if not match["language"] else "python", match["block"]))
    return shown


def run_python(*arguments):
    """What python prints, in a process of its own."""
    done = run([sys.executable, *arguments])
    assert done.returncode == 0, f"{arguments[-1]}\n{done.stderr}"
    return done.stdout


def carried_out(command):
    """What a command prints that a reader types; ``make run`` is that of the Makefile."""
    words = shlex.split(command.replace("make run", "linreg run configs/crops.toml"), comments=True)
    if words[0] == "python":
        return run_python(*words[1:])
    if words[0] == "mv":
        return shutil.move(*words[1:])
    result = linreg(*words[1:])
    assert result.status == 0, f"{command}\n{result.err}"
    return result.out


@pytest.fixture
def followed(work):
    """What follows pages word by word in a folder with data and configs: (page, what is shown, what came)."""
    shutil.copytree(ROOT / "configs", work / "configs")

    def follow(pages):
        shown = []
        for page in pages:
            came = None
            for kind, text in pieces(page):
                if kind == "typed" and text:
                    came = [carried_out(command) for command in text][-1]
                elif kind == "python":
                    came = run_python("-c", text)
                elif kind == "printed" and came is not None:
                    shown.append((page, text, came))
                    came = None
        return shown

    return follow


_NUMBER = r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?"
_CHANGING = {  # from run to run and from place to place
    r"\d+\.\d s in all": "s in all",
    r"\b[0-9a-f]{32}\b": "RUN",
    r"^[0-9a-f]{8}(?=  greenhouse )": "RUN",
    r"\d{4}-\d\d-\d\d[T ]\d\d:[\d:]+": "THEN",
    r"(?<=, by )\S+(?=: )": "WHO",
    r"(\S*/)?(\S*python\S* -m flows\.cli\.main|linreg)(?= (runs?|show|ui)\b)": "linreg",
}


def same(shown, came):
    """Whether a line is the one that came: numbers to half a percent (float32 rounds otherwise elsewhere)."""
    for pattern, name in _CHANGING.items():
        shown, came = (re.sub(pattern, name, line) for line in (shown, came))
    texts = [re.sub(_NUMBER, "#", line).split() for line in (shown, came)]
    numbers = [[float(n.replace(",", "")) for n in re.findall(_NUMBER, line)] for line in (shown, came)]
    return texts[0] == texts[1] and numbers[0] == pytest.approx(numbers[1], rel=5e-3, abs=1e-8)


NIGHTS = ["docs/nights.md", "docs/drift.md"]
OTHERS = [page for page in PAGES if page not in ("README.md", *NIGHTS)]


@pytest.mark.long
@pytest.mark.parametrize("pages", [["README.md"], OTHERS, NIGHTS])
def test_what_the_pages_show_is_what_their_commands_print(followed, pages):
    """Every line, in order; where lines are left out, a line ``...`` says so."""
    read = followed(pages)
    assert {page for page, _, _ in read} == set(pages) - {"docs/config.md", "docs/digits.md"}  # these show no output
    assert pages != OTHERS or Path("ridge-path.png").exists()
    for page, shown, came in read:
        left, gap = came.rstrip().splitlines(), False
        for line in shown.splitlines():
            if line.strip() == "...":
                gap = True
                continue
            while gap and left and not same(line, left[0]):
                left.pop(0)
            assert left, f"{page}: not printed (any more): {line}"
            assert same(line, left[0]), f"{page}: shown {line!r}, printed {left[0]!r}"
            left.pop(0)
            gap = False
        assert gap or not left, f"{page}: left out without a mark: {left[0]!r}"


def test_the_page_on_training_gives_the_losses_of_its_two_schedules():
    page = "docs/training.md"
    typed = [c for kind, text in pieces(page) if kind == "typed" for c in text if c.endswith("train.schedule=cosine")]
    (settings,) = (re.findall(r"--set (\S+)", command) for command in typed)
    for schedule, excess in re.findall(r"^\| `(\w+)` \| (0\.[\d.]+) \|$", (ROOT / page).read_text(), re.M):
        more = [f"train.schedule={schedule}", f"data.path={ROOT / 'data/crops-15.csv'}"]
        config = config_file.load(ROOT / "configs/crops.toml", [*settings, *more])
        assert fit(read_dataset(config.data).train, config.train).excess_loss[-1] == pytest.approx(
            float(excess), rel=0.01
        )


def test_every_command_with_its_config_and_every_python_block_is_found():
    shown = [(page, kind, text) for page in PAGES for kind, text in pieces(page)]
    whole = "".join((ROOT / page).read_text() for page in PAGES)
    assert sum(kind == "python" for _, kind, _ in shown) == whole.count("```python") == 10
    typed = [command for _, kind, commands in shown if kind == "typed" for command in commands]
    ours = r"^    linreg ((run|plan) (conf|nights|flats|sales)|show|diff|models|runs|predict|promote|rollback)"
    assert sum(c.startswith("linreg ") for c in typed) == len(re.findall(ours, whole, re.M))


def test_the_readme_says_where_the_tutorials_descent_ends():
    objective = Objective.of(Moments.of(crops.first_table().blocks(), crops.FEATURES, crops.TARGETS))
    start = np.vstack([printed_numbers.BIAS_O, printed_numbers.WEIGHT_OF.T])
    loss = objective.loss(parameters_after(objective, start, learning_rate=printed_numbers.LEARNING_RATE, epochs=1000))
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"the loss is {loss:.2f} where {objective.optimum_loss:.4f} is possible" in text


def test_the_page_on_schedules_types_commands_that_can_be_typed():
    text = (ROOT / "docs/schedules.md").read_text()
    typed = [shlex.split(line, comments=True) for line in re.findall(r"^    linreg (.*)$", text, re.M)]
    assert [_parser().parse_args(words).function for words in typed] == ["serve"]


def test_the_page_on_init_shows_what_it_prints_and_writes(work):  # noqa: ARG001 - a folder with the data
    page = (ROOT / "docs/init.md").read_text()
    (words,) = re.findall(r"^    linreg (init .*)$", page, re.M)
    (shown,), (written,) = (re.findall(rf"^```{language}\n(.*?)\n```$", page, re.M | re.S) for language in ("", "toml"))
    printed = linreg(*shlex.split(words)).out
    assert re.sub(r"\S*linreg(?= (plan|run))|python -m flows.cli.main", "linreg", printed) == f"{shown}\n"
    assert Path("yields.toml").read_text() == f"{written}\n"


def test_the_work_pool_trains_the_config_that_ships():
    (deployed,) = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert config_file.from_dict(deployed["parameters"]) == config_file.load(ROOT / "configs/crops.toml")


def test_the_config_that_ships_is_the_tutorials_run():
    config = config_file.load(ROOT / "configs/crops.toml")
    assert config.train == TrainConfig(trainer="manual", learning_rate=1e-5, epochs=1000, standardize=False)


def test_the_page_on_sweeps_prints_the_losses_that_rank_its_models():
    text = (ROOT / "docs/sweep.md").read_text()
    settings = ["train.trainer=gram", "train.standardize=true", "train.epochs=200"]
    config = config_file.load(ROOT / "configs/crops.toml", [*settings, f"data.path={ROOT / 'data/crops-15.csv'}"])
    swept = re.findall(r"--grid (train\.\S+)", text)
    models = [member.config.train for member in grid.members(config, grid.read(swept[:2]))]
    pairs = fold_pairs(enough(record_dataset(config.data, held=(), folds=FOLDS).folds))
    losses = {
        (m.learning_rate, m.weight_decay): loss for m, loss in zip(models, kfold_losses(pairs, models), strict=True)
    }
    rows = re.findall(r"^ +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +\S+ +\S+ +200", text, re.M)
    assert len(rows) == 11
    for rate, decay, loss, error in rows:
        computed = losses[float(rate), float(decay)]
        assert isinstance(computed, Loss)
        assert (computed.value, computed.standard_error) == pytest.approx((float(loss), float(error)), rel=1e-5)
