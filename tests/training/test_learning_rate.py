"""A rate that is found: the fastest, to where standard errors are valid; or why not, before the first epoch."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm
import torch

from bench import strd
from linreg.config import TrainConfig
from linreg.design import Design, Term
from linreg.errors import UserError
from linreg.least_squares.inference import infer
from linreg.least_squares.objective import Objective
from linreg.least_squares.results import VALID
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.rows.rows import Rows
from linreg.training.fit import Fit, fit
from linreg.training.learning_rate import automatic, largest_square
from linreg.training.plan import plan
from linreg.training.prepare import ranges_for
from tests.support.tables import X15, Y15, moments_of, rows_of
from tests.training.references import coordinates, start, torch_sgd

NIST = {name: reference for name, reference in strd.load().items() if reference.intercept}
EXACT = ("Wampler1", "Wampler2")  # met to rounding: there is no noise to tell errors from
WORST = ("Norris", "Filip", "Longley", "Wampler1")  # of both kinds, and those of the largest condition numbers
OWN = ("scales", "collinear")


def table(rows: int, features: int, targets: int = 1, *, rho: float = 0.5, mean: float = 0.0, seed: int = 0):
    """Columns that are correlated alike, and targets with noise of spread 1."""
    rng = np.random.default_rng(seed)
    covariance = rho * np.ones((features, features)) + (1 - rho) * np.eye(features)
    x = rng.normal(size=(rows, features)) @ np.linalg.cholesky(covariance).T
    return x, mean + x @ rng.normal(size=(features, targets)) + rng.normal(size=(rows, targets))


def distance(fitted: Fit, x: np.ndarray, y: np.ndarray) -> float:
    """The most standard errors of any parameter from statsmodels' least squares, on columns that are centred."""
    worst = 0.0
    for o in range(y.shape[1]):
        truth = sm.OLS(y[:, o], sm.add_constant(x - x.mean(axis=0))).fit()
        ours = np.concatenate([fitted.model.predict(x.mean(axis=0)[None])[0, [o]], fitted.model.weight_OF[o]])
        worst = max(worst, float(np.abs((ours - truth.params) / truth.bse).max()))
    return worst


def shrinkage(values: np.ndarray, rate: np.ndarray, momentum: np.ndarray, *, nesterov: bool = False) -> np.ndarray:
    """What an epoch multiplies the slowest direction by in the end: the largest root of z^2 - middle z + last."""
    h, momentum = 1 - np.multiply.outer(rate, values), np.expand_dims(momentum, -1)
    middle, last = ((1 + momentum) * h, momentum * h) if nesterov else (h + momentum, momentum)
    root = np.sqrt(middle**2 - 4 * last + 0j)
    return np.maximum(np.abs(middle + root), np.abs(middle - root)).max(axis=-1) / 2


@pytest.mark.parametrize("rho", [0.0, 0.9, 0.999])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}])
def test_no_rate_and_momentum_shrink_the_slowest_direction_faster(rho: float, options: dict) -> None:
    x, y = table(200, 4, rho=rho)
    values = np.linalg.eigvalsh(2 / 200 * (d := sm.add_constant(coordinates(x, standardize=True))).T @ d)
    objective = Objective.of(moments_of(x, y), standardize=True)
    found = automatic(objective, TrainConfig(**options), None, None, in_rows=False).config
    nesterov = bool(options.get("nesterov"))
    ours = shrinkage(values, found.learning_rate, found.momentum, nesterov=nesterov)
    momenta = [options["momentum"]] if options else np.linspace(0, 0.99, 100)
    rates = np.linspace(0.02, 4, 200) / values.max()
    others = shrinkage(values, *np.meshgrid(rates, momenta), nesterov=nesterov)
    assert ours <= others.min() + 2e-3


