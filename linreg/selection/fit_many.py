"""Many models of the same rows: one record for all, and one pass for those that can share it.

    results = fit_many(rows, [replace(config, learning_rate=rate) for rate in (0.1, 0.2, 0.4)])

Each result is what ``fit`` gives for that config alone, to the bit, or the error that it raises: one that diverges does
not stop the others. Models that need only the record (``gram``) walk together; those that walk the rows are grouped by
what decides batches and coordinates. It ranks nothing: that is ``ranking``'s.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.ingest.dataset import Rows
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.training_record import record
from linreg.threads import one_thread
from linreg.training import mini_batch as passes
from linreg.training.fit import Fit, finish, run
from linreg.training.full_batch import OnModelEpoch, walk_together
from linreg.training.prepare import Ready, design, prepare

Result = Fit | UserError
Group = dict[int, Ready]  # by the model's place in the sweep


def fit_many(
    rows: Rows,
    configs: Sequence[TrainConfig],
    *,
    moments: Moments | None = None,
    validation: Moments | None = None,
    start: LinearModel | None = None,
    on_epoch: OnModelEpoch | None = None,
    on_result: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Train on rows as each of the configs says.

    Args:
        rows: the training rows.
        configs: the trainers and their hyperparameters.
        moments: the record of ``rows``, where it is at hand; else it is made here, once.
        validation: the record of the validation rows, gaps filled as those of ``rows``.
        start: the model that ``train.warm_start`` names, the same for all of them.
        on_epoch: called with (model, epoch, loss) after each epoch.
        on_result: called with (model, result) as soon as there is one.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> rates = [linreg.TrainConfig(trainer="gram", learning_rate=rate, epochs=50) for rate in (0.1, 0.3)]
    >>> [round(float(fitted.train_loss[-1]), 2) for fitted in linreg.fit_many(rows, rates)]
    [2.22, 0.91]
    """
    moments = record(rows).moments if moments is None else moments
    results: dict[int, Result] = {}
    for k, result in _results(rows, configs, moments, validation, start, on_epoch):
        results[k] = result
        if on_result:
            on_result(k, result)
    return [results[k] for k in range(len(configs))]


def _results(
    rows: Rows,
    configs: Sequence[TrainConfig],
    moments: Moments,
    validation: Moments | None,
    start: LinearModel | None,
    on_epoch: OnModelEpoch | None,
) -> Iterator[tuple[int, Result]]:
    """Each model's result, as they come."""
    ready: Group = {}
    for k, one in enumerate(_prepared(configs, moments, validation, start)):
        if isinstance(one, UserError):
            yield k, one
        else:
            ready[k] = one
    walking = {k: r for k, r in ready.items() if _walks(r)}
    walked = walk_together(list(walking.values()), validation, _named(on_epoch, list(walking)))
    for k, ended in zip(walking, walked, strict=True):
        yield k, ended if isinstance(ended, UserError) else finish(walking[k], *ended, gaps=rows.gaps)
    for group in _groups({k: r for k, r in ready.items() if k not in walking}):
        yield from _shared_pass(rows, group, validation, on_epoch)


def _prepared(
    configs: Sequence[TrainConfig], moments: Moments, validation: Moments | None, start: LinearModel | None
) -> list[Ready | UserError]:
    """Every training with its checks behind it; those that train the same loss share it, decompositions and all."""
    objectives: dict[tuple[bool, float, float], Objective] = {}
    out: list[Ready | UserError] = []
    with one_thread():  # once: looking for the libraries takes milliseconds
        for config in configs:
            key = config.standardize, config.weight_decay, config.l1
            try:
                choice = prepare(config, validation=validation, start=start)
                if key not in objectives:
                    objectives[key] = Objective.trained(moments, config)
                out.append(choice.on(objectives[key], start))
            except UserError as e:
                out.append(e)
    return out


def _walks(ready: Ready) -> bool:
    """Whether the model descends by its record alone."""
    return ready.choice.trainer.iterates and not ready.choice.trainer.needs_rows


def _groups(ready: Group) -> list[Group]:
    """The models that can share a pass over the rows: the same batches in the same order, in the same coordinates."""
    groups: dict[tuple[object, ...], Group] = {}
    for k, one in ready.items():
        how, choice = one.choice.config, one.choice
        batches = how.batch_size, how.shuffle, how.seed
        key = choice.trainer.name, *batches, how.standardize, how.dtype, str(choice.device)
        groups.setdefault(key, {})[k] = one
    return list(groups.values())


def _shared_pass(
    rows: Rows, group: Group, validation: Moments | None, on_epoch: OnModelEpoch | None
) -> Iterator[tuple[int, Result]]:
    """Train a group of models that walk the same batches in the same coordinates.

    They share the rows as tensors; those that can also share each pass over them, and the others walk one by one.
    """
    first = next(iter(group.values()))
    needs_rows = first.choice.trainer.needs_rows
    shared = design(rows, first.choice.config, first.problem.objective, first.choice.device) if needs_rows else None
    full = {k: ready.with_rows(*shared) if shared else ready for k, ready in group.items()}
    if together := passes.sharing(full):
        walked = passes.walk_rows(list(together.values()), validation, _named(on_epoch, list(together)) or _silent)
        for k, ended in zip(together, walked, strict=True):
            yield k, ended if isinstance(ended, UserError) else finish(full[k], *ended, gaps=rows.gaps)
    for k, one in full.items():
        if k in together:
            continue
        told = partial(on_epoch, k) if on_epoch else None
        yield k, _tried(partial(run, one, gaps=rows.gaps, validation=validation, on_epoch=told))


def _silent(_model: int, _epoch: int, _loss: float) -> None:
    """Nobody listens."""


def _tried(train: Callable[[], Fit]) -> Result:
    try:
        return train()
    except UserError as e:
        return e


def _named(on_epoch: OnModelEpoch | None, models: Sequence[int]) -> OnModelEpoch | None:
    """The listener, told of models by their place in the sweep."""
    if on_epoch is None:
        return None
    return lambda model, epoch, loss: on_epoch(models[model], epoch, loss)
