"""The records of a run's config: what TOML, ``--set`` and the flow's parameters all become.

Frozen dataclasses; every one checks itself when it is made, so a config that exists is a config that makes sense.
Reading and writing TOML is in ``config_file``. Nothing here opens a file, or knows more of a trainer than its name.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

from linreg.errors import UserError, nearest

TrainerName = Literal["auto", "manual", "builtin", "gram", "fused", "exact"]
Dtype = Literal["float32", "float64"]
MissingRule = Literal["error", "drop", "mean"]
ScheduleName = Literal["constant", "step", "cosine"]
Automatic = Literal["auto"]
MEASURES = ("mean", "spread", "correlation", "bias", "error", "range")  # of drift; all but range in standard errors
WARN = {"mean": 6.0, "spread": 8.0, "correlation": 6.0, "bias": 6.0, "error": 8.0, "range": 8.0}
LARGEST = 1e38  # a hyperparameter that float32 holds too: torch refuses others with an error of its own
MOST_EPOCHS = 10**15  # nobody runs more, and float64 counts them


class _Section:
    """A table of the config. Pydantic, by which prefect checks a flow's parameters, refuses other keys too."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class DataConfig(_Section):
    """Which rows and columns.

    Args:
        path: a file, a glob, a folder, or a URL that pyarrow's file systems read.
        features: column names of the inputs.
        targets: column names of the outputs.
        key: columns that identify a row for the split; none: partition and row number.
        test_fraction: expected share of rows held out for the test; 0: judged on the training rows.
        split_seed: seed of the split, apart from ``train.seed``.
        validation_fraction: expected share of the training rows held out for validation.
        missing: what a null or NaN does: ``error`` stops, ``drop`` leaves the row out, ``mean`` fills a feature with
            its mean over the training rows (a row without a target is left out).
        weight: the column that says how much a row counts; empty: all count the same. One that weighs 0 is not there.
        window: how many files count, the last ones by name; 0: all of them.
        window_by: the folder column (as in ``day=2026-11-01/``) whose dates the window counts, in days up to the last.

    >>> import linreg
    >>> linreg.DataConfig(path="data/crops-15.csv", features=("temp",), targets=("apples",)).missing
    'error'
    """

    path: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    key: tuple[str, ...] = ()
    test_fraction: float = 0.0
    split_seed: int = 0
    validation_fraction: float = 0.0
    missing: MissingRule = "error"
    weight: str = ""
    window: int = 0
    window_by: str = ""

    def __post_init__(self) -> None:
        _require(self.window >= 0, "data.window", "must be at least 0 (0: all files)", self.window)
        _require(bool(self.path.strip()), "data.path", "is empty: name a file, a glob, a folder or a URL")
        for name in ("features", "targets"):
            columns = getattr(self, name)
            _require(bool(columns), f"data.{name}", "is empty: name at least one column")
            double = sorted({c for c in columns if columns.count(c) > 1})
            _require(not double, f"data.{name}", f"names {double} twice: name each column once")
        both = sorted(set(self.features) & set(self.targets))
        _require(not both, "data.features", f"and data.targets both name {both}: a column is one or the other")
        for name in ("test_fraction", "validation_fraction"):
            _require(
                0 <= getattr(self, name) < 1, f"data.{name}", "must be at least 0 and below 1", getattr(self, name)
            )
        _choice(self.missing, get_args(MissingRule), "data.missing")
        clash = bool(self.weight) and self.weight in (*self.features, *self.targets)
        _require(
            not clash, "data.weight", f"'{self.weight}' is a feature or a target too: a column is one or the other"
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig(_Section):
    """How the parameters are found.

    Args:
        trainer: one of ``TrainerName``.
        learning_rate: step size of gradient descent; ``auto``: the one that converges fastest (``training.automatic``).
        epochs: passes over the training rows.
        batch_size: rows a step; 0: the whole set.
        shuffle: whether each epoch of mini-batches walks the rows in an order of its own; false: in the data's order.
        standardize: scale the features (population spread) for training; the model is reported in the data's own units.
        seed: of the starting parameters and of the batch order.
        dtype: of tensors and parameters; records are float64 always.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        momentum, dampening, nesterov: as in ``torch.optim.SGD``; with an ``auto`` rate 0 leaves the momentum to it too.
        weight_decay: adds (weight_decay / 2) |W|^2 to the loss; the bias is left alone.
        l1: adds l1 |W|_1 to the loss: the lasso, and with ``weight_decay`` the elastic net; the bias is left alone.
        schedule: how the rate goes on: ``constant``; ``step``: times ``gamma`` after every ``step_size`` epochs, as
            ``StepLR``; ``cosine``: down towards ``eta_min`` over all epochs, as ``CosineAnnealingLR``.
        step_size, gamma, eta_min: of the schedules, as in ``torch.optim.lr_scheduler``.
        tolerance: stop once ``excess_loss`` is at most this, in the targets' units squared; 0: run all epochs;
            ``auto``: to where standard errors are valid. None is ``auto`` beside an ``auto`` rate, 0 beside a number.
        patience: stop after so many epochs without a lower loss on the validation rows, and keep the parameters that
            had the lowest; 0: run all epochs.
        warm_start: the registered version, as a REF, whose parameters are the start; empty: seeded standard normals.
        force: run even where the learning rate cannot converge.

    >>> import linreg
    >>> linreg.TrainConfig(trainer="gram", learning_rate=0.3, epochs=200).standardize
    True
    """

    trainer: TrainerName = "auto"
    learning_rate: float | Automatic = "auto"
    epochs: int = 1000
    batch_size: int = 0
    shuffle: bool = True
    standardize: bool = True
    seed: int = 0
    dtype: Dtype = "float32"
    device: str = "auto"
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    l1: float = 0.0
    schedule: ScheduleName = "constant"
    step_size: int = 100
    gamma: float = 0.1
    eta_min: float = 0.0
    tolerance: float | Automatic | None = None
    patience: int = 0
    warm_start: str = ""
    force: bool = False

    def __post_init__(self) -> None:
        _choice(self.trainer, get_args(TrainerName), "train.trainer")
        _choice(self.dtype, get_args(Dtype), "train.dtype")
        rate = self.learning_rate
        if self.tolerance is None:
            object.__setattr__(self, "tolerance", "auto" if rate == "auto" else 0.0)
        fits = rate == "auto" or 0 < rate <= LARGEST
        _require(fits, "train.learning_rate", f"must be above 0 and at most {LARGEST:g}", rate)
        _require(self.epochs >= 1, "train.epochs", "must be at least 1", self.epochs)
        _require(self.epochs <= MOST_EPOCHS, "train.epochs", f"must be at most {MOST_EPOCHS:,}", self.epochs)
        _require(self.batch_size >= 0, "train.batch_size", "must be at least 0 (0: the whole set)", self.batch_size)
        _require(0 <= self.seed < 2**63, "train.seed", "must be at least 0 and below 2^63", self.seed)
        _require(0 <= self.momentum < 1, "train.momentum", "must be at least 0 and below 1", self.momentum)
        _require(0 <= self.dampening < 1, "train.dampening", "must be at least 0 and below 1", self.dampening)
        for name in ("weight_decay", "l1", "tolerance"):
            value = getattr(self, name)
            fits = value == "auto" or 0 <= value <= LARGEST
            _require(fits, f"train.{name}", f"must be at least 0 and at most {LARGEST:g}", value)
        _choice(self.schedule, get_args(ScheduleName), "train.schedule")
        _require(self.step_size >= 1, "train.step_size", "must be at least 1 (epochs)", self.step_size)
        _require(0 < self.gamma <= 1, "train.gamma", "must be above 0 and at most 1", self.gamma)
        low, most = self.eta_min, LARGEST if rate == "auto" else rate
        _require(0 <= low <= most, "train.eta_min", "must be at least 0 and at most train.learning_rate", low)
        _require(self.patience >= 0, "train.patience", "must be at least 0 (0: run all epochs)", self.patience)
        plain = self.momentum > 0 and self.dampening == 0
        _require(not self.nesterov or plain, "train.nesterov", "needs train.momentum above 0 and train.dampening 0")


@dataclass(frozen=True, kw_only=True)
class GateConfig(_Section):
    """What a model must reach to be registered, and to become the champion.

    Args:
        max_rmse: the largest root mean squared error; a number, or a table of targets (``"*"``: all of them).
        min_r2: the smallest R2; likewise.
        margin: the gain over the champion that the interval's lower bound must exceed, as a share of its loss.
    """

    max_rmse: float | dict[str, float] | None = None
    min_r2: float | dict[str, float] | None = None
    margin: float = 0.0

    def __post_init__(self) -> None:
        for name, limit in self.limits().items():
            _require(math.isfinite(limit), f"gate.{name}", "must be a finite number", limit)
        _require(math.isfinite(self.margin) and self.margin >= 0, "gate.margin", "must be at least 0", self.margin)

    def limits(self) -> dict[str, float]:
        """The limits by name: ``max_rmse``, ``min_r2``, and ``max_rmse.TARGET`` for a target's own."""
        out: dict[str, float] = {}
        for name in ("max_rmse", "min_r2"):
            value = getattr(self, name)
            table = value if isinstance(value, dict) else {} if value is None else {"*": value}
            out |= {name if target == "*" else f"{name}.{target}": limit for target, limit in table.items()}
        return out


@dataclass(frozen=True, kw_only=True)
class DriftConfig(_Section):
    """How far new rows may be from those that the champion learned from.

    Each is a number, for all measures that are counted in standard errors, or a table by measure; 0: off. ``range``
    counts in spreads of the column.

    Args:
        warn: what lies beyond is told; a measure that a table leaves out keeps its default.
        stop: what lies beyond stops the run before it trains; a measure that a table leaves out stops nothing.
    """

    warn: float | dict[str, float] = field(default_factory=lambda: dict(WARN))
    stop: float | dict[str, float] = 0.0

    def __post_init__(self) -> None:
        for name in ("warn", "stop"):
            for measure, limit in self._table(name).items():
                key = f"drift.{name}" if measure == "*" else f"drift.{name}.{measure}"
                _require(measure in ("*", *MEASURES), key, f"names no measure{nearest(measure, MEASURES)}")
                finite = math.isfinite(limit) and limit >= 0
                _require(finite, key, "must be a finite number, at least 0 (0: off)", limit)

    def _table(self, name: str) -> dict[str, float]:
        value = getattr(self, name)
        return value if isinstance(value, dict) else {"*": value}

    def limits(self, name: Literal["warn", "stop"]) -> dict[str, float]:
        """The limits by measure; one that is off is left out."""
        table, default = self._table(name), WARN if name == "warn" else {}
        common = table.get("*")
        if common is not None:  # one number cannot be both standard errors and spreads: for the range it is on or off
            default = dict.fromkeys(MEASURES, common) | ({"range": default.get("range", 0.0)} if common else {})
        both = default | table
        return {measure: both[measure] for measure in MEASURES if both.get(measure, 0.0) > 0}


@dataclass(frozen=True, kw_only=True)
class EngineConfig(_Section):
    """How the work is done; nothing here changes a result.

    Args:
        kind: where it runs: ``local``, in this process.
        cache: the folder where what was made of the files is kept for the next run; empty: nowhere.
        cache_gb: GiB that it may take. A data set of which more than half of that would be kept is read anew each time.
        verify: read every file to its end, known or not, to find out whether it changed.
    """

    kind: Literal["local"] = "local"
    cache: str = "data/.cache"
    cache_gb: float = 2.0
    verify: bool = False

    def __post_init__(self) -> None:
        _choice(self.kind, ("local",), "engine.kind")
        fits = 0 <= self.cache_gb <= LARGEST
        _require("\0" not in self.cache, "engine.cache", "holds a NUL character: name a folder")
        _require(fits, "engine.cache_gb", f"must be at least 0 and at most {LARGEST:g}", self.cache_gb)


@dataclass(frozen=True, kw_only=True)
class Config(_Section):
    """A run, whole.

    Args:
        model: the registered model's name; without ``/``, ``:`` and ``@``.
        experiment: the MLflow experiment.

    >>> import linreg
    >>> config = linreg.load_config("configs/crops.toml")
    >>> config.model, config.data.targets, config.train.epochs
    ('crop-yield', ('apples', 'oranges'), 1000)
    """

    model: str
    data: DataConfig
    experiment: str = "linreg"
    train: TrainConfig = field(default_factory=TrainConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)

    def __post_init__(self) -> None:
        check_model_name(self.model)
        _require(bool(self.experiment.strip()), "experiment", "is empty: give it a name")
        known = set(self.data.targets)
        for name in self.gate.limits():
            _, dot, target = name.partition(".")
            _require(
                not dot or target in known,
                f"gate.{name}",
                f"names no target of data.targets{nearest(target, known)}",
            )

    def flat(self) -> dict[str, Any]:
        """Every key with its value, ``{"data.path": ..., "train.epochs": ...}``."""
        out: dict[str, Any] = {"experiment": self.experiment, "model": self.model}
        for section in ("data", "train", "gate", "drift", "engine"):
            record = getattr(self, section)
            out |= {f"{section}.{f.name}": getattr(record, f.name) for f in fields(record)}
        return out


def check_model_name(name: str) -> None:
    """Refuse a model name that a REF could not be told apart from.

    Raises:
        UserError: the name is empty or holds ``/``, ``:`` or ``@``.
    """
    _require(bool(name.strip()), "model", "is empty: give the registered model a name")
    bad = sorted(set(name) & set("/:@"))
    _require(not bad, "model", f"'{name}' holds {' '.join(bad)}: leave out / : and @")


def _require(ok: bool, key: str, remedy: str, value: object = None) -> None:
    if not ok:
        raise UserError(f"{key} {remedy}" + ("" if value is None else f", not {value!r}"))


def _choice(value: str, known: tuple[str, ...], key: str) -> None:
    if value not in known:
        raise UserError(f"{key} '{value}' is unknown{nearest(value, known)}")
