"""A sweep's own steps: reading once for all its models, what it is known by, and who is the best of them.

Everything else is what a run does: the models are trained by ``selection.fit_many``, and the best one is judged and
registered by ``orchestration.chain``. The test rows are not looked at here.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from flows.steps.ingest import content_key, find, read, walks_rows
from flows.steps.run_input import RunInput, Unchanged
from flows.tracking import registry
from flows.tracking.stores.store import Store
from linreg.config import Config
from linreg.errors import UserError
from linreg.files import partitions as source
from linreg.least_squares.validity import selection_words
from linreg.selection import ranking
from linreg.selection.fit_many import Result
from linreg.selection.folds import FOLDS, Pair, enough
from linreg.selection.grid import Member
from linreg.selection.ranking import Loss
from linreg.training.choose import check
from linreg.training.device import resolve
from linreg.training.fit import Fit

SWEEP_FORMAT = 1  # of the sweep key; one more where the way of ranking changes its answers


@dataclass(frozen=True, kw_only=True)
class SweepInput(RunInput):
    """What the later steps of a sweep work on: one reading for all its models. Its content key is nobody's, see ``of``.

    Args:
        models: of the sweep, in the grid's order.
        content_keys: of each model.
        sweep_key: of the whole sweep.
        pairs: the records of the folds; empty where validation rows rank.
    """

    models: tuple[Member, ...]
    content_keys: tuple[str, ...]
    sweep_key: str
    pairs: Sequence[Pair]

    def of(self, i: int) -> RunInput:
        """What was read, as a run of that model alone would have it."""
        own = {f.name: getattr(self, f.name) for f in fields(RunInput)}
        return RunInput(**own | {"content_key": self.content_keys[i]})

    @property
    def grid(self) -> dict[str, list[Any]]:
        """The swept keys, each with its values."""
        return {key: list(dict.fromkeys(m.values[key] for m in self.models)) for key in self.models[0].values}

    @property
    def ranked_by(self) -> str:
        """The loss that ranks the models, in words."""
        return f"{len(self.pairs)}-fold loss" if self.pairs else "validation loss"

    @property
    def ranked_on(self) -> str:
        """The same with the rows that it is of."""
        data = self.dataset
        rows = f"{data.train_rows:,} training rows" if self.pairs else f"{data.validation_rows:,} validation rows"
        return f"{self.ranked_by} on {rows}"

    @property
    def selected(self) -> str:
        """How the best one was chosen, as its inference has to know."""
        return selection_words(len(self.models), self.ranked_on)


def sweep_key(keys: Sequence[str], by: str) -> str:
    """SHA-256 of the models' content keys in their order and of what ranks them; of nothing else."""
    content = {"format": SWEEP_FORMAT, "models": list(keys), "by": by}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def ingest(models: Sequence[Member], store: Store) -> SweepInput | Unchanged:
    """Find and hash the files, and read them once unless the same sweep was made before.

    Raises:
        UserError: a file, a column or a value is not as it must be, the device is not there, or the rows cannot rank.
    """
    configs = [model.config for model in models]
    for config in configs:
        check(config)
    by = ranking.way_of(configs)
    for device, dtype in {(c.train.device, c.train.dtype) for c in configs}:
        resolve(device, dtype)
    partitions, skipped = find(configs[0])
    digest = source.digest(partitions)
    keys = tuple(content_key(config, digest) for config in configs)
    key = sweep_key(keys, by)
    earlier = registry.by_sweep_key(store, configs[0].model, key)
    if earlier is not None:
        version, table = earlier
        return Unchanged(version, digest, len(partitions), table, skipped)
    folds = FOLDS if by == ranking.KFOLD else 0
    walked = any(walks_rows(config) for config in configs)
    config = _with_narrowest_dtype(configs)
    run_input = read(config, store, partitions, digest, "", walked=walked, folds=folds, skipped=skipped)
    pairs = ranking.fold_pairs(enough(run_input.folds)) if folds else []
    return SweepInput(**vars(run_input), models=tuple(models), content_keys=keys, sweep_key=key, pairs=pairs)


def _with_narrowest_dtype(configs: Sequence[Config]) -> Config:
    """The config whose dtype holds the least: what every value must fit into."""
    return next((c for c in configs if c.train.dtype == "float32"), configs[0])


def rank(sweep: SweepInput, results: Sequence[Result]) -> list[Loss | UserError]:
    """The loss that each model is ranked by, or why it has none: the training's own error, or that of a fold."""
    validation = sweep.validation
    if validation is not None:
        return [r if isinstance(r, UserError) else ranking.validation_loss(r, validation) for r in results]
    trained = [i for i, result in enumerate(results) if isinstance(result, Fit)]
    losses = ranking.kfold_losses(sweep.pairs, [sweep.models[i].config.train for i in trained])
    loss_of = dict(zip(trained, losses, strict=True))
    return [result if isinstance(result, UserError) else loss_of[i] for i, result in enumerate(results)]


def best_of(losses: Sequence[Loss | UserError]) -> int:
    """The place of the best model.

    Raises:
        UserError: no model has a loss; the line is the first one's.
    """
    order = ranking.best_first([None if isinstance(loss, UserError) else loss for loss in losses])
    if order:
        return order[0]
    first = next(loss for loss in losses if isinstance(loss, UserError))
    raise UserError(
        str(first), details=[f"none of the {len(losses):,} models of the sweep could be trained and ranked"]
    )
