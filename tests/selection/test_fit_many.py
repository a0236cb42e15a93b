"""Many models at once: each has the numbers that it has alone, and none stops another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.moments.moments import Moments
from linreg.moments.training_record import record_rows
from linreg.rows.rows import Rows
from linreg.selection import fit_many as sweep
from linreg.selection.fit_many import fit_many
from linreg.training import full_batch, mini_batch
from linreg.training.fit import Fit, finish, fit
from linreg.training.loop import loop
from linreg.training.prepare import prepare
from linreg.training.trainers import fused
from tests.support.tables import X15, Y15, moments_of, random_rows, rows_of

GRAM = TrainConfig(trainer="gram", epochs=40, learning_rate=0.3, device="cpu")
ROWS, VALIDATION = rows_of(X15, Y15), moments_of(X15[3:9] + 1.5, Y15[3:9])
FOUND = {"trainer": "auto", "learning_rate": "auto", "tolerance": "auto", "epochs": 400}
KINDS = {
    "rates": [{"learning_rate": rate} for rate in (0.01, 0.1, 0.7)],
    "heavy ball": [{"momentum": m, "dampening": d} for m, d in ((0.5, 0.0), (0.9, 0.0), (0.5, 0.3))],
    "nesterov": [{"momentum": m, "nesterov": True, "learning_rate": 0.1} for m in (0.4, 0.8)],
    "penalties": [{"weight_decay": w, "learning_rate": 0.2} for w in (0.0, 0.01, 1.0)],
    "lasso": [{"l1": s, "weight_decay": w} for s, w in ((0.5, 0.0), (4.0, 0.0), (0.5, 0.2))],
    "schedules": [{"schedule": "cosine"}, {"schedule": "step", "step_size": 5}, {"schedule": "cosine", "epochs": 9}],
    "stops": [{"tolerance": t} for t in (1e9, 1.0, 1e-3)] + [{"epochs": e} for e in (1, 2, 39)],
    "patience": [{"patience": p, "learning_rate": r} for p in (1, 4) for r in (0.02, 0.7)],
    "patience of a lasso": [{"patience": 2, "l1": 2.0}, {"patience": 3, "l1": 0.1, "epochs": 200}],
    "seeds and types": [{"seed": 3}, {"dtype": "float64"}, {"seed": 3, "dtype": "float64"}],
    "raw columns": [{"standardize": False, "learning_rate": r} for r in (1e-5, 1e-4)],
    "found": [FOUND | {"trainer": n, **t} for t in ({}, {"tolerance": 1e-3}) for n in ("gram", "auto")],
    "found for batches": [FOUND | {"batch_size": b, "seed": s, "dtype": "float64"} for b in (4, 5) for s in (0, 1)],
    "exact": [{"trainer": "exact", "weight_decay": w} for w in (0.0, 0.5)] + [{"trainer": "exact", "l1": 1.0}],
    "by rows": [{"trainer": "manual", "seed": s, "learning_rate": r} for s in (0, 1) for r in (0.1, 0.2)],
    "mini-batches": [{"trainer": t, "batch_size": 4, "learning_rate": 0.05} for t in ("manual", "builtin", "fused")],
}


def same(left: Fit, right: Fit, rounding: float = 1e-12) -> bool:
    """Every number of two trainings is the same, to rounding: of parameters beside the largest, of losses the first."""
    arrays = [(left.model.weight_OF, right.model.weight_OF), (left.model.bias_O, right.model.bias_O)]
    arrays += [(left.path[e], right.path[e]) for e in left.path]
    arrays += [(left.state[k].numpy(), right.state[k].numpy()) for k in left.state]
    largest = np.abs(right.model.weight_OF).max()  # a bias may be next to 0
    sizes = [rounding * np.abs(b).max(initial=largest) for _, b in arrays]
    close = all(a == pytest.approx(b, rel=rounding, abs=size) for (a, b), size in zip(arrays, sizes, strict=True))
    losses = ["train_loss", "excess_loss", "validation_loss", "excess_mse"]
    tolerance = {"rel": rounding, "abs": rounding * right.train_loss[0]}
    close &= all(getattr(left, n) == pytest.approx(getattr(right, n), **tolerance) for n in losses)
    plain = ["epochs", "stopped", "trainer", "why", "device", "config"]
    equal = set(left.state) == set(right.state) and list(left.path) == list(right.path)
    return close and equal and all(getattr(left, n) == getattr(right, n) for n in plain)


def configs_of(settings: Sequence[Mapping[str, object]]) -> list[TrainConfig]:
    return [replace(GRAM, **own) for own in settings]


def assert_trained_as_alone(rows: Rows, configs: list[TrainConfig], **options: object) -> None:
    for config, result in zip(configs, fit_many(rows, configs, **options), strict=True):
        assert isinstance(result, Fit)
        assert same(result, fit(rows, config, **options)), config


@pytest.mark.parametrize(
    ("kind", "watched"), [(k, w) for k in KINDS for w in (False, True) if w or not k.startswith("patience")]
)
def test_each_model_has_the_numbers_that_it_has_alone(kind: str, watched: bool) -> None:
    assert_trained_as_alone(ROWS, configs_of(KINDS[kind]), validation=VALIDATION if watched else None)


@pytest.mark.parametrize("targets", [1, 2, 3, 5])
@pytest.mark.parametrize("features", [1, 2, 7, 33])
def test_the_numbers_hold_for_any_shape_of_the_model(features: int, targets: int) -> None:
    random = np.random.default_rng(features)
    x, y = random.normal(size=(200, features)) + 3, random.normal(size=(200, targets))
    rows, validation = rows_of(x, y), moments_of(x[:50] * 1.1, y[:50])
    kinds = [{}, {"momentum": 0.4}, {"weight_decay": 0.3}, {"l1": 0.02}, {"seed": 5}, {"patience": 2}, {"epochs": 3}]
    configs = configs_of([{"learning_rate": 0.05, **own} for own in kinds])
    assert_trained_as_alone(rows, configs, validation=validation)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_of_epochs_has_the_numbers_of_one_epoch_after_the_other(kind: str) -> None:
    for config in [config for config in configs_of(KINDS[kind]) if config.trainer == "gram"]:
        in_chunks = fit(ROWS, config, validation=VALIDATION)
        choice = prepare(config, validation=VALIDATION, start=None)
        training = choice.on(Objective.trained(record_rows(ROWS).moments, config), None)
        assert same(finish(training, *loop(training, VALIDATION, None), ROWS), in_chunks)


@pytest.mark.parametrize("l1", [0.0, 0.3])
def test_small_batches_and_short_chunks_change_no_number(monkeypatch, l1: float) -> None:
    configs = [replace(GRAM, learning_rate=r, weight_decay=w, l1=l1) for r in (0.1, 0.2, 0.4) for w in (0.0, 0.1, 0.2)]
    at_once = fit_many(ROWS, configs)
    monkeypatch.setattr(full_batch, "_BYTES", 600)  # four models of 4 x 2 parameters; chunks of one epoch
    assert all(same(a, b) for a, b in zip(fit_many(ROWS, configs), at_once, strict=True))  # type: ignore[arg-type]


def test_models_of_every_kind_that_stop_at_different_epochs_share_a_chunk() -> None:
    """More epochs than a chunk holds; every momentum, schedule and reason to stop; one is lost on the way."""
    kinds = [own for name in KINDS for own in KINDS[name] if own.get("trainer", "gram") == "gram"]
    kinds.append({"learning_rate": 1.01, "force": True})
    configs = configs_of([{"epochs": 700, **own} for own in kinds])
    for config, result in zip(configs, fit_many(ROWS, configs, validation=VALIDATION), strict=True):
        alone = tried(ROWS, config, VALIDATION)
        assert str(result) == str(alone) if isinstance(result, UserError) else same(result, alone), config


def test_one_that_cannot_converge_and_one_that_diverges_stop_no_other() -> None:
    kinds = [
        ({"learning_rate": 5.0}, "cannot converge"),
        ({}, ""),
        ({"learning_rate": 5.0, "force": True}, "training diverged"),
        ({"trainer": "builtin", "l1": 1.0}, "takes no train.l1"),
        ({"trainer": "manual", "batch_size": 4, "learning_rate": 50.0}, "training diverged"),
        ({"trainer": "manual", "batch_size": 4, "learning_rate": 0.05}, ""),
        ({"learning_rate": 0.1}, ""),
    ]
    reported: dict[int, object] = {}
    configs = configs_of([own for own, _ in kinds])
    results = fit_many(ROWS, configs, on_result=reported.__setitem__)
    for config, result, (_, words) in zip(configs, results, kinds, strict=True):
        alone = tried(ROWS, config)
        assert isinstance(result, UserError) == bool(words)
        assert words in str(result)
        assert str(result) == str(alone) if words else same(result, alone)
    assert [reported[k] for k in range(len(kinds))] == results


def test_a_warm_start_serves_all_models() -> None:
    start = fit(ROWS, GRAM).model
    kinds = [{"trainer": t, "learning_rate": r} for t in ("gram", "manual") for r in (0.1, 0.3)]
    configs = configs_of([{"warm_start": "m/1", **own} for own in kinds])
    assert_trained_as_alone(ROWS, configs, start=start)
    (lacking,) = fit_many(ROWS, configs[:1])
    assert isinstance(lacking, UserError)
    assert "warm_start" in str(lacking)


def test_every_epoch_of_every_model_is_told_with_its_loss() -> None:
    configs = configs_of([{}, {"trainer": "manual", "batch_size": 5}, {"trainer": "exact"}, {"epochs": 3}])
    losses: list[list[tuple[int, float]]] = [[] for _ in configs]
    results = fit_many(ROWS, configs, on_epoch=lambda k, epoch, loss: losses[k].append((epoch, loss)))
    for k, result in enumerate(results):
        assert isinstance(result, Fit)
        assert losses[k] == list(enumerate(result.train_loss))[1:]


def test_models_of_one_loss_share_its_decompositions_and_one_record(monkeypatch) -> None:
    records: list[Rows] = []
    record = sweep.record_rows
    monkeypatch.setattr(sweep, "record_rows", lambda rows: records.append(rows) or record(rows))
    configs = [replace(GRAM, learning_rate=r, weight_decay=w) for r in (0.1, 0.2, 0.3) for w in (0.0, 0.1)]
    results = fit_many(ROWS, configs)
    assert len({id(result.objective) for result in results if isinstance(result, Fit)}) == 2
    assert records == [ROWS]


def test_models_that_walk_the_same_batches_share_the_rows_and_others_do_not(monkeypatch) -> None:
    groups: list[list[int]] = []
    train = sweep._train_group
    monkeypatch.setattr(
        sweep, "_train_group", lambda rows, group, *more: groups.append(list(group)) or train(rows, group, *more)
    )
    mini = replace(GRAM, trainer="builtin", batch_size=5, learning_rate=0.05, epochs=3)
    kinds = [{}, {"learning_rate": 0.1}, {"seed": 1}, {"weight_decay": 0.1}, {"batch_size": 4}]
    kinds.append({"standardize": False, "learning_rate": 1e-6})
    results = fit_many(ROWS, [GRAM, *(replace(mini, **own) for own in kinds)])
    assert groups == [[1, 2, 4], [3], [5], [6]]
    assert all(isinstance(result, Fit) for result in results)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many models each shared epoch has served so far; short trainings are compiled too."""
    counts: list[int] = []
    step = mini_batch.step_many
    monkeypatch.setattr(fused, "COMPILING", 0)
    monkeypatch.setattr(mini_batch, "step_many", lambda t, p, s: counts.append(len(t)) or step(t, p, s))
    return counts


