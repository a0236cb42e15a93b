"""The k-fold error along the weight decays.

Shapes: G grid points.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linreg.plots.figure import INK, LINE, SHADE, Float, new_figure


def ridge_path(
    weight_decay_G: Float,
    rmse_G: Float,
    standard_error_G: Float,
    degrees_G: Float,
    *,
    folds: int,
    best: int,
    within: int,
    current: int | None = None,
) -> Figure:
    """The k-fold error against the weight decay, on a log scale, in a band of one standard error either side.

    Args:
        weight_decay_G: the grid, ascending; a leading 0 stands apart on the left, at the end of a dashed line.
        rmse_G, standard_error_G: in the targets' units.
        degrees_G: effective degrees of freedom, shown along the top.
        folds: how many folds.
        best, within, current: the grid points of the smallest error, of the one-standard-error rule, and of the config.
    """
    figure, axes = new_figure()
    place_G = _places(axes, weight_decay_G)
    low, high = rmse_G - standard_error_G, rmse_G + standard_error_G
    axes.fill_between(place_G, low, high, color=SHADE, alpha=0.4, linewidth=0)
    first = int(weight_decay_G[0] == 0)
    axes.plot(place_G[first:], rmse_G[first:], color=INK, linewidth=2, marker="o", markersize=3)
    axes.plot(
        place_G[: first + 1], rmse_G[: first + 1], color=INK, linewidth=1, linestyle="--", marker="o", markersize=3
    )
    limit = float(rmse_G[best] + standard_error_G[best])
    axes.axhline(limit, color=LINE, linewidth=1, linestyle=":", label="best + one standard error")
    for g, marker, words in [(best, "o", "best"), (within, "s", "largest within it"), (current, "x", "this config")]:
        if g is not None:
            label = f"{words}: {weight_decay_G[g]:.3g}, RMSE {rmse_G[g]:.4g}"
            axes.plot(place_G[g], rmse_G[g], marker, color=LINE, markersize=8, fillstyle="none", label=label)
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
