"""Configs: every key from TOML and ``--set``, what is refused and how, and the way back to TOML."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linreg import config_file
from linreg.config import Config, TrainConfig, check_model_name
from linreg.data_config import DataConfig
from linreg.errors import ServerAway, UserError, nearest
from linreg.judging_config import MEASURES, WARN, DriftConfig, GateConfig
from tests.support import files
from tests.support.processes import ROOT

BASE = 'model = "m"\n[data]\npath = "d.csv"\nfeatures = ["a", "b"]\ntargets = ["apples", "kg.ha"]\n'
OTHER = {  # another valid value of every key, as --set takes it, and what it then is
    "model": ("fruit", "fruit"),
    "experiment": ("night", "night"),
    "data.path": ("x/*.csv", "x/*.csv"),
    "data.features": ('["c", "d"]', ("c", "d")),
    "data.targets": ("y", ("y",)),
    "data.formula": ("", ""),
    "data.categorical": ("b,c", ("b", "c")),
    "data.levels": ("{}", {}),
    "data.unseen": ("base", "base"),
    "data.key": ("id,day", ("id", "day")),
    "data.test_fraction": ("0.25", 0.25),
    "data.split_seed": ("7", 7),
    "data.validation_fraction": ("0.1", 0.1),
    "data.missing": ("mean", "mean"),
    "data.weight": ("n", "n"),
    "data.window": ("30", 30),
    "data.window_by": ("day", "day"),
    "data.raw_files": ("true", True),
    "train.trainer": ("gram", "gram"),
    "train.learning_rate": ("1e-5", 1e-5),
    "train.epochs": ("1_000_000", 1_000_000),
    "train.batch_size": ("32", 32),
    "train.shuffle": ("false", False),
    "train.standardize": ("false", False),
    "train.seed": ("9", 9),
    "train.dtype": ("float64", "float64"),
    "train.device": ("cuda:1", "cuda:1"),
    "train.momentum": ("0.9", 0.9),
    "train.dampening": ("0.5", 0.5),
    "train.nesterov": ("true", True),
    "train.weight_decay": ("1", 1.0),
    "train.l1": ("0.5", 0.5),
    "train.schedule": ("cosine", "cosine"),
    "train.step_size": ("10", 10),
    "train.gamma": ("0.5", 0.5),
    "train.eta_min": ("1e-4", 1e-4),
    "train.tolerance": ("1e-3", 1e-3),
    "train.patience": ("5", 5),
    "train.warm_start": ("m@champion", "m@champion"),
    "train.force": ("true", True),
    "gate.max_rmse": ("20", 20.0),
    "gate.min_r2": ("-0.5", -0.5),
    "gate.rule": ("not_worse", "not_worse"),
    "gate.margin": ("0.01", 0.01),
    "drift.warn": ("8", 8.0),
    "drift.stop": ("{bias = 20}", {"bias": 20.0}),
    "engine.kind": ("local", "local"),
    "engine.cache": ("elsewhere", "elsewhere"),
    "engine.cache_gb": ("0.5", 0.5),
    "engine.verify": ("true", True),
}


@pytest.fixture
def write(tmp_path: Path):
    return lambda text: files.write(tmp_path / "c.toml", text)


def minimal() -> Config:
    return Config(model="m", data=DataConfig(path="d.csv", features=("a", "b"), targets=("apples", "kg.ha")))


def test_what_is_not_said_has_its_default_which_comes_back_from_its_own_toml(write) -> None:
    assert config_file.load(write(BASE)) == config_file.load(write(config_file.to_toml(minimal()))) == minimal()


def test_a_rate_and_a_tolerance_are_numbers_or_auto_and_a_tolerance_that_is_not_said_goes_with_the_rate(write) -> None:
    def train(*settings: str) -> TrainConfig:
        config = config_file.load(write(BASE), settings)
        assert config_file.load(write(config_file.to_toml(config))) == config
        return config.train

    assert (train().learning_rate, train().tolerance) == ("auto", "auto")
    assert train("train.learning_rate=0.3").tolerance == 0.0
    assert train("train.learning_rate=auto", "train.tolerance=0").tolerance == 0.0
    assert train("train.learning_rate=0.3", 'train.tolerance="auto"').tolerance == "auto"
    with pytest.raises(UserError, match=r"tolerance must be a number or .auto., not .fine."):
        train("train.tolerance=fine")


def test_the_table_of_keys_in_this_file_is_complete() -> None:
    assert set(OTHER) == set(minimal().flat())
    sections = {"data", "train", "gate", "drift", "engine"}
    assert {f.name for f in fields(Config)} == {"model", "experiment", *sections}


@pytest.mark.parametrize("key", OTHER)
def test_every_key_is_reached_by_set_and_parsed_by_its_type(write, key: str) -> None:
    text, wanted = OTHER[key]
    needed = ["train.momentum=0.9"] if key == "train.nesterov" else []
    config = config_file.load(write(BASE), [*needed, f"{key}={text}"])
    value = config.flat()[key]
    assert (value, type(value)) == (wanted, type(wanted))
    beside = {key, "train.momentum"} | ({"train.tolerance"} if key == "train.learning_rate" else set())
    others = {k: v for k, v in config.flat().items() if k not in beside}
    assert others == {k: v for k, v in minimal().flat().items() if k in others}


@pytest.mark.parametrize("role", ["features", "key"])
def test_a_column_named_like_one_of_predicts_is_refused_before_anything_is_read(role: str) -> None:
    column = "predicted_y"
    columns = {"features": ("a",), "key": (), "targets": ("y",)}
    with pytest.raises(UserError, match=rf"data.{role} names \['{column}'\], which `linreg predict` calls a column"):
        DataConfig(path="x.csv", **{**columns, role: ("a", column) if role == "features" else (column,)})
    assert DataConfig(path="x.csv", features=("predicted_z", "low_y"), targets=("y",)).targets == ("y",)


ODD = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=12)
MODEL = ODD.filter(lambda s: s.strip() and not set(s) & set("/:@"))


@settings(max_examples=150, deadline=None)
@given(
    model=MODEL,
    experiment=ODD.filter(str.strip),
    path=ODD.filter(str.strip),
    columns=st.lists(ODD, min_size=2, max_size=4, unique=True),
    rate=st.floats(1e-300, 1e38),
    limit=st.floats(allow_nan=False, allow_infinity=False),
    seed=st.integers(0, 2**63 - 1),
    standardize=st.booleans(),
)
def test_any_config_with_any_texts_comes_back_from_its_toml(
    tmp_path_factory, model, experiment, path, columns, rate, limit, seed, standardize
) -> None:
    features, target = tuple(columns[:-1]), columns[-1]
    config = Config(
        model=model,
        experiment=experiment,
        data=DataConfig(path=path, features=features, targets=(target,), key=features),
        train=TrainConfig(learning_rate=rate, seed=seed, standardize=standardize),
        gate=GateConfig(max_rmse={target: limit} if target != "*" else limit, min_r2=limit),
        drift=DriftConfig(warn=abs(limit), stop={"*": abs(limit), "range": rate}),
    )
    file = files.write(tmp_path_factory.mktemp("round") / "c.toml", config_file.to_toml(config))
    assert config_file.load(file) == config
    assert config_file.from_dict(config_file.to_dict(config)) == config


@pytest.mark.parametrize(
    "text",
    ['say "x"', "back\\slash", "naïve 价格 🍎", "a.b.c", "tab\there", "line\nbreak", "#no comment", "'", "[x]", "a=b"],
)
def test_odd_texts_are_taken_by_set_as_they_stand(write, text: str) -> None:
    assert config_file.load(write(BASE), [f"data.path={text}"]).data.path == text.strip()


def test_lists_are_taken_as_toml_or_as_words_with_commas(write) -> None:
    for text in ('["x", "y, z"]', '[ "x","y, z", ]'):
        assert config_file.load(write(BASE), [f"data.features={text}"]).data.features == ("x", "y, z")
    assert config_file.load(write(BASE), ["data.features= x , y"]).data.features == ("x", "y")
    assert config_file.load(write(BASE), ['data.features="x, y"']).data.features == ("x, y",)
    assert config_file.load(write(BASE), ["data.features=2024,2025"]).data.features == ("2024", "2025")
    assert config_file.load(write(BASE), ["data.features=2024"]).data.features == ("2024",)


def test_the_last_of_two_settings_wins_and_the_file_is_overridden(write) -> None:
    config = config_file.load(write(BASE + "[train]\nepochs = 5\n"), ["train.epochs=6", "train.epochs=7"])
    assert config.train.epochs == 7


LIMITS = {"max_rmse": 5.0, "max_rmse.apples": 3.0}


@pytest.mark.parametrize(
    "gate",
    [
        '[gate]\nmax_rmse = 5\n"max_rmse.apples" = 3\n',
        '[gate]\n"max_rmse.apples" = 3\nmax_rmse = 5.0\n',
        '[gate.max_rmse]\n"*" = 5\napples = 3\n',
        '[gate]\nmax_rmse = {"*" = 5, apples = 3}\n',
        '[gate]\nmax_rmse.apples = 3\n"max_rmse.*" = 5\n',
    ],
)
def test_a_targets_own_limit_stands_beside_the_one_for_all_however_it_is_written(write, gate: str) -> None:
    assert config_file.load(write(BASE + gate)).gate.limits() == LIMITS


def test_a_targets_own_limit_is_reached_by_set_and_wins_over_the_file(write) -> None:
    def limits(gate: str, *sets: str) -> dict[str, float]:
        return config_file.load(write(BASE + gate), sets).gate.limits()

    assert limits("", "gate.max_rmse.apples=3", "gate.max_rmse=5") == LIMITS
    assert limits("[gate]\nmax_rmse = 5\n", "gate.max_rmse.apples=3") == LIMITS
    assert limits('[gate]\nmax_rmse = 5\n"max_rmse.apples" = 9\n', "gate.max_rmse.apples=3") == LIMITS
    assert limits('[gate]\nmax_rmse = 9\n"max_rmse.apples" = 3\n', "gate.max_rmse=5") == LIMITS
    assert limits("", "gate.max_rmse.kg.ha=3") == {"max_rmse.kg.ha": 3.0}
    assert limits('[gate]\n"max_rmse.kg.ha" = 3\n') == {"max_rmse.kg.ha": 3.0}


def test_a_measures_own_limit_of_drift_stands_beside_the_one_for_all_and_0_is_off(write) -> None:
    def limits(drift: str, *sets: str, name: str = "warn") -> dict[str, float]:
        return config_file.load(write(BASE + drift), sets).drift.limits(name)

    counted = dict.fromkeys(MEASURES[:-1], 9.0)
    assert limits("") == WARN
    assert limits("", name="stop") == {}
    assert limits("", "drift.warn=9") == counted | {"range": WARN["range"]}
    assert limits("", "drift.warn=9", "drift.warn.range=2") == counted | {"range": 2.0}
    assert limits("[drift]\nwarn = 9\nstop = 9\n", name="stop") == counted
    assert limits("", "drift.warn.bias=20") == WARN | {"bias": 20.0}
    assert limits('[drift]\n"warn.bias" = 20\n') == WARN | {"bias": 20.0}
    assert limits("[drift.warn]\nbias = 9\n", "drift.warn.bias=20") == WARN | {"bias": 20.0}
    assert limits("", "drift.warn.range=0") == {k: v for k, v in WARN.items() if k != "range"}
    assert limits("", "drift.warn=0") == {}
    assert limits("[drift]\nwarn = 0\n", "drift.warn.mean=3") == {"mean": 3.0}
    assert limits("[drift]\nstop = {bias = 20, range = 3}\n", name="stop") == {"bias": 20.0, "range": 3.0}


REFUSED = {  # what stands under BASE, whose last section is [data]
    "test_fraction = 1": "data.test_fraction must be at least 0 and below 1, not 1.0",
    "test_fraction = -0.1": "data.test_fraction must be at least 0 and below 1, not -0.1",
    "test_fraction = nan": "data.test_fraction must be at least 0 and below 1, not nan",
    "validation_fraction = true": "data.validation_fraction must be a number, not True",
    'missing = "median"': "data.missing 'median' is unknown",
    'weight = "a"': "data.weight 'a' is a feature or a target too",
    "weight = 1": "data.weight must be a text, not 1",
    "split_seed = 0.5": "data.split_seed must be a whole number, not 0.5",
    "[train]\nepoch = 5": "unknown key 'train.epoch' (did you mean 'epochs'?)",
    "[train]\nLearning_Rate = 5": "unknown key 'train.Learning_Rate' (did you mean 'learning_rate'?)",
    "[trian]\nepochs = 5": "unknown key 'trian' (did you mean 'train'?)",
    "[train.epochs]\nx = 5": "train.epochs must be a whole number, not {'x': 5}",
    "[gate]\nmax_rsme = 5": "unknown key 'gate.max_rsme' (did you mean 'max_rmse'?)",
    '[gate]\n"max_rsme.apples" = 5': "unknown key 'gate.max_rsme' (did you mean 'max_rmse'?)",
    '[gate]\n"max_rmse.apple" = 5': "gate.max_rmse.apple names no target of data.targets (did you mean 'apples'?)",
    '[gate]\n"max_rmse." = 5': "gate.max_rmse. names no target of data.targets",
    '[gate]\n"margin.apples" = 5': "gate.margin must be a number",
    "[gate]\nmax_rmse.apples = true": "gate.max_rmse.apples must be a number, not True",
    "[gate]\nmax_rmse = true": "gate.max_rmse must be a number, not True",
    "[gate]\nmax_rmse = nan": "gate.max_rmse must be a finite number, not nan",
    "[gate]\nmin_r2 = -inf": "gate.min_r2 must be a finite number, not -inf",
    "[gate]\nmargin = -0.1": "gate.margin must be at least 0, not -0.1",
    "[drift]\nwarm = 5": "unknown key 'drift.warm' (did you mean 'warn'?)",
    "[drift]\nwarn = true": "drift.warn must be a number, not True",
    "[drift]\nwarn = inf": "drift.warn must be a finite number, at least 0 (0: off), not inf",
    "[drift]\nstop.bias = -1": "drift.stop.bias must be a finite number, at least 0 (0: off), not -1.0",
    "[drift]\nstop.baas = 1": "drift.stop.baas names no measure (did you mean 'bias'?)",
    '[drift]\n"warn.range" = "far"': "drift.warn.range must be a number, not 'far'",
    "[gate]\nmargin = inf": "gate.margin must be at least 0, not inf",
    "[engine]\ncache_gb = nan": "engine.cache_gb must be at least 0 and at most 1e+38, not nan",
    "[engine]\ncache_gb = 1e300": "engine.cache_gb must be at least 0 and at most 1e+38, not 1e+300",
    '[engine]\ncache = "a\\u0000"': "engine.cache holds a NUL character",
    "[train]\nepochs = true": "train.epochs must be a whole number, not True",
    "[train]\nepochs = 5.0": "train.epochs must be a whole number, not 5.0",
    "[train]\nepochs = 0": "train.epochs must be at least 1, not 0",
    "[train]\nepochs = 1000000000000000000000": "train.epochs must be at most 1,000,000,000,000,000",
    "[train]\nepochs = [5]": "train.epochs must be a whole number, not [5]",
    '[train]\nlearning_rate = "fast"': "train.learning_rate must be a number or \"auto\", not 'fast'",
    "[train]\nlearning_rate = true": 'train.learning_rate must be a number or "auto", not True',
    "[train]\nlearning_rate = 0": "train.learning_rate must be above 0",
    "[train]\nlearning_rate = nan": "train.learning_rate must be above 0",
    "[train]\nlearning_rate = inf": "train.learning_rate must be above 0 and at most 1e+38, not inf",
    f"[train]\nlearning_rate = 1{'0' * 400}": "train.learning_rate must be a number that float64 holds",
    "[train]\nstandardize = 1": "train.standardize must be true or false, not 1",
    '[train]\nstandardize = "true"': "train.standardize must be true or false, not 'true'",
    "[train]\nbatch_size = -1": "train.batch_size must be at least 0",
    "[train]\nseed = -1": "train.seed must be at least 0",
    "[train]\nseed = 9223372036854775808": "train.seed must be at least 0 and below 2^63",
    "[train]\nmomentum = 1": "train.momentum must be at least 0 and below 1",
    "[train]\nmomentum = nan": "train.momentum must be at least 0 and below 1",
    "[train]\ndampening = 1": "train.dampening must be at least 0 and below 1",
    "[train]\nweight_decay = nan": "train.weight_decay must be at least 0",
    "[train]\ntolerance = inf": "train.tolerance must be at least 0",
    "[train]\nl1 = -0.1": "train.l1 must be at least 0",
    "[train]\nl1 = nan": "train.l1 must be at least 0",
    '[train]\nschedule = "cosin"': "train.schedule 'cosin' is unknown (did you mean 'cosine'?)",
    "[train]\nstep_size = 0": "train.step_size must be at least 1",
    "[train]\ngamma = 0": "train.gamma must be above 0 and at most 1",
    "[train]\ngamma = 1.5": "train.gamma must be above 0 and at most 1",
    "[train]\nlearning_rate = 0.5\neta_min = 1": "train.eta_min must be at least 0 and at most train.learning_rate",
    "[train]\npatience = -1": "train.patience must be at least 0",
    "[train]\nwarm_start = 3": "train.warm_start must be a text, not 3",
    "[train]\nnesterov = true": "train.nesterov needs train.momentum above 0 and train.dampening 0",
    '[train]\ntrainer = "manuel"': "train.trainer 'manuel' is unknown (did you mean 'manual'?)",
    '[train]\ndtype = "float16"': "train.dtype 'float16' is unknown",
    "[train]\ndevice = 0": "train.device must be a text, not 0",
    '[engine]\nkind = "ray"': "engine.kind 'ray' is unknown (known: local)",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_wrong_is_refused_by_name_with_what_would_be_right(write, text: str) -> None:
    path = write(BASE + text + "\n")
    with pytest.raises(UserError) as caught:
        config_file.load(path)
    assert str(caught.value).startswith(f"config {path}: {REFUSED[text]}")
    assert "\n" not in str(caught.value)


def test_levels_are_set_column_by_column_whatever_dots_its_name_has(write):
    text = BASE + 'categorical = ["a", "kg.ha of b"]\nlevels.a = ["2", "1"]\n'
    data = config_file.load(write(text), ["data.levels.kg.ha of b=y,x"]).data
    assert data.levels == {"a": ("2", "1"), "kg.ha of b": ("y", "x")}
    assert data.inputs == ("a", "b", "kg.ha of b")
    assert config_file.from_dict(config_file.to_dict(config_file.load(write(text)))).data.levels == {"a": ("2", "1")}


@pytest.mark.parametrize("key", ["model", "data", "data.path", "data.features", "data.targets"])
def test_a_required_key_that_is_missing_is_named(key: str) -> None:
    raw = config_file.to_dict(minimal())
    table = raw
    *sections, last = key.split(".")
    for section in sections:
        table = table[section]
    del table[last]
    or_formula = f"^{key} is empty: name at least one column, or write data.formula$"
    words = or_formula if last in ("features", "targets") else f"^key '{key}' is required and missing$"
    with pytest.raises(UserError, match=words):
        config_file.from_dict(raw)


SETTINGS = {
    "train.epoch=5": "unknown key 'train.epoch' (did you mean 'epochs'?)",
    "trian.epochs=5": "unknown key 'trian' (did you mean 'train'?)",
    "epochs=5": "unknown key 'epochs'",
    "train=5": "'train' is a section: set one of its keys (trainer, learning_rate, ",
    "train.epochs.x=5": "unknown key 'train.epochs.x': 'train.epochs' holds no further keys",
    "gate.margin.apples=5": "unknown key 'gate.margin.apples'",
    "train.epochs": "--set 'train.epochs' is not of the form section.key=value",
    "=5": "--set '=5' is not of the form section.key=value",
    "train..epochs=5": "--set 'train..epochs=5' is not of the form section.key=value",
    "train.epochs=": "train.epochs must be a whole number, not ''",
    "train.epochs=many": "train.epochs must be a whole number, not 'many'",
    "train.epochs=1.5": "train.epochs must be a whole number, not 1.5",
    "train.standardize=yes": "train.standardize must be true or false, not 'yes'",
    "drift.warn=much": "drift.warn must be a number, not 'much'",
    'data.path=" "': "data.path is empty",
    "data.features=": "data.features is empty",
    "data.features=[]": "data.features is empty",
    "data.categorical=apples": "data.categorical and data.targets both name ['apples']",
    "data.levels.a=x,y": "data.levels.a names no column of data.categorical",
    "data.levels=3": "data.levels must be a table, with a list of texts for each column, not 3",
    "data.unseen=bas": "data.unseen 'bas' is unknown (did you mean 'base'?)",
    "data.features=[1, 2]": "data.features must be a text, not 1",
    'data.features=["a", 1]': "data.features must be a text, not 1",
    'data.features=["a", "a"]': "data.features names ['a'] twice",
    'data.targets=["a"]': "data.features and data.targets both name ['a']",
    "model=": "model is empty",
    "experiment= ": "experiment is empty",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_wrong_setting_is_refused_by_name(write, setting: str) -> None:
    with pytest.raises(UserError) as caught:
        config_file.load(write(BASE), [setting])
    assert SETTINGS[setting] in str(caught.value)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", "/", "", "  "])
def test_a_model_name_that_a_reference_could_not_be_told_from_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^model "):
        check_model_name(name)


def test_a_byte_order_mark_and_windows_line_ends_are_taken(write) -> None:
    assert config_file.load(write(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())) == minimal()


UNREADABLE = {
    b"\xff\xfem\x00": "is not UTF-8 text",
    BASE.replace('"m"', '"m\xe9"').encode("latin-1"): "is not UTF-8 text",
    b"model: m\n": "is not TOML",
    b"a,b\n1,2\n": "is not TOML",
    b'model = "m"\nmodel = "n"\n': "is not TOML",
    b"": "key 'model' is required and missing",
    BASE.replace('"m"', "5").encode(): "model must be a text, not 5",
    BASE.replace('["a", "b"]', '"a"').encode(): "data.features must be a list of texts, not 'a'",
    b'model = "m"\ndata = 5': "'data' must be a section, not 5",
    b'model = "m"\ndata = [1]': "'data' must be a section, not [1]",
}


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_file_that_is_no_config_is_refused_in_one_line_that_names_it(write, content: bytes) -> None:
    path = write(content)
    with pytest.raises(UserError) as caught:
        config_file.load(path)
    assert str(caught.value).startswith(f"config {path}")
    assert UNREADABLE[content] in str(caught.value)


def test_a_missing_file_a_folder_and_a_path_through_a_file_are_named(tmp_path: Path, write) -> None:
    with pytest.raises(UserError, match=r"none\.toml does not exist"):
        config_file.load(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        config_file.load(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        config_file.load(Path(write(BASE), "c.toml"))
    with pytest.raises(UserError, match="cannot be read"):
        config_file.load("x" * 5000)


def test_the_configs_that_come_with_the_repository_are_valid() -> None:
    paths = sorted((ROOT / "configs").glob("*.toml"))
    assert paths
    for path in paths:
        config_file.load(path)


def test_the_nearest_name_is_offered_or_else_all_of_them() -> None:
    assert nearest("TEMP", ["temp", "rainfall"]) == " (did you mean 'temp'?)"
    assert nearest("zzz", ["temp", "rainfall"]) == " (known: temp, rainfall)"
    assert nearest("x", []) == ""


def test_an_error_of_the_user_is_one_line_and_keeps_its_details() -> None:
    error = UserError("a\nb   c", details=["d", "e"])
    assert (str(error), error.details) == ("a b c", ("d", "e"))
    assert isinstance(error, ValueError)
    assert not issubclass(ServerAway, ValueError)
