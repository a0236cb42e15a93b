"""The pictures: what they show, for odd names and odd numbers too, and that no window or global state is touched."""

import numpy as np
import pytest

from linreg import plots
from linreg.plots.parabolas import _WALK

PNG = b"\x89PNG\r\n\x1a\n"
NAMES = ("bias", "f0", "f1", "f2")
ODD = ["y" * 41, "$\\foo$", "cost ($) of $", "価格", "a_b^c", "_hidden", "x" * 80, "50% off"]


def test_the_loss_curve_shows_every_epoch_and_the_optimum_as_a_line() -> None:
    axes = plots.loss_curve([9.0, 4.0, 2.0], 1.0).axes[0]
    curve, optimum = axes.get_lines()
    assert list(curve.get_xdata()) == [0, 1, 2]
    assert list(curve.get_ydata()) == [9.0, 4.0, 2.0]
    assert set(optimum.get_ydata()) == {1.0}
    assert axes.get_yscale() == "log"
    assert "2" in axes.get_title()


@pytest.mark.parametrize(
    ("losses", "optimum"),
    [
        *(([1.0, 0.0], 0.0), ([1e300, 1e-300], 0.0), ([3.0] * 4, 3.0), ([1e-30, 1e-31], 1e-31), ([1e299, 1.0], 1.0)),
        *(([0.0], 0.0), ([1e-30], 1e-31), ([1e300], 1.0), ([1.0], 0.5), ([3.7], 3.7)),  # without epochs
    ],
)
def test_a_loss_curve_is_drawn_for_any_losses(losses: list[float], optimum: float) -> None:
    for validation in ([], losses):
        figure = plots.loss_curve(losses, optimum, validation)
        assert plots.png(figure).startswith(PNG)
        is_log = figure.axes[0].get_yscale() == "log"
        assert is_log == (len(losses) > 1 and 0 < min([*losses, optimum]) < max([*losses, optimum]) < 1e250)


@pytest.mark.parametrize("validation", [[], [1.7]])
def test_a_loss_without_epochs_is_a_mark_with_its_value_and_no_epochs_are_counted(validation: list[float]) -> None:
    figure = plots.loss_curve([0.9094], 0.9094, validation)
    (axes,) = figure.axes
    watched = [f"on the validation rows: {v:g}" for v in validation]
    assert [text.get_text() for text in axes.texts] == ["best possible: 0.9094", "this model: 0.9094", *watched]
    assert axes.get_legend() is None
    assert (list(axes.get_xticks()), axes.get_xlabel()[:9]) == ([], "no epochs")
    assert axes.get_ylim() == (0, pytest.approx(1.4 * max([0.9094, *validation])))
    assert plots.png(figure).startswith(PNG)


def test_a_start_that_stayed_the_best_is_still_a_curve_of_epochs() -> None:
    axes = plots.loss_curve([4.0], 1.0, [4.0, 5.0, 6.0]).axes[0]
    assert axes.get_xlabel() == "epoch"
    assert "kept: epoch 0" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_predictions_stand_against_the_truth_one_panel_a_target() -> None:
    y, p = np.random.default_rng(0).normal(size=(2, 7, 2))
    figure = plots.predicted_against_actual(y, p, ["apples", "oranges"], "test rows")
    assert [a.get_title() for a in figure.axes] == ["apples", "oranges"]
    points = figure.axes[1].get_lines()[1]
    assert (list(points.get_xdata()), list(points.get_ydata())) == (y[:, 1].tolist(), p[:, 1].tolist())
    assert "test rows" in figure.get_suptitle()


def test_many_rows_are_thinned_and_the_picture_says_so() -> None:
    y = np.arange(20_000.0)[:, None]
    figure = plots.predicted_against_actual(y, y, ["y"], "test rows")
    assert len(figure.axes[0].get_lines()[1].get_xdata()) == 5_000
    assert "1 in 4" in figure.get_suptitle()


