"""Many models of the same rows: one record for all, and one pass for those that can share it.

    results = fit_many(rows, [replace(config, learning_rate=rate) for rate in (0.1, 0.2, 0.4)])

Each result is what ``fit`` gives for that config alone, or the error that it raises: one that diverges does not stop
the others. Models that need only the record (``gram``) descend side by side; those that walk the rows are grouped by
what decides batches and coordinates. It ranks nothing: that is ``ranking``'s.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.moments.training_record import record_rows
from linreg.rows.rows import Rows
from linreg.threads import one_thread
from linreg.training.fit import Fit, finish, run
from linreg.training.full_batch import descend_many
from linreg.training.history import Ended, OnModelEpoch
from linreg.training.mini_batch import can_share_pass, train_in_one_pass
from linreg.training.prepare import Training, design, prepare, ranges_for, shared_objectives

Result = Fit | UserError
Group = dict[int, Training]  # by the model's place in the sweep


def fit_many(
    rows: Rows,
    configs: Sequence[TrainConfig],
    *,
    moments: Moments | None = None,
    validation: Moments | None = None,
    start: LinearModel | None = None,
    ranges: Ranges | None = None,
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
        ranges: as ``fit`` takes them.
        on_epoch: called with (model, epoch, loss) after each epoch.
        on_result: called with (model, result) as soon as there is one.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> rates = [linreg.TrainConfig(trainer="gram", learning_rate=rate, epochs=50) for rate in (0.1, 0.3)]
    >>> [round(float(fitted.train_loss[-1]), 2) for fitted in linreg.fit_many(rows, rates)]
    [2.22, 0.91]
    """
    moments = record_rows(rows).moments if moments is None else moments
    results: dict[int, Result] = {}
    for k, result in _results(rows, configs, moments, validation, start, ranges, on_epoch):
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
    ranges: Ranges | None,
    on_epoch: OnModelEpoch | None,
) -> Iterator[tuple[int, Result]]:
    """Each model's result, as they come."""
    by_record: Group = {}
    by_rows: Group = {}
    for k, training in enumerate(_prepared(configs, moments, validation, start, ranges or _ranges(configs, rows))):
        if isinstance(training, UserError):
            yield k, training
        elif training.choice.trainer.iterates and not training.choice.trainer.needs_rows:
            by_record[k] = training
        else:
            by_rows[k] = training
    ended = descend_many(list(by_record.values()), validation, _renumbered(on_epoch, list(by_record)))
    yield from _finished(rows, by_record, ended)
    for group in _groups(by_rows):
        yield from _train_group(rows, group, validation, on_epoch)


def _prepared(
    configs: Sequence[TrainConfig],
    moments: Moments,
    validation: Moments | None,
    start: LinearModel | None,
    ranges: Ranges | None,
) -> list[Training | UserError]:
    """Every training with its checks behind it."""
    objective = shared_objectives(moments)
    trainings: list[Training | UserError] = []
    with one_thread():  # once: looking for the libraries takes milliseconds
        for config in configs:
            try:
                choice = prepare(config, validation=validation, start=start)
                trainings.append(choice.on(objective(config), start, ranges))
            except UserError as e:
                trainings.append(e)
    return trainings


def _ranges(configs: Sequence[TrainConfig], rows: Rows) -> Ranges | None:
    """The ranges of the columns, where any of the configs needs them."""
    return next((ranges for config in configs if (ranges := ranges_for(config, rows))), None)


def _finished(rows: Rows, trainings: Group, ended: Sequence[Ended | UserError]) -> Iterator[tuple[int, Result]]:
    for (k, training), end in zip(trainings.items(), ended, strict=True):
        yield k, end if isinstance(end, UserError) else finish(training, *end, rows)


def _groups(trainings: Group) -> list[Group]:
    """The models that can share a pass over the rows: the same batches in the same order, in the same coordinates."""
    groups: dict[tuple[object, ...], Group] = {}
    for k, training in trainings.items():
        choice, config = training.choice, training.choice.config
        batches = config.batch_size, config.shuffle, config.seed
        key = choice.trainer.name, *batches, config.standardize, config.dtype, str(choice.device)
        groups.setdefault(key, {})[k] = training
    return list(groups.values())


def _train_group(
    rows: Rows, group: Group, validation: Moments | None, on_epoch: OnModelEpoch | None
) -> Iterator[tuple[int, Result]]:
    """Train a group of models that walk the same batches in the same coordinates.

    They share the rows as tensors; those that can also share each pass over them, and the others walk one by one.
    """
    first = next(iter(group.values()))
    if first.choice.trainer.needs_rows:
        tensors = design(rows, first.choice.config, first.problem.objective, first.choice.device)
        group = {k: training.with_rows(*tensors) for k, training in group.items()}
    sharing = {k: training for k, training in group.items() if can_share_pass(training)}
    if len(sharing) > 1:
        ended = train_in_one_pass(list(sharing.values()), validation, _renumbered(on_epoch, list(sharing)))
        yield from _finished(rows, sharing, ended)
        group = {k: training for k, training in group.items() if k not in sharing}
    for k, training in group.items():
        try:
            own = partial(on_epoch, k) if on_epoch else None
            yield k, run(training, rows, validation=validation, on_epoch=own)
        except UserError as e:
            yield k, e


def _renumbered(on_epoch: OnModelEpoch | None, indices: Sequence[int]) -> OnModelEpoch | None:
    """The listener, called with models by their place in the sweep."""
    if on_epoch is None:
        return None
    return lambda model, epoch, loss: on_epoch(indices[model], epoch, loss)