@pytest.mark.parametrize("name", NIST)
def test_a_config_without_a_rate_ends_in_valid_inference_on_every_nist_set_of_full_rank(name: str) -> None:
    x, y = NIST[name].arrays()
    x, y = x.reshape(len(y), -1), y[:, None]
    fitted = fit(rows_of(x, y), TrainConfig())
    inference = infer(fitted.model, moments_of(x, y))
    assert inference.valid if name not in EXACT else "zero to rounding" in inference.inference
    certified = NIST[name].certified
    deviations = np.array([float(d) for d in certified.deviations_P])
    off = np.abs([*fitted.model.intercept_O, *fitted.model.weight_OF[0]] - np.array(certified.parameters_P, float))
    assert (off <= 0.011 * deviations + 1e-6 * np.abs(np.array(certified.parameters_P, float))).all()


@pytest.mark.parametrize("name", [*(pytest.param(n, marks=() if n in WORST else pytest.mark.long) for n in NIST), *OWN])
@pytest.mark.parametrize("options", [{"batch_size": 4}, {"batch_size": 4, "dtype": "float64"}])
def test_mini_batches_end_there_too_or_a_closed_form_does_and_says_why(name: str, options: dict) -> None:
    if name in NIST:
        x, y = NIST[name].arrays()
        x, y = x.reshape(len(y), -1), y[:, None]
    else:
        x, y = table(400, 3, 2)
        x[:, 2] = x[:, 0] + 1e-6 * table(400, 1, seed=1)[0][:, 0] if name == "collinear" else x[:, 2]
        x = x * np.array([1e-3, 1, 1e3]) if name == "scales" else x  # condition numbers 1e12 of the raw columns
    fitted = fit(rows_of(x, y), TrainConfig(**options))
    assert infer(fitted.model, moments_of(x, y)).valid == (name not in EXACT)
    assert fitted.rate if fitted.trainer == "fused" else fitted.why.startswith("auto: batches of 4 do not come within")
    if fitted.trainer == "exact":
        with pytest.raises(UserError, match=r'finds none for train.trainer fused: batches .*train.trainer = "auto"'):
            fit(rows_of(x, y), TrainConfig(trainer="fused", **options))


@pytest.mark.parametrize("decades", [0, 3, 6, 12])
def test_neither_scale_nor_offset_nor_near_collinear_columns_leave_a_model_half_trained(decades: int) -> None:
    x, y = table(300, 3)
    scaled = x * 10.0 ** np.array([0, decades, -decades])
    near = np.column_stack([x, x[:, 0] + 10.0 ** (-decades / 2) * table(300, 1, seed=1)[0][:, 0]])
    for columns in (scaled, near, x + 10.0 ** (decades / 2)):
        for standardize in (True, False):
            fitted = fit(rows_of(columns, y), TrainConfig(standardize=standardize))
            assert infer(fitted.model, moments_of(columns, y)).inference == VALID
            assert fitted.trainer == "gram" or "it would take" in fitted.why or "no number of epochs" in fitted.why


@pytest.mark.parametrize("trainer", ["gram", "manual", "builtin", "fused"])
def test_its_numbers_are_torchs_and_bring_every_parameter_within_a_hundredth_of_its_standard_error(trainer) -> None:
    x, y = X15, Y15
    fitted = fit(rows_of(x, y), TrainConfig(trainer=trainer, dtype="float64"))
    assert fitted.stopped == "within 0.01 standard errors of the optimum"
    assert fitted.epochs == len(fitted.train_loss) - 1 < 100
    assert fitted.config.momentum > 0 < fitted.config.learning_rate
    assert distance(fitted, x, y) <= 0.01
    weight, bias = (p.to(torch.float64).requires_grad_() for p in start(0))
    z, t = torch.tensor(coordinates(x, standardize=True)), torch.tensor(y)
    first = torch.nn.functional.mse_loss(z @ weight.T + bias, t)
    assert fitted.train_loss[0] == pytest.approx(first.item(), rel=1e-12)
    optimizer = torch.optim.SGD([weight, bias], lr=fitted.config.learning_rate, momentum=fitted.config.momentum)
    for _ in range(fitted.epochs):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(z @ weight.T + bias, t).backward()
        optimizer.step()
    assert fitted.model.bias_O == pytest.approx(bias.detach().numpy(), rel=1e-9)
    assert f"learning rate {fitted.config.learning_rate:.4g}, momentum" in fitted.rate