def test_coefficients_are_slopes_times_spreads_the_largest_on_top() -> None:
    weight, spread = np.array([[1.0, -2.0, 0.5]]), np.array([1.0, 10.0, 4.0])
    axes = plots.coefficients(weight, spread, ["a", "b", "c"], ["y"]).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [1.0, 2.0, -20.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "c", "b"]


def test_the_ridge_path_shows_every_weight_decay_none_apart_and_the_marked_ones() -> None:
    decays, rmse = np.array([0.0, 0.1, 1.0, 10.0]), np.array([3.0, 2.0, 1.0, 4.0])
    degrees = np.array([5.0, 4.0, 3.0, 1.5])
    figure = plots.ridge_path(decays, rmse, rmse / 10, degrees, folds=5, best=2, within=3, current=0)
    axes, top = figure.axes
    path, none, limit, best, within, own = axes.get_lines()
    assert (list(path.get_xdata()), list(path.get_ydata())) == (decays[1:].tolist(), rmse[1:].tolist())
    assert 0 < none.get_xdata()[0] < 0.1
    assert axes.get_xticklabels()[0].get_text() == "0"
    assert limit.get_ydata()[0] == pytest.approx(1.1)
    assert [float(line.get_ydata()[0]) for line in (best, within, own)] == [1.0, 4.0, 3.0]
    assert axes.get_ylabel() == "5-fold RMSE"
    assert [top.get_xticklabels()[i].get_text() for i in (0, -1)] == ["5", "1.5"]
    assert top.get_xlim() == axes.get_xlim()


@pytest.mark.parametrize("decays", [[0.0], [0.5], [0.0, 1e-30, 1e30], [1.0, 2.0, 3.0]])
def test_a_ridge_path_is_drawn_for_any_grid(decays: list[float]) -> None:
    one = np.ones(len(decays))
    assert plots.png(plots.ridge_path(np.array(decays), one, 0 * one, one, folds=3, best=0, within=0)).startswith(PNG)


def test_whiskers_are_the_intervals_in_the_same_units() -> None:
    weight, spread, half = np.array([[1.0, -2.0]]), np.array([1.0, 10.0]), np.array([[0.5, 0.25]])
    figure = plots.coefficients(weight, spread, ["a", "b"], ["y"], half_OF=half)
    (lines,) = (figure.axes[0].collections[0].get_segments(),)
    assert [[x for x, _ in line] for line in lines] == [[0.5, 1.5], [-22.5, -17.5]]
    assert "95% intervals" in figure.get_suptitle()


def test_without_intervals_the_title_says_why_in_lines_that_fit() -> None:
    why = "the parameters are up to 32 standard errors from the optimum ($0.01 is allowed$): more epochs " * 20
    figure = plots.coefficients(np.ones((1, 2)), np.ones(2), ["a", "b"], ["y"], why_not=why)
    assert not figure.axes[0].collections
    lines = figure.get_suptitle().splitlines()
    assert lines[0].startswith("Coefficients without intervals: the parameters are up to 32")
    assert (len(lines), max(map(len, lines)) <= 80) == (4, True)
    assert plots.png(figure).startswith(PNG)


def test_a_band_of_prediction_lies_around_the_line() -> None:
    y = np.arange(5.0)[:, None]
    axes = plots.predicted_against_actual(y, y, ["y"], "test rows", band_O=np.array([1.5])).axes[0]
    corners = axes.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (-1.5, 5.5)
    assert "at the feature means: ± 1.5" in axes.get_legend().get_texts()[0].get_text()


