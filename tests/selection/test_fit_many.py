"""Many models at once: each has the numbers that it has alone, and none stops another."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.moments.moments import Moments
from linreg.moments.training_record import record_rows
from linreg.rows.rows import Rows
from linreg.selection import fit_many as sweep
from linreg.selection.fit_many import fit_many
from linreg.training import full_batch, mini_batch
from linreg.training.convergence import parameters_after
from linreg.training.fit import Fit, finish, fit
from linreg.training.loop import loop
from linreg.training.prepare import prepare
from linreg.training.trainers import fused
from tests.support.tables import X15, Y15, moments_of, rows_of

GRAM = TrainConfig(trainer="gram", epochs=40, learning_rate=0.3, device="cpu")
ROWS = rows_of(X15, Y15)
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


@pytest.mark.parametrize(
    ("kind", "watched"), [(k, w) for k in KINDS for w in (False, True) if w or not k.startswith("patience")]
)
def test_each_model_has_the_numbers_that_it_has_alone(kind: str, watched: bool) -> None:
    configs = [replace(GRAM, **own) for own in KINDS[kind]]
    validation = moments_of(X15[3:9] + 1.5, Y15[3:9]) if watched else None
    alone = [fit(ROWS, config, validation=validation) for config in configs]
    for one, other in zip(fit_many(ROWS, configs, validation=validation), alone, strict=True):
        assert isinstance(one, Fit)
        assert same(one, other)


@pytest.mark.parametrize("targets", [1, 2, 3, 5])
@pytest.mark.parametrize("features", [1, 2, 7, 33])
def test_the_numbers_hold_for_any_shape_of_the_model(features: int, targets: int) -> None:
    random = np.random.default_rng(features)
    x, y = random.normal(size=(200, features)) + 3, random.normal(size=(200, targets))
    rows, validation = rows_of(x, y), moments_of(x[:50] * 1.1, y[:50])
    hows = [{}, {"momentum": 0.4}, {"weight_decay": 0.3}, {"l1": 0.02}, {"seed": 5}, {"patience": 2}, {"epochs": 3}]
    configs = [replace(GRAM, learning_rate=0.05, **how) for how in hows]
    for one, config in zip(fit_many(rows, configs, validation=validation), configs, strict=True):
        assert isinstance(one, Fit)
        assert same(one, fit(rows, config, validation=validation)), config


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_of_epochs_has_the_numbers_of_one_epoch_after_the_other(kind: str) -> None:
    validation = moments_of(X15[3:9] + 1.5, Y15[3:9])
    configs = [replace(GRAM, **own) for own in KINDS[kind]]
    for config in [config for config in configs if config.trainer == "gram"]:
        in_chunks = fit(ROWS, config, validation=validation)
        choice = prepare(config, validation=validation, start=None)
        training = choice.on(Objective.trained(record_rows(ROWS).moments, config), None)
        assert same(finish(training, *loop(training, validation, None), gaps=False), in_chunks)


@pytest.mark.parametrize("l1", [0.0, 0.3])
def test_small_batches_and_short_chunks_change_no_number(monkeypatch, l1: float) -> None:
    configs = [replace(GRAM, learning_rate=r, weight_decay=w, l1=l1) for r in (0.1, 0.2, 0.4) for w in (0.0, 0.1, 0.2)]
    at_once = fit_many(ROWS, configs)
    monkeypatch.setattr(full_batch, "_BYTES", 600)  # four models of 4 x 2 parameters; chunks of one epoch
    assert all(same(a, b) for a, b in zip(fit_many(ROWS, configs), at_once, strict=True))  # type: ignore[arg-type]


def test_models_of_every_kind_that_stop_at_different_epochs_share_a_chunk() -> None:
    """More epochs than a chunk holds; every momentum, schedule and reason to stop; one is lost on the way."""
    kinds = [own for name in KINDS for own in KINDS[name] if own.get("trainer", "gram") == "gram"]
    configs = [replace(GRAM, **{"epochs": 700, **own}) for own in kinds]
    configs.append(replace(GRAM, epochs=700, learning_rate=1.01, force=True))
    validation = moments_of(X15[3:9] + 1.5, Y15[3:9])
    for config, result in zip(configs, fit_many(ROWS, configs, validation=validation), strict=True):
        alone = tried(ROWS, config, validation)
        assert str(result) == str(alone) if isinstance(result, UserError) else same(result, alone), config


def test_the_walk_is_the_closed_form() -> None:
    rates = [0.05, 0.2, 0.5, 0.8]
    objective = Objective.of(moments_of(X15, Y15), standardize=True)
    for rate, found in zip(rates, fit_many(ROWS, [replace(GRAM, learning_rate=r) for r in rates]), strict=True):
        assert isinstance(found, Fit)
        start = objective.theta(fit(ROWS, replace(GRAM, learning_rate=1e-300, epochs=1)).model)
        for epoch in (1, 7, 40):
            theta = parameters_after(objective, start, learning_rate=rate, epochs=epoch)
            assert found.excess_loss[epoch] == pytest.approx(objective.excess_loss(theta), rel=1e-9)


def test_one_that_cannot_converge_and_one_that_diverges_stop_no_other() -> None:
    hows = [{"learning_rate": 5.0}, {}, {"learning_rate": 5.0, "force": True}, {"trainer": "builtin", "l1": 1.0}]
    hows += [{"trainer": "manual", "batch_size": 4, "learning_rate": 50.0}, {"learning_rate": 0.1}]
    configs = [replace(GRAM, **how) for how in hows]
    told: dict[int, object] = {}
    found = fit_many(ROWS, configs, on_result=told.__setitem__)
    words = ["cannot converge", None, "training diverged", "takes no train.l1", "training diverged", None]
    for config, one, word in zip(configs, found, words, strict=True):
        if word is None:
            assert isinstance(one, Fit)
            assert same(one, fit(ROWS, config))
        else:
            assert isinstance(one, UserError)
            with pytest.raises(UserError, match=word) as alone:
                fit(ROWS, config)
            assert str(one) == str(alone.value)
    assert [told[k] for k in range(6)] == found


def test_a_warm_start_serves_all_models() -> None:
    start = fit(ROWS, GRAM).model
    configs = [
        replace(GRAM, warm_start="m/1", learning_rate=r, trainer=t) for t in ("gram", "manual") for r in (0.1, 0.3)
    ]
    for one, config in zip(fit_many(ROWS, configs, start=start), configs, strict=True):
        assert isinstance(one, Fit)
        assert same(one, fit(ROWS, config, start=start))
    (lacking,) = fit_many(ROWS, configs[:1])
    assert isinstance(lacking, UserError)
    assert "warm_start" in str(lacking)


def test_every_epoch_of_every_model_is_told_with_its_loss() -> None:
    hows = [{}, {"trainer": "manual", "batch_size": 5}, {"trainer": "exact"}, {"epochs": 3}]
    configs = [replace(GRAM, **how) for how in hows]
    told: dict[int, list[tuple[int, float]]] = {}
    found = fit_many(ROWS, configs, on_epoch=lambda k, epoch, loss: told.setdefault(k, []).append((epoch, loss)))
    for k, one in enumerate(found):
        assert isinstance(one, Fit)
        assert told.get(k, []) == list(enumerate(one.train_loss))[1:]


def test_models_of_one_loss_share_its_decompositions_and_one_record(monkeypatch) -> None:
    made: list[object] = []
    trained, recorded = Objective.trained, sweep.record_rows
    monkeypatch.setattr(Objective, "trained", lambda moments, config: made.append(config) or trained(moments, config))
    monkeypatch.setattr(sweep, "record_rows", lambda rows: made.append("record") or recorded(rows))
    fit_many(ROWS, [replace(GRAM, learning_rate=r, weight_decay=w) for r in (0.1, 0.2, 0.3) for w in (0.0, 0.1)])
    assert made.count("record") == 1
    assert len(made) == 3


def test_models_that_walk_the_same_batches_share_the_rows_and_others_do_not(monkeypatch) -> None:
    groups: list[list[int]] = []
    train = sweep._train_group
    monkeypatch.setattr(
        sweep, "_train_group", lambda rows, group, *more: groups.append(list(group)) or train(rows, group, *more)
    )
    mini = replace(GRAM, trainer="builtin", batch_size=5, learning_rate=0.05, epochs=3)
    hows = [
        {},
        {"learning_rate": 0.1},
        {"seed": 1},
        {"weight_decay": 0.1},
        {"batch_size": 4},
        {"standardize": False, "learning_rate": 1e-6},
    ]
    found = fit_many(ROWS, [GRAM, *(replace(mini, **how) for how in hows)])
    assert groups == [[1, 2, 4], [3], [5], [6]]
    assert all(isinstance(one, Fit) for one in found)


def test_a_diverging_model_of_a_shared_pass_stops_no_other() -> None:
    mini = replace(GRAM, trainer="builtin", batch_size=5, epochs=3)
    lost, fine = fit_many(ROWS, [replace(mini, learning_rate=100.0), replace(mini, learning_rate=0.05)])
    assert isinstance(lost, UserError)
    assert isinstance(fine, Fit)


def test_weight_decays_end_at_scikit_learns_ridge() -> None:
    decays = [0.1, 1.0, 10.0]
    configs = [
        replace(GRAM, weight_decay=d, learning_rate=0.1, epochs=2000, standardize=False, trainer="exact")
        for d in decays
    ]
    for decay, found in zip(decays, fit_many(ROWS, configs), strict=True):
        assert isinstance(found, Fit)
        peer = Ridge(alpha=decay * len(X15) * 2 / 2, solver="svd").fit(X15, Y15)
        np.testing.assert_allclose(found.model.weight_OF, peer.coef_, rtol=1e-9)


def test_a_thousand_models_are_walked_in_the_time_of_a_few() -> None:
    configs = [replace(GRAM, learning_rate=0.5 * (i + 1) / 1000, epochs=100) for i in range(1000)]
    found = fit_many(ROWS, configs)
    ends = [one.train_loss[-1] for one in found if isinstance(one, Fit)]
    assert len(ends) == 1000
    assert all(math.isfinite(loss) for loss in ends)
    assert same(found[499], fit(ROWS, configs[499]))  # type: ignore[arg-type]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
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
    seen: list[int], features: int, targets: int, batch: int, weighted: bool
) -> None:
    """More models than a pass serves, of several rates, decays and schedules; one is lost on the way.

    A sweep repeated is equal to the bit to itself; to the models alone, to rounding of float32.
    """
    rows = wide_rows(2500, features, targets, weighted=weighted)
    plain = TrainConfig(trainer="fused", batch_size=batch, learning_rate=0.002, epochs=3, standardize=True)
    configs = [replace(plain, learning_rate=0.002 * (1 + k), weight_decay=0.01 * k) for k in range(17)]
    configs += [
        replace(plain, learning_rate=50.0),
        replace(plain, schedule="cosine"),
        replace(plain, epochs=2),
        replace(plain, seed=1),
        replace(plain, momentum=0.5),
    ]
    together, again = fit_many(rows, configs), fit_many(rows, configs)
    assert seen[:1] == ([] if features == 130 else [16])  # of so many parameters each walks alone
    alone = [tried(rows, config) for config in configs]
    assert [isinstance(r, UserError) for r in together] == [k == 17 for k in range(len(configs))]
    for shared, repeated, single in zip(together, again, alone, strict=True):
        if isinstance(shared, UserError):
            assert str(shared) == str(single)
            continue
        assert same(shared, single, 2e-5)
        assert shared.model.weight_OF.tobytes() == repeated.model.weight_OF.tobytes()


def test_models_that_share_a_pass_in_float64_are_those_trained_alone_to_twelve_digits(seen: list[int]) -> None:
    plain = TrainConfig(trainer="fused", batch_size=5, epochs=3, dtype="float64")
    rows, configs = wide_rows(1500, 3, 2), [replace(plain, learning_rate=r, weight_decay=0.1) for r in (0.002, 0.01)]
    for shared, config in zip(fit_many(rows, configs), configs, strict=True):
        assert isinstance(shared, Fit)
        assert same(shared, fit(rows, config))
    assert seen == [2] * 3


def test_a_pass_serves_the_models_that_it_can(seen: list[int]) -> None:
    plain = TrainConfig(trainer="fused", batch_size=5, learning_rate=0.002, epochs=1)
    fit_many(wide_rows(2500, 3, 2), [replace(plain, learning_rate=0.001 * (1 + k)) for k in range(20)])
    assert seen == [16, 4]
    seen.clear()
    fit_many(wide_rows(2500, 3, 2), [replace(plain, momentum=0.1 * k) for k in range(3)])
    fit_many(wide_rows(2500, 3, 2), [plain])
    assert not seen


def wide_rows(n: int, f: int, o: int, *, weighted: bool = False) -> Rows:
    rng = np.random.default_rng(0)
    x_NF = rng.normal(size=(n, f))
    y_NO = x_NF @ rng.normal(size=(f, o)) + rng.normal(size=(n, o))
    names = tuple(f"x{i}" for i in range(f)), tuple(f"y{i}" for i in range(o))
    columns = dict(zip(sum(names, ()), np.hstack([x_NF, y_NO]).T, strict=True))
    return Rows([pa.table(columns | {"w": rng.uniform(0.2, 3, n)})], *names, weight="w" if weighted else "")


def tried(rows: Rows, config: TrainConfig, validation: Moments | None = None) -> Fit | UserError:
    try:
        return fit(rows, config, validation=validation)
    except UserError as e:
        return e