def test_a_rate_of_ones_own_runs_all_epochs_unless_the_tolerance_is_named() -> None:
    named = TrainConfig(learning_rate=0.3, epochs=300)
    assert (named.tolerance, TrainConfig().tolerance) == (0.0, "auto")
    fitted = fit(rows_of(X15, Y15), named)
    assert (fitted.epochs, fitted.stopped, fitted.rate) == (300, "all epochs run", "")
    stopped = fit(rows_of(X15, Y15), TrainConfig(learning_rate=0.3, epochs=300, tolerance="auto"))
    assert 0 < stopped.epochs < 300
    assert stopped.train_loss == fitted.train_loss[: stopped.epochs + 1]
    assert distance(stopped, X15, Y15) <= 0.01


def test_a_named_trainer_that_needs_more_epochs_says_how_many_and_these_do() -> None:
    x, y = table(300, 4, rho=0.9999)
    with pytest.raises(UserError) as caught:
        fit(rows_of(x, y), TrainConfig(trainer="gram"))
    words = str(caught.value)
    assert "condition number" in words
    assert "and train.epochs is 1,000" in words
    needed = int(words.split("train.epochs = ")[1].split(",")[0])
    assert f"it would take {needed:,} epochs" in words
    assert fit(rows_of(x, y), TrainConfig(trainer="gram", epochs=needed)).epochs <= needed
    forced = fit(rows_of(x, y), TrainConfig(trainer="gram", force=True))
    assert forced.stopped == "all epochs run, and not within 0.01 standard errors of the optimum"
    automatic_one = fit(rows_of(x, y), TrainConfig())
    assert (automatic_one.trainer, automatic_one.epochs, automatic_one.rate) == ("exact", 0, "")
    assert automatic_one.why.startswith(f"auto: it would take {needed:,} epochs")


@pytest.mark.parametrize("options", [{"weight_decay": 0.3}, {"l1": 0.5}, {"l1": 0.5, "weight_decay": 0.3}])
def test_with_penalties_it_comes_near_the_optimum_of_the_penalised_loss(options: dict) -> None:
    x, y = table(300, 4)
    found = fit(rows_of(x, y), TrainConfig(trainer="gram", **options))
    best = fit(rows_of(x, y), TrainConfig(trainer="exact", **options)).model
    errors = sm.OLS(y[:, 0], sm.add_constant(x)).fit().bse[1:]
    assert (np.abs(found.model.weight_OF[0] - best.weight_OF[0]) <= 0.01 * errors).all()
    assert (found.config.momentum == 0) == bool(options.get("l1"))


def test_schedules_patience_and_a_tolerance_of_ones_own_go_with_it() -> None:
    x, y = table(300, 4)
    cosine = fit(rows_of(x, y), TrainConfig(schedule="cosine"))
    assert (cosine.trainer, cosine.config.schedule) == ("gram", "cosine")
    assert distance(cosine, x, y) <= 0.01
    patient = TrainConfig(patience=3, epochs=4)
    fitted = fit(rows_of(x, y), patient, validation=moments_of(*table(50, 4, seed=1)))
    assert (fitted.trainer, fitted.config.momentum) == ("gram", 0.0)
    loose = fit(rows_of(x, y), TrainConfig(tolerance=0.5))
    assert loose.excess_loss[-1] <= 0.5 < loose.excess_loss[-2]