def test_any_column_name_is_drawn_and_a_long_one_is_cut_in_panels() -> None:
    for names in (ODD[:4], ODD[4:]):
        truth = np.ones((3, len(names)))
        assert plots.png(plots.predicted_against_actual(truth, truth, names, "training rows")).startswith(PNG)
        assert plots.png(plots.coefficients(np.ones((1, len(names))), truth[0], names, names[:1])).startswith(PNG)
        panels = parabolas(**quadratic(2, 4)["pieces"] | {"features": names[:2], "targets": names})
        assert plots.png(panels).startswith(PNG)
        assert len(panels.axes) == 12
        assert all(len(axes.get_title().replace("\\", "")) <= 2 * 14 + 3 for axes in panels.axes)
    alike = ["region[T.north]:temp", "region[T.south]:temp"]
    panels = parabolas(**quadratic(2, 1)["pieces"] | {"features": alike, "targets": ["y"]})
    assert [axes.get_title() for axes in panels.axes] == ["bias → y", "regi…north]:te → y", "regi…south]:te → y"]


def test_a_hundred_features_and_ten_targets_are_drawn() -> None:
    figure = plots.coefficients(np.ones((10, 100)), np.ones(100), [f"f{i}" for i in range(100)], list("abcdefghij"))
    assert len(figure.axes) == 6
    assert len(figure.axes[0].patches) == 20


