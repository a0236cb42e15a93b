"""Which of several models is the best: by the loss on validation rows, or by the k-fold loss from the folds' records.

The test rows have no part in it. A full-batch model's k-fold loss is that of the very training: the config walked on
the record of the other folds, all models and folds together; no row is read again. Where the other folds' record makes
a descent diverge, the model has no loss and is not ranked.

Shapes: K folds, M models, O targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from linreg.config import Config, TrainConfig
from linreg.errors import UserError
from linreg.metrics import Float
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments, merge
from linreg.selection.folds import FoldErrors, Pair, model_error, solver_errors
from linreg.selection.kfold import filled_parts, optimum
from linreg.selection.ridge_path import eigenvalues, path_of
from linreg.threads import one_thread
from linreg.training.fit import Fit
from linreg.training.full_batch import descend_many
from linreg.training.history import Ended
from linreg.training.prepare import Training, prepare, shared_objectives

VALIDATION, KFOLD = "validation", "kfold"
_REMEDY = "set data.validation_fraction, such as 0.2"


@dataclass(frozen=True)
class Loss:
    """What a model is ranked by: its mean squared error on rows that it was not trained on.

    Args:
        value: in the targets' units squared; weighted where the rows are.
        standard_error: of the mean over folds; None where there is none.
    """

    value: float
    standard_error: float | None = None


def way_of(configs: Sequence[Config]) -> str:
    """How these models will be ranked: ``VALIDATION`` or ``KFOLD``; asked before anything is read.

    Raises:
        UserError: neither is possible.
    """
    if configs[0].data.validation_fraction:
        return VALIDATION
    for config in configs:
        train = config.train
        if train.batch_size:
            raise UserError(
                f"models of mini-batches (train.batch_size = {train.batch_size}) are ranked on validation rows: "
                f"{_REMEDY}"
            )
        if train.warm_start:
            raise UserError(
                f"the start that train.warm_start names ({train.warm_start}) knows the rows of every fold, so k-fold "
                f"losses would flatter it: {_REMEDY}"
            )
    return KFOLD


def best_first(losses: Sequence[Loss | None]) -> list[int]:
    """The models that have a loss, by their place; of equal ones the earlier comes first."""
    ranked = [(loss.value, i) for i, loss in enumerate(losses) if loss]
    return [i for _, i in sorted(ranked)]


def validation_loss(fitted: Fit, validation: Moments) -> Loss:
    """The mean squared error of a model on the validation rows."""
    return Loss(float(model_error(fitted.model, validation).mean()))


def fold_pairs(folds: Sequence[MomentsWithGaps]) -> list[Pair]:
    """For each fold that holds rows the record to train on and its own, gaps filled with the training part's means.

    Raises:
        UserError: the folds cannot validate.
    """
    with one_thread():
        try:
            return filled_parts([fold for fold in folds if fold.rows])
        except UserError as e:
            raise UserError(f"the models cannot be ranked: {e}; or {_REMEDY}") from e


def kfold_losses(pairs: Sequence[Pair], configs: Sequence[TrainConfig]) -> list[Loss | UserError]:
    """The k-fold loss of each config: the mean over all rows of the squared errors that each fold has as a stranger.

    Args:
        pairs: as from ``fold_pairs``.
        configs: full-batch trainings (of whichever trainer: ``gram`` walks them all) and closed forms; a training that
            goes on to where standard errors are valid counts as one of these.
    """
    exact = [i for i, c in enumerate(configs) if _at_optimum(c)]
    walked = [i for i, c in enumerate(configs) if not _at_optimum(c)]
    errors: dict[int, Float | UserError] = {}
    with one_thread():
        errors |= dict(zip(exact, _exact(pairs, [configs[i] for i in exact]), strict=True))
    errors |= dict(zip(walked, _walked(pairs, [configs[i] for i in walked]), strict=True))
    return [_loss(pairs, errors[i]) for i in range(len(configs))]


def _at_optimum(config: TrainConfig) -> bool:
    """Whether its model is the optimum: of the closed form, and of a rate that is found so that it ends there."""
    return config.trainer == "exact" or (config.tolerance == "auto" == config.learning_rate and not config.force)


def _loss(pairs: Sequence[Pair], error_KO: Float | UserError) -> Loss | UserError:
    if isinstance(error_KO, UserError):
        return error_KO
    errors = FoldErrors.of(pairs, error_KO)
    if not np.isfinite(errors.mse):
        return UserError("a fold's loss is beyond float64: a row is too far from the others; correct or remove it")
    return Loss(errors.mse, errors.standard_error)


def _exact(pairs: Sequence[Pair], configs: Sequence[TrainConfig]) -> list[Float]:
    """Errors (K, O) of exact optima; without L1 one decomposition of a training part serves all weight decays."""
    paths = {}
    for scaled in {c.standardize for c in configs if not c.l1}:
        decays = [c.weight_decay for c in configs if c.standardize == scaled and not c.l1]
        value_F = eigenvalues(merge([test for _, test in pairs]), standardize=scaled)
        paths[scaled] = path_of(pairs, value_F, decays, scaled)
    errors = []
    for config in configs:
        if config.l1:
            errors.append(solver_errors(pairs, optimum(config)))
        else:
            path = paths[config.standardize]
            errors.append(path.error_KGO[:, path.index(config.weight_decay)])
    return errors


def _walked(pairs: Sequence[Pair], configs: Sequence[TrainConfig]) -> list[Float | UserError]:
    """Errors (K, O) of full-batch descents, all models and folds side by side."""
    with one_thread():
        trainings = [training for train, _ in pairs for training in _on_fold(train, configs)]
    ended = list(zip(trainings, descend_many(trainings), strict=True))
    return [_over_folds(pairs, ended[m :: len(configs)]) for m in range(len(configs))]


def _over_folds(pairs: Sequence[Pair], ended_K: Sequence[tuple[Training, Ended | UserError]]) -> Float | UserError:
    """One model's errors (K, O)."""
    errors = []
    for k, ((_, test), (training, end)) in enumerate(zip(pairs, ended_K, strict=True)):
        if isinstance(end, UserError):
            return UserError(f"in the training part of fold {k + 1} of {len(pairs)}, {end}")
        theta_DO = training.choice.trainer.theta(training.problem, end[0])
        errors.append(model_error(training.problem.objective.model(theta_DO), test))
    return np.stack(errors)


def _on_fold(train: Moments, configs: Sequence[TrainConfig]) -> list[Training]:
    """The same trainings on the record of the other folds; whether a rate converges there is seen by walking."""
    objective = shared_objectives(train)
    descents = [replace(config, trainer="gram", force=True, device="cpu") for config in configs]
    return [prepare(descent, validation=None, start=None).on(objective(descent), None) for descent in descents]