def test_a_start_that_is_near_enough_needs_no_epoch() -> None:
    x, y = table(300, 4)
    best = fit(rows_of(x, y), TrainConfig(trainer="exact")).model
    again = fit(rows_of(x, y), TrainConfig(warm_start="m"), start=best)
    assert (again.trainer, again.epochs) == ("gram", 0)


def test_tables_without_one_optimum_are_fitted_as_well_as_can_be() -> None:
    x, y = table(60, 3)
    tied = np.column_stack([x, x[:, 0] + x[:, 1], np.ones(60)])
    few = table(4, 6)
    for columns, target in ((tied, y), few, (x, x @ np.ones((3, 1))), (x, np.zeros((60, 1))), (x, np.full((60, 1), 7))):
        design = sm.add_constant(columns, has_constant="add")
        best = design @ np.linalg.lstsq(design, target, rcond=None)[0]
        predicted = fit(rows_of(columns, target.astype(float)), TrainConfig()).model.predict(columns)
        noise = float(np.sqrt(((best - target) ** 2).sum()))
        assert np.abs(predicted - best).max() <= 0.01 * noise + 1e-9


@pytest.mark.parametrize("size", [1, 10, 50])
def test_mini_batches_are_as_near_as_foretold_when_they_were_to_be(size: int) -> None:
    x, y = table(1000, 3, 2, mean=3.0)
    for seed in range(5):
        fitted = fit(rows_of(x, y), TrainConfig(batch_size=size, dtype="float64", seed=seed))
        expected = int(fitted.rate.rsplit(" ", 1)[1])
        assert fitted.trainer == "fused"
        assert expected / 4 < fitted.epochs <= expected < 500
        assert distance(fitted, x, y) <= 0.01


def test_mini_batches_that_end_further_away_than_foretold_leave_no_model_short_where_the_trainer_is_auto() -> None:
    rng, few = np.random.default_rng(1), (np.arange(1000) < 20)[:, None]
    x = rng.normal(size=(1000, 2)) * np.where(few, 15, 1)
    y = x[:, :1] + np.where(few, 30, 0.05) * rng.normal(size=(1000, 1))  # the rows far out have most of the noise
    config = TrainConfig(batch_size=10, dtype="float64", epochs=200)
    short = fit(rows_of(x, y), replace(config, trainer="fused"))
    assert short.stopped == "all epochs run, and not within 0.01 standard errors of the optimum"
    assert 0.01 < distance(short, x, y) < 0.2
    fitted = fit(rows_of(x, y), config)
    assert (fitted.trainer, fitted.epochs) == ("exact", 0)
    assert fitted.why == "auto: all 200 epochs did not bring it near enough, so exact"
    assert infer(fitted.model, moments_of(x, y)).valid


@pytest.mark.long
def test_mini_batches_walk_as_torch_does_with_the_rates_it_chose() -> None:
    x, y = table(200, 3)
    for trainer in ("manual", "builtin", "fused"):
        fitted = fit(rows_of(x, y), TrainConfig(trainer=trainer, batch_size=10, dtype="float64"))
        ours = np.vstack([fitted.model.bias_O, (fitted.model.weight_OF * x.std(axis=0)).T])
        torchs = torch_sgd(coordinates(x, standardize=True), y, fitted.config)[fitted.epochs]
        assert ours == pytest.approx(torchs, rel=1e-9, abs=1e-12)
        assert fitted.config.schedule == "step"