def quadratic(features: int, targets: int, *, epochs: int = 5, seed: int = 0) -> dict[str, object]:
    """What ``parabolas`` takes, of a descent on random rows, and the loss itself to check it by."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(30), rng.normal(size=(30, features)) + 1])
    y = rng.normal(size=(30, targets))
    hessian = 2 / y.size * design.T @ design
    theta, path = rng.normal(size=(features + 1, targets)), []
    for _ in range(epochs + 1):
        path.append(theta)
        theta = theta - 0.5 / np.linalg.eigvalsh(hessian)[-1] * 2 / y.size * design.T @ (design @ theta - y)
    gradient = 2 / y.size * design.T @ (design @ path[-1] - y)
    pieces = {
        "path_TDO": np.array(path),
        "epochs_T": range(epochs + 1),
        "curvature_D": np.diag(hessian),
        "gradient_DO": gradient,
        "loss": float(((design @ path[-1] - y) ** 2).mean()),
        "features": [f"f{i}" for i in range(features)],
        "targets": [f"t{i}" for i in range(targets)],
    }
    return {"pieces": pieces, "loss": lambda t: float(((design @ t - y) ** 2).mean())}


def parabolas(**pieces):
    return plots.parabolas(pieces.pop("path_TDO"), pieces.pop("epochs_T"), **pieces)


def verdicts(figure) -> list[str]:
    return [axes.texts[0].get_text() for axes in figure.axes if axes.axison]


def test_each_parabola_is_named_and_the_loss_in_one_parameter_with_the_others_where_the_descent_ended() -> None:
    made = quadratic(3, 2)
    figure = parabolas(**made["pieces"])
    assert [axes.get_title() for axes in figure.axes] == [f"{x} → {y}" for y in ("t0", "t1") for x in NAMES]
    assert "epoch 5" in figure.get_suptitle()
    path = made["pieces"]["path_TDO"]
    for k, axes in enumerate(figure.axes):
        i, j = k % 4, k // 4
        curve = axes.get_lines()[0]
        for value, height in list(zip(*curve.get_data(), strict=True))[::50]:
            theta = path[-1].copy()
            theta[i, j] = value
            assert height == pytest.approx(made["loss"](theta), rel=1e-9)


def test_the_dots_are_the_walk_light_to_dark_with_its_start_its_end_and_the_minimum_marked() -> None:
    made = quadratic(3, 2)
    path = made["pieces"]["path_TDO"]
    axes = parabolas(**made["pieces"]).axes[5]
    dots = axes.collections[0]
    curve, _, start, end, lowest = axes.get_lines()[:5]
    assert dots.get_offsets()[:, 0].tolist() == path[:, 1, 1].tolist()
    assert list(start.get_xdata()) == [path[0, 1, 1]]
    assert list(end.get_xdata()) == [path[-1, 1, 1]]
    assert end.get_ydata()[0] == pytest.approx(made["pieces"]["loss"])
    assert lowest.get_ydata()[0] <= min(curve.get_ydata())
    assert list(dots.get_array()) == sorted(dots.get_array())
    brightness = _WALK(np.linspace(0, 1, 9))[:, :3].sum(axis=1)
    assert (np.diff(brightness) < 0).all()


def test_a_parameter_at_its_own_minimum_is_told_from_one_on_the_slope() -> None:
    pieces = {"path_TDO": np.array([[[0.0], [0.0]], [[1.0], [1.0]]]), "epochs_T": [0, 1], "curvature_D": np.ones(2)}
    names = {"features": ["f"], "targets": ["t"]}
    figure = parabolas(**pieces, **names, gradient_DO=np.array([[0.1], [-1.0]]), loss=1.0)
    assert verdicts(figure) == ["within 1% of its minimum", "on the slope:\n50.0% of the loss to gain"]


@pytest.mark.parametrize(
    ("features", "targets", "panels"),
    [(0, 1, 1), (5, 2, 12), (6, 2, 12)],
)
def test_one_grid_holds_at_most_twelve_parameters_and_says_what_is_left_out(features, targets, panels) -> None:
    made = quadratic(features, targets)
    figure = parabolas(**made["pieces"])
    assert len(verdicts(figure)) == panels
    total = (features + 1) * targets
    assert (f"the {panels} of {total} parameters" in figure.get_suptitle()) == (total > panels)
    assert plots.png(figure).startswith(PNG)


def test_of_many_parameters_those_are_shown_that_walked_through_the_most_loss() -> None:
    path = np.zeros((2, 20, 1))
    path[0, :, 0] = np.arange(20)
    pieces = {"curvature_D": np.ones(20), "gradient_DO": np.zeros((20, 1)), "loss": 1.0}
    features = [f"f{i}" for i in range(1, 20)]
    figure = parabolas(path_TDO=path, epochs_T=[0, 9], features=features, targets=["t"], **pieces)
    assert [axes.get_title() for axes in figure.axes] == [f"f{i} → t" for i in range(8, 20)]


@pytest.mark.parametrize(
    ("curvature", "loss"),
    [
        pytest.param(
            c, loss, marks=() if {c, loss} <= {0.0, 1e12, 1e200} or (c, loss) == (1.0, 3.0) else pytest.mark.long
        )
        for c in (0.0, 1e-12, 1.0, 1e12)
        for loss in (0.0, 1e-300, 3.0, 1e200)
    ],
)
def test_a_flat_loss_a_perfect_fit_and_a_walk_that_goes_nowhere_are_drawn(curvature: float, loss: float) -> None:
    path = np.full((3, 1, 1), 7.0)
    pieces = {"curvature_D": np.array([curvature]), "gradient_DO": np.zeros((1, 1)), "loss": loss}
    figure = parabolas(path_TDO=path, epochs_T=[0, 1, 2], features=[], targets=["t"], **pieces)
    assert verdicts(figure) == ["within 1% of its minimum"]
    assert plots.png(figure).startswith(PNG)


def test_a_minimum_that_rounding_puts_below_zero_is_drawn() -> None:
    path = np.array([[[1.0]], [[1e-9]]])
    pieces = {"curvature_D": np.ones(1), "gradient_DO": np.array([[1.1e-9]]), "loss": 0.5e-18}
    figure = parabolas(path_TDO=path, epochs_T=[0, 1], features=[], targets=["t"], **pieces)
    assert plots.png(figure).startswith(PNG)


def test_the_parts_of_the_grid_do_not_cover_each_other() -> None:
    figure = parabolas(**quadratic(3, 2)["pieces"])
    plots.png(figure)
    renderer = figure.canvas.get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    boxes += [figure.legends[0].get_window_extent(renderer), figure._suptitle.get_window_extent(renderer)]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_drawing_leaves_no_figure_behind() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plots.png(plots.loss_curve([2.0, 1.0], 0.5))
    assert pyplot.get_fignums() == before


def swept(losses, values, **more):
    curves = [[] if loss is None else [9.0, 4.0, loss] for loss in losses]
    best = min((i for i, loss in enumerate(losses) if loss is not None), key=lambda i: losses[i])
    words = {"ranked_by": "5-fold loss", "curves_of": "train loss"}
    return plots.sweep(curves, losses, values, best=best, **words, **more)


def test_a_sweep_shows_every_curve_and_the_losses_against_the_swept_values() -> None:
    rates = [0.01, 0.1, 1.0, 3.0]
    left, right = swept([3.0, 1.0, 2.0, None], [{"train.learning_rate": r} for r in rates]).axes
    curves = left.get_lines()
    assert [list(c.get_ydata()) for c in curves] == [[9.0, 4.0, loss] for loss in (3.0, 1.0, 2.0)]
    assert [c.get_label() for c in curves if not c.get_label().startswith("_")] == ["the best"]
    (line,) = right.containers
    assert list(line[0].get_xdata()) == rates[:3]
    assert list(line[0].get_ydata()) == [3.0, 1.0, 2.0]
    assert (right.get_xscale(), right.get_xlabel()) == ("log", "train.learning_rate")
    assert "learning_rate 0.1" in right.get_title()
    crosses = [c for c in right.get_lines() if c.get_marker() == "x"]
    assert [list(c.get_xdata()) for c in crosses] == [[3.0]]


def test_a_sweep_of_two_keys_has_a_line_for_each_value_of_the_shorter_one() -> None:
    values = [{"train.weight_decay": w, "train.trainer": t} for w in (0.0, 0.1, 1.0) for t in ("gram", "exact")]
    right = swept([5.0, 4.0, 3.0, 2.0, 1.0, 6.0], values, errors=[0.1] * 6).axes[1]
    assert [c.get_label() for c in right.containers] == ["trainer gram", "trainer exact"]
    assert [list(c[0].get_ydata()) for c in right.containers] == [[5.0, 3.0, 1.0], [4.0, 2.0, 6.0]]
    assert all(c.has_yerr for c in right.containers)


SWEPT = {
    "words": ([1.0, 2.0], [{"train.schedule": s} for s in ("constant", "cosine")]),
    "truths": ([1.0, 2.0], [{"train.nesterov": s} for s in (True, False)]),
    "one": ([1.0], [{"train.seed": 1}]),
    "a loss of zero": ([0.0, 2.0], [{"train.seed": s} for s in (0, 1)]),
    "far apart": ([1e-300, 1e200], [{"train.learning_rate": s} for s in (1e-38, 1e38)]),
    "huge": ([1e-3, 1e290], [{"train.l1": s} for s in (0.0, 1e30)]),
    "many lines": (
        [float(i + 1) for i in range(60)],
        [{"train.seed": s, "train.epochs": e} for s in range(10) for e in range(6)],
    ),
    "three keys": (
        [float(i + 1) for i in range(8)],
        [{"a": a, "b$_": b, "c": c} for a in (1, 2) for b in (1, 2) for c in "xy"],
    ),
}


@pytest.mark.parametrize("case", SWEPT)
def test_a_sweep_is_drawn_for_any_values_and_losses(case: str) -> None:
    assert plots.png(swept(*SWEPT[case])).startswith(PNG)


@pytest.mark.parametrize("epochs", [1, 2, 2_000, 2_001, 1_000_003])
def test_of_a_long_curve_no_more_is_drawn_than_shows_and_the_last_epoch_is(epochs: int) -> None:
    (line,) = plots.loss_curve([1.0, *range(2, epochs + 2)], 0.5).axes[0].lines[:1]
    x, y = line.get_xdata(), line.get_ydata()
    assert (x[0], y[0], x[-1], y[-1]) == (0, 1, epochs, epochs + 1)
    assert len(x) <= 4_001
    assert len(x) == epochs + 1 or epochs > 2_000
