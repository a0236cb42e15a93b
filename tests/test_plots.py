"""The pictures: what they show, for odd names and odd numbers too, and that no window or global state is touched."""

import numpy as np
import pytest

from linreg import plots

PNG = b"\x89PNG\r\n\x1a\n"
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
    ("losses", "optimum"), [([1.0], 1.0), ([1.0, 0.0], 0.0), ([1e300, 1e-300], 0.0), ([3.0] * 4, 3.0), ([1e-30], 1e-31)]
)
def test_a_loss_curve_is_drawn_for_any_losses(losses: list[float], optimum: float) -> None:
    figure = plots.loss_curve(losses, optimum)
    assert plots.png(figure).startswith(PNG)
    assert (figure.axes[0].get_yscale() == "log") == (min(losses) > 0 and optimum > 0)


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
    assert "± 1.5" in axes.get_legend().get_texts()[0].get_text()


@pytest.mark.parametrize("name", ODD)
def test_any_column_name_is_drawn_as_it_stands(name: str) -> None:
    one = np.ones((3, 1))
    assert plots.png(plots.predicted_against_actual(one, one, [name], "training rows")).startswith(PNG)
    assert plots.png(plots.coefficients(np.ones((1, 1)), np.ones(1), [name], [name])).startswith(PNG)


def test_a_hundred_features_and_ten_targets_are_drawn() -> None:
    figure = plots.coefficients(np.ones((10, 100)), np.ones(100), [f"f{i}" for i in range(100)], list("abcdefghij"))
    assert len(figure.axes) == 6
    assert len(figure.axes[0].patches) == 20


def test_drawing_leaves_no_figure_behind() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plots.png(plots.loss_curve([2.0, 1.0], 0.5))
    assert pyplot.get_fignums() == before
