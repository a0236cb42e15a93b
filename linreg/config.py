"""The records of a run's config: what TOML, ``--set`` and the flow's parameters all become.

Frozen dataclasses; every one checks itself when it is made, so a config that exists is a config that makes sense.
Reading and writing TOML is in ``config_file``. Nothing here opens a file, or knows more of a trainer than its name.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from linreg.data_config import DataConfig
from linreg.errors import nearest
from linreg.judging_config import DriftConfig, GateConfig
from linreg.section import LARGEST, Section, choice, require

TrainerName = Literal["auto", "manual", "builtin", "gram", "fused", "exact"]
Dtype = Literal["float32", "float64"]
ScheduleName = Literal["constant", "step", "cosine"]
Automatic = Literal["auto"]
MOST_EPOCHS = 10**15  # nobody runs more, and float64 counts them


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """How the parameters are found.

    Args:
        trainer: one of ``TrainerName``.
        learning_rate: step size of gradient descent; ``auto``: the fastest to converge (``training.learning_rate``).
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
        choice(self.trainer, get_args(TrainerName), "train.trainer")
        choice(self.dtype, get_args(Dtype), "train.dtype")
        rate = self.learning_rate
        if self.tolerance is None:
            object.__setattr__(self, "tolerance", "auto" if rate == "auto" else 0.0)
        fits = rate == "auto" or 0 < rate <= LARGEST
        require(fits, "train.learning_rate", f"must be above 0 and at most {LARGEST:g}", rate)
        require(self.epochs >= 1, "train.epochs", "must be at least 1", self.epochs)
        require(self.epochs <= MOST_EPOCHS, "train.epochs", f"must be at most {MOST_EPOCHS:,}", self.epochs)
        require(self.batch_size >= 0, "train.batch_size", "must be at least 0 (0: the whole set)", self.batch_size)
        require(0 <= self.seed < 2**63, "train.seed", "must be at least 0 and below 2^63", self.seed)
        require(0 <= self.momentum < 1, "train.momentum", "must be at least 0 and below 1", self.momentum)
        require(0 <= self.dampening < 1, "train.dampening", "must be at least 0 and below 1", self.dampening)
        for name in ("weight_decay", "l1", "tolerance"):
            value = getattr(self, name)
            fits = value == "auto" or 0 <= value <= LARGEST
            require(fits, f"train.{name}", f"must be at least 0 and at most {LARGEST:g}", value)
        choice(self.schedule, get_args(ScheduleName), "train.schedule")
        require(self.step_size >= 1, "train.step_size", "must be at least 1 (epochs)", self.step_size)
        require(0 < self.gamma <= 1, "train.gamma", "must be above 0 and at most 1", self.gamma)
        low, most = self.eta_min, LARGEST if rate == "auto" else rate
        require(0 <= low <= most, "train.eta_min", "must be at least 0 and at most train.learning_rate", low)
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