PASSES = [(3, 2, 5), (3, 2, 40), (19, 1, 32), (130, 2, 64)]  # features, targets, rows of a batch
OFTEN = [((3, 2, 5), False)]  # the others are compiled in the long run


@pytest.mark.parametrize(
    ("features", "targets", "batch", "weighted"),
    [pytest.param(*p, w, marks=() if (p, w) in OFTEN else pytest.mark.long) for p in PASSES for w in (False, True)],
)
def test_models_that_share_a_pass_are_those_trained_alone(
    served: list[int], features: int, targets: int, batch: int, weighted: bool
) -> None:
    """More models than a pass serves, of several rates, decays and schedules; one is lost on the way.

    A sweep repeated is equal to the bit to itself; to the models alone, to rounding of float32.
    """
    rows = random_rows(2500, features, targets, weighted=weighted)
    plain = TrainConfig(trainer="fused", batch_size=batch, learning_rate=0.002, epochs=3, standardize=True)
    configs = [replace(plain, learning_rate=0.002 * (1 + k), weight_decay=0.01 * k) for k in range(17)]
    others = [{"learning_rate": 50.0}, {"schedule": "cosine"}, {"epochs": 2}, {"seed": 1}, {"momentum": 0.5}]
    configs += [replace(plain, **own) for own in others]
    together, again = fit_many(rows, configs), fit_many(rows, configs)
    assert served[:1] == ([] if features == 130 else [16])  # of so many parameters each walks alone
    alone = [tried(rows, config) for config in configs]
    assert [isinstance(r, UserError) for r in together] == [k == 17 for k in range(len(configs))]
    for shared, repeated, single in zip(together, again, alone, strict=True):
        if isinstance(shared, UserError):
            assert str(shared) == str(single)
            continue
        assert same(shared, single, 2e-5)
        assert shared.model.weight_OF.tobytes() == repeated.model.weight_OF.tobytes()


@pytest.mark.long  # kernels of its own
def test_models_that_share_a_pass_in_float64_are_those_trained_alone_to_twelve_digits(served: list[int]) -> None:
    plain = TrainConfig(trainer="fused", batch_size=5, epochs=3, dtype="float64")
    rows, configs = random_rows(1500, 3, 2), [replace(plain, learning_rate=r, weight_decay=0.1) for r in (0.002, 0.01)]
    assert_trained_as_alone(rows, configs)
    assert served == [2] * 3


def test_a_pass_serves_the_models_that_it_can(served: list[int]) -> None:
    plain = TrainConfig(trainer="fused", batch_size=5, learning_rate=0.002, epochs=1)
    fit_many(random_rows(2500, 3, 2), [replace(plain, learning_rate=0.001 * (1 + k)) for k in range(20)])
    assert served == [16, 4]
    served.clear()
    fit_many(random_rows(2500, 3, 2), [replace(plain, momentum=0.1 * k) for k in range(3)])
    fit_many(random_rows(2500, 3, 2), [plain])
    assert not served


def tried(rows: Rows, config: TrainConfig, validation: Moments | None = None) -> Fit | UserError:
    try:
        return fit(rows, config, validation=validation)
    except UserError as e:
        return e
