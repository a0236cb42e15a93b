"""The pictures of a run: the loss on its way to the optimum, predictions against the truth, and what each feature does.

Each function draws one figure from plain arrays and returns it; ``png`` turns it into bytes. No window is opened and no
global state is touched.
"""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Float = npt.NDArray[np.float64]

_INK, _SHADE, _LINE = "#1b4965", "#9fb8c6", "#d1495b"
_MOST_POINTS = 5_000  # of a scatter; more would only make the file large


def loss_curve(train_loss: Sequence[float], optimum: float) -> Figure:
    """The loss after each epoch, on a log scale, with the best possible loss as a line."""
    figure, axes = _figure()
    axes.plot(np.arange(len(train_loss)), train_loss, color=_INK, linewidth=2, label="train loss")
    if len(train_loss) == 1:
        axes.plot([0], train_loss, "o", color=_INK)
    axes.axhline(optimum, color=_LINE, linestyle="--", label=f"best possible: {optimum:.4g}")
    if min([optimum, *train_loss]) > 0:
        axes.set_yscale("log")
    axes.set(
        xlabel="epoch", ylabel="mean squared error", title=f"Loss {train_loss[-1]:.4g}, best possible {optimum:.4g}"
    )
    axes.legend(frameon=False)
    return figure


def predicted_against_actual(actual_NO: Float, predicted_NO: Float, targets: Sequence[str], rows: str) -> Figure:
    """One panel a target, with the line on which a perfect model would lie; ``rows`` says which rows these are."""
    shown = targets[:6]
    figure, panels = _figure(columns=len(shown))
    step = max(1, len(actual_NO) // _MOST_POINTS)
    for o, (axes, target) in enumerate(zip(np.atleast_1d(panels), shown, strict=True)):
        y, p = actual_NO[::step, o], predicted_NO[::step, o]
        ends = [float(min(y.min(), p.min())), float(max(y.max(), p.max()))]
        axes.plot(ends, ends, color=_LINE, linestyle="--", linewidth=1)
        axes.plot(y, p, "o", color=_INK, alpha=0.6, markersize=5, markeredgewidth=0)
        name = _literal(target)
        axes.set(xlabel=f"actual {name}", ylabel=f"predicted {name}", title=name)
    figure.suptitle(f"Predicted against actual, {rows}" + (f" (1 in {step})" if step > 1 else ""))
    return figure


def coefficients(weight_OF: Float, spread_F: Float, features: Sequence[str], targets: Sequence[str]) -> Figure:
    """Each slope times its feature's spread: how far the target moves when the feature moves by its usual amount."""
    effect_OF = weight_OF * spread_F
    order = np.argsort(np.abs(effect_OF).max(axis=0))[-20:]
    figure, panels = _figure(columns=len(targets[:6]), height=1.6 + 0.3 * len(order))
    for o, (axes, target) in enumerate(zip(np.atleast_1d(panels), targets[:6], strict=True)):
        values = effect_OF[o, order]
        axes.barh(np.arange(len(order)), values, color=np.where(values < 0, _LINE, _INK))
        axes.set_yticks(np.arange(len(order)), [_literal(features[i]) for i in order])
        axes.axvline(0, color=_SHADE, linewidth=1)
        axes.set(title=_literal(target), xlabel="change per standard deviation of the feature")
    return figure


def ridge_path(
    weight_decay_G: Float,
    rmse_G: Float,
    standard_error_G: Float,
    degrees_G: Float,
    *,
    folds: int,
    best: int,
    within: int,
    own: int | None = None,
) -> Figure:
    """The k-fold error against the weight decay, on a log scale, in a band of one standard error either side.

    Args:
        weight_decay_G: the grid, ascending; a leading 0 stands apart on the left, at the end of a dashed line.
        rmse_G, standard_error_G: in the targets' units.
        degrees_G: effective degrees of freedom, shown along the top.
        folds: how many folds.
        best, within, own: the grid points of the smallest error, of the one-standard-error rule, and of the config.
    """
    figure, axes = _figure()
    place_G = _places(axes, weight_decay_G)
    low, high = rmse_G - standard_error_G, rmse_G + standard_error_G
    axes.fill_between(place_G, low, high, color=_SHADE, alpha=0.4, linewidth=0)
    first = int(weight_decay_G[0] == 0)
    axes.plot(place_G[first:], rmse_G[first:], color=_INK, linewidth=2, marker="o", markersize=3)
    axes.plot(
        place_G[: first + 1], rmse_G[: first + 1], color=_INK, linewidth=1, linestyle="--", marker="o", markersize=3
    )
    limit = float(rmse_G[best] + standard_error_G[best])
    axes.axhline(limit, color=_LINE, linewidth=1, linestyle=":", label="best + one standard error")
    for g, marker, words in [(best, "o", "best"), (within, "s", "largest within it"), (own, "x", "this config")]:
        if g is not None:
            label = f"{words}: {weight_decay_G[g]:.3g}, RMSE {rmse_G[g]:.4g}"
            axes.plot(place_G[g], rmse_G[g], marker, color=_LINE, markersize=8, fillstyle="none", label=label)
    axes.set(xlabel="weight decay", ylabel=f"{folds}-fold RMSE")
    axes.legend(frameon=False)
    _degrees_on_top(axes, place_G, degrees_G)
    return figure


def _places(axes: Axes, weight_decay_G: Float) -> Float:
    """Where each weight decay stands on the log scale: a tick a decade, and one for 0, which has no place there."""
    axes.set_xscale("log")
    positive = weight_decay_G[weight_decay_G > 0]
    low, high = (positive[0], positive[-1]) if len(positive) else (1.0, 1.0)
    decades = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
    ticks = {10.0**d: f"$10^{{{d:.0f}}}$" for d in decades[:: 1 + len(decades) // 10]}
    zero = low * (low / high) ** 0.08 / 1.5
    if weight_decay_G[0] == 0:
        ticks = {zero: "0"} | ticks
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    return np.where(weight_decay_G > 0, weight_decay_G, zero)


def _degrees_on_top(axes: Axes, place_G: Float, degrees_G: Float) -> None:
    """A second axis on top: the effective degrees of freedom at seven places of the first, evenly apart."""
    top = axes.twiny()
    top.set_xscale("log")
    top.set_xlim(axes.get_xlim())
    places = np.geomspace(place_G[0], place_G[-1], 7)
    labels = np.interp(np.log(places), np.log(place_G), degrees_G)
    top.set_xticks(places, [f"{d:.3g}" for d in labels], minor=False)
    top.minorticks_off()
    top.spines[["right"]].set_visible(False)
    top.set_xlabel("effective degrees of freedom")


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a column name in another script
        figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _literal(name: str) -> str:
    """The name as it stands, cut off past 40 letters; between two dollar signs it would be read as a formula."""
    return (name if len(name) <= 40 else f"{name[:39]}…").replace("$", r"\$")


def _figure(columns: int = 1, height: float = 4.2) -> tuple[Figure, Any]:
    """A figure and its axes: one, or an array of them where there are several columns."""
    figure = Figure(figsize=(max(6.4, 4.4 * columns), max(height, 2.6)), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes
