"""The records of a run's config: what TOML, ``--set`` and the flow's parameters all become.

Frozen dataclasses; every one checks itself when it is made, so a config that exists is a config that makes sense.
Reading and writing TOML is in ``config_file``. Nothing here opens a file, or knows more of a trainer than its name.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from linreg.errors import nearest
from linreg.judging_config import DriftConfig, GateConfig
from linreg.section import LARGEST, Section, choice, require

TrainerName = Literal["auto", "manual", "builtin", "gram", "fused", "exact"]
Dtype = Literal["float32", "float64"]
MissingRule = Literal["error", "drop", "mean", "indicator"]
UnseenRule = Literal["error", "base"]
PREDICTIONS = ("predicted", "low", "high")  # what stands before a target's name in the columns that `predict` adds
ScheduleName = Literal["constant", "step", "cosine"]
MOST_EPOCHS = 10**15  # nobody runs more, and float64 counts them


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """Which rows and columns.

    Args:
        path: a file, a glob, a folder, or a URL that pyarrow's file systems read.
        features: column names of the inputs.
        targets: column names of the outputs.
        categorical: those of the inputs that are categories: text, codes, truth values. One that ``features`` leaves
            out comes after them.
        levels: of a category, in this order, the first being the base; those it leaves out are ``unseen``. A category
            that is not named here has the levels of the training rows, sorted.
        unseen: what a level does that no training row has: ``error`` stops, ``base`` counts it as the first level.
        key: columns that identify a row for the split; none: partition and row number.
        test_fraction: expected share of rows held out for the test; 0: judged on the training rows.
        split_seed: seed of the split, apart from ``train.seed``.
        validation_fraction: expected share of the training rows held out for validation.
        missing: what a null or NaN does: ``error`` stops, ``drop`` leaves the row out, ``mean`` fills a feature with
            its mean over the training rows (a row without a target is left out); ``indicator`` fills it so and puts a
            column of 0 and 1 beside it, and makes a missing category a level of its own.
        weight: the column that says how much a row counts; empty: all count the same. One that weighs 0 is not there.
        window: how many files count, the last ones by name; 0: all of them.
        window_by: the folder column (as in ``day=2026-11-01/``) whose dates the window counts, in days up to the last.
        raw_files: whether the files of a table format (Delta, Iceberg, Hudi) are read as they lie.

    >>> import linreg
    >>> linreg.DataConfig(path="data/crops-15.csv", features=("temp",), targets=("apples",)).missing
    'error'
    """

    path: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    categorical: tuple[str, ...] = ()
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: UnseenRule = "error"
    key: tuple[str, ...] = ()
    test_fraction: float = 0.0
    split_seed: int = 0
    validation_fraction: float = 0.0
    missing: MissingRule = "error"
    weight: str = ""
    window: int = 0
    window_by: str = ""
    raw_files: bool = False

    def __post_init__(self) -> None:
        require(self.window >= 0, "data.window", "must be at least 0 (0: all files)", self.window)
        require(bool(self.path.strip()), "data.path", "is empty: name a file, a glob, a folder or a URL")
        for name, columns in {"features": self.inputs, "targets": self.targets}.items():
            require(bool(columns), f"data.{name}", "is empty: name at least one column")
        for name in ("features", "targets", "categorical"):
            columns = getattr(self, name)
            double = sorted({c for c in columns if columns.count(c) > 1})
            require(not double, f"data.{name}", f"names {double} twice: name each column once")
            both = sorted(set(columns) & set(self.targets)) if name != "targets" else []
            require(not both, f"data.{name}", f"and data.targets both name {both}: a column is one or the other")
        self._check_levels()
        for name in ("test_fraction", "validation_fraction"):
            require(0 <= getattr(self, name) < 1, f"data.{name}", "must be at least 0 and below 1", getattr(self, name))
        choice(self.missing, get_args(MissingRule), "data.missing")
        outputs = {f"{kind}_{target}" for target in self.targets for kind in PREDICTIONS}
        for name in ("features", "categorical", "key"):
            taken = sorted(outputs & set(getattr(self, name)))
            remedy = "which `linreg predict` calls a column of its output: rename it in the data, or leave it out"
            require(not taken, f"data.{name}", f"names {taken}, {remedy}")
        clash = bool(self.weight) and self.weight in (*self.inputs, *self.targets)
        require(not clash, "data.weight", f"'{self.weight}' is a feature or a target too: a column is one or the other")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a prediction takes: the features, and the categories that these leave out."""
        return (*self.features, *(c for c in self.categorical if c not in self.features))

    @property
    def fills(self) -> bool:
        """Whether a missing number is filled in."""
        return self.missing in ("mean", "indicator")

    @property
    def numbers(self) -> tuple[str, ...]:
        """Those of the inputs that are numbers."""
        return tuple(c for c in self.inputs if c not in self.categorical)

    def _check_levels(self) -> None:
        choice(self.unseen, get_args(UnseenRule), "data.unseen")
        for column, levels in self.levels.items():
            key = f"data.levels.{column}"
            require(
                column in self.categorical,
                key,
                f"names no column of data.categorical{nearest(column, self.categorical)}",
            )
            require(len(levels) > 1, key, "must list two levels or more, the base first")
            double = sorted({c for c in levels if levels.count(c) > 1})
            require(not double, key, f"lists {double} twice: list each level once")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """How the parameters are found.

    Args:
        trainer: one of ``TrainerName``.
        learning_rate: step size of gradient descent.
        epochs: passes over the training rows.
        batch_size: rows a step; 0: the whole set.
        shuffle: whether each epoch of mini-batches walks the rows in an order of its own; false: in the data's order.
        standardize: scale the features (population spread) for training; the model is reported in the data's own units.
        seed: of the starting parameters and of the batch order.
        dtype: of tensors and parameters; records are float64 always.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        momentum, dampening, nesterov: as in ``torch.optim.SGD``.
        weight_decay: adds (weight_decay / 2) |W|^2 to the loss; the bias is left alone.
        l1: adds l1 |W|_1 to the loss: the lasso, and with ``weight_decay`` the elastic net; the bias is left alone.
        schedule: how the rate goes on: ``constant``; ``step``: times ``gamma`` after every ``step_size`` epochs, as
            ``StepLR``; ``cosine``: down towards ``eta_min`` over all epochs, as ``CosineAnnealingLR``.
        step_size, gamma, eta_min: of the schedules, as in ``torch.optim.lr_scheduler``.
        tolerance: stop once ``excess_loss`` is at most this, in the targets' units squared; 0: run all epochs.
        patience: stop after so many epochs without a lower loss on the validation rows, and keep the parameters that
            had the lowest; 0: run all epochs.
        warm_start: the registered version, as a REF, whose parameters are the start; empty: seeded standard normals.
        force: run even where the learning rate cannot converge.

    >>> import linreg
    >>> linreg.TrainConfig(trainer="gram", learning_rate=0.3, epochs=200).standardize
    True
    """

    trainer: TrainerName = "auto"
    learning_rate: float = 0.01
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
    tolerance: float = 0.0
    patience: int = 0
    warm_start: str = ""
    force: bool = False

    def __post_init__(self) -> None:
        choice(self.trainer, get_args(TrainerName), "train.trainer")
        choice(self.dtype, get_args(Dtype), "train.dtype")
        rate = self.learning_rate
        require(0 < rate <= LARGEST, "train.learning_rate", f"must be above 0 and at most {LARGEST:g}", rate)
        require(self.epochs >= 1, "train.epochs", "must be at least 1", self.epochs)
        require(self.epochs <= MOST_EPOCHS, "train.epochs", f"must be at most {MOST_EPOCHS:,}", self.epochs)
        require(self.batch_size >= 0, "train.batch_size", "must be at least 0 (0: the whole set)", self.batch_size)
        require(0 <= self.seed < 2**63, "train.seed", "must be at least 0 and below 2^63", self.seed)
        require(0 <= self.momentum < 1, "train.momentum", "must be at least 0 and below 1", self.momentum)
        require(0 <= self.dampening < 1, "train.dampening", "must be at least 0 and below 1", self.dampening)
        for name in ("weight_decay", "l1", "tolerance"):
            value = getattr(self, name)
            require(0 <= value <= LARGEST, f"train.{name}", f"must be at least 0 and at most {LARGEST:g}", value)
        choice(self.schedule, get_args(ScheduleName), "train.schedule")
        require(self.step_size >= 1, "train.step_size", "must be at least 1 (epochs)", self.step_size)
        require(0 < self.gamma <= 1, "train.gamma", "must be above 0 and at most 1", self.gamma)
        low = self.eta_min
        require(0 <= low <= rate, "train.eta_min", "must be at least 0 and at most train.learning_rate", low)
        require(self.patience >= 0, "train.patience", "must be at least 0 (0: run all epochs)", self.patience)
        plain = self.momentum > 0 and self.dampening == 0
        require(not self.nesterov or plain, "train.nesterov", "needs train.momentum above 0 and train.dampening 0")


@dataclass(frozen=True, kw_only=True)
class EngineConfig(Section):
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
        choice(self.kind, ("local",), "engine.kind")
        fits = 0 <= self.cache_gb <= LARGEST
        require("\0" not in self.cache, "engine.cache", "holds a NUL character: name a folder")
        require(fits, "engine.cache_gb", f"must be at least 0 and at most {LARGEST:g}", self.cache_gb)


@dataclass(frozen=True, kw_only=True)
class Config(Section):
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
        require(bool(self.experiment.strip()), "experiment", "is empty: give it a name")
        known = set(self.data.targets)
        for name in self.gate.limits():
            _, dot, target = name.partition(".")
            require(
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
    require(bool(name.strip()), "model", "is empty: give the registered model a name")
    bad = sorted(set(name) & set("/:@"))
    require(not bad, "model", f"'{name}' holds {' '.join(bad)}: leave out / : and @")