def test_no_row_is_larger_than_the_bound_and_rows_far_out_make_no_descent_diverge() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_t(1.5, size=(400, 3))
    y = x @ np.ones((3, 1)) + rng.normal(size=(400, 1))
    ranges = Ranges.of(x.T)
    for standardize in (True, False):
        squares = (coordinates(x, standardize=standardize) ** 2).sum(axis=1) + 1
        bound = largest_square(Objective.of(moments_of(x, y), standardize=standardize), ranges)
        assert squares.max() <= bound <= 3 * squares.max()
    for size in (1, 16):
        config = TrainConfig(trainer="fused", batch_size=size, dtype="float64", force=True, epochs=200)
        fitted = fit(rows_of(x, y), config)
        assert fitted.train_loss[-1] < 1.01 * plan(moments_of(x, y), config).optimum_loss


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(("counts", "most"), [((5, 3), 4), ((40, 2), 4), ((2, 30), 4), ((400,), 1.03)])
def test_of_a_category_only_the_farthest_level_counts(counts: tuple[int, ...], most: float, standardize: bool) -> None:
    """Beside a second one: a number, a constant, and the product of the number and a level."""
    rng, n, columns = np.random.default_rng(len(counts)), 30 * max(counts), {}
    terms = [Term(levels=((name, str(i)),)) for name, count in zip("ab", counts, strict=False) for i in range(1, count)]
    for name, count in zip("ab", counts, strict=False):
        drawn = rng.choice(count, n, p=0.5 * rng.dirichlet(np.ones(count)) + 0.5 / count)
        columns[name] = pa.array(drawn.astype(str)).dictionary_encode()
    terms += [Term(("x",)), Term(("constant",)), Term(("x",), (("a", "1"),))] if len(counts) > 1 else []
    table = pa.table(columns | {"constant": np.full(n, 3.0), "x": rng.normal(size=n), "y": rng.normal(size=n)})
    design = Design({term.name: term for term in terms})
    rows = Rows([table], tuple(design.terms), ("y",), design=design)
    objective = Objective.of(Moments.of(rows.blocks(), rows.features, rows.targets), standardize=standardize)
    z = (rows.arrays()[0] - objective.centre_F) / objective.scale_F
    truth, bound = 1 + (z**2).sum(axis=1).max(), largest_square(objective, ranges_for(TrainConfig(batch_size=10), rows))
    assert truth <= bound * (1 + 1e-12) <= most * truth


@pytest.mark.parametrize(
    ("options", "words", "remedy"),
    [
        ({"batch_size": 64}, "the last batch of an epoch is of 4 rows, which count 16 times", "train.batch_size = "),
        ({"batch_size": 10, "mean": 1e5}, "their steps are rounded to float32", 'train.dtype = "float64"'),
        ({"batch_size": 10, "epochs": 5}, "5 epochs are too few", "train.batch_size = 0"),
        ({"batch_size": 10, "shuffle": False}, "always walked in one order", "train.shuffle = true"),
    ],
)
def test_what_keeps_mini_batches_away_is_told_with_a_remedy_before_the_first_epoch(options, words, remedy) -> None:
    options = dict(options)
    x, y = table(260, 3, mean=options.pop("mean", 0.0))
    seen: list[int] = []
    with pytest.raises(UserError) as caught:
        fit(rows_of(x, y), TrainConfig(trainer="fused", **options), on_epoch=lambda epoch, _: seen.append(epoch))
    assert words in str(caught.value)
    assert remedy in str(caught.value)
    assert not seen
    fitted = fit(rows_of(x, y), TrainConfig(**options))
    assert (fitted.trainer, words in fitted.why) == ("exact", True)
    assert distance(fitted, x, y) < 1e-6
    forecast = plan(moments_of(x, y), TrainConfig(**options), ranges=Ranges.of(np.hstack([x, y]).T))
    assert words in forecast.rate
    assert "auto takes exact" in forecast.rate


def test_the_plan_foretells_the_rate_that_the_training_takes() -> None:
    x, y = table(260, 3)
    for config in (TrainConfig(), TrainConfig(batch_size=26, dtype="float64")):
        forecast = plan(moments_of(x, y), config, ranges=Ranges.of(np.hstack([x, y]).T))
        assert forecast.rate == fit(rows_of(x, y), config).rate
        assert forecast.advice == ()
    refused = plan(moments_of(x, y), TrainConfig(trainer="gram", epochs=1))
    assert refused.advice[0].startswith('train.learning_rate "auto" finds none for train.trainer gram')
