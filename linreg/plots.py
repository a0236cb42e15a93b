"""The pictures of a run: the loss on its way to the optimum, predictions against the truth, and what each feature does.

Each function draws one figure from plain arrays and returns it; ``png`` turns it into bytes. No window is opened and no
global state is touched.
"""

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Float = npt.NDArray[np.float64]

_INK, _SHADE, _LINE, _WHISKER = "#1b4965", "#9fb8c6", "#d1495b", "#e9a23b"
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


def predicted_against_actual(
    actual_NO: Float, predicted_NO: Float, targets: Sequence[str], rows: str, *, band_O: Float | None = None
) -> Figure:
    """One panel a target, with the line on which a perfect model would lie.

    Args:
        actual_NO, predicted_NO: of the same rows.
        targets: their names; the first six are drawn.
        rows: which rows these are, in words.
        band_O: half the width of a 95% prediction interval, drawn around the line.
    """
    shown = targets[:6]
    figure, panels = _figure(columns=len(shown))
    step = max(1, len(actual_NO) // _MOST_POINTS)
    for o, (axes, target) in enumerate(zip(np.atleast_1d(panels), shown, strict=True)):
        y, p = actual_NO[::step, o], predicted_NO[::step, o]
        ends = np.array([min(y.min(), p.min()), max(y.max(), p.max())], dtype=float)
        if band_O is not None:
            label = f"95% prediction interval: ± {band_O[o]:.3g}"
            axes.fill_between(ends, ends - band_O[o], ends + band_O[o], color=_SHADE, alpha=0.4, lw=0, label=label)
            axes.legend(frameon=False, loc="upper left")
        axes.plot(ends, ends, color=_LINE, linestyle="--", linewidth=1)
        axes.plot(y, p, "o", color=_INK, alpha=0.6, markersize=5, markeredgewidth=0)
        name = _literal(target)
        axes.set(xlabel=f"actual {name}", ylabel=f"predicted {name}", title=name)
    figure.suptitle(f"Predicted against actual, {rows}" + (f" (1 in {step})" if step > 1 else ""))
    return figure


def coefficients(
    weight_OF: Float,
    spread_F: Float,
    features: Sequence[str],
    targets: Sequence[str],
    *,
    half_OF: Float | None = None,
    why_not: str = "",
) -> Figure:
    """Each slope times its feature's spread: how far the target moves when the feature moves by its usual amount.

    Args:
        weight_OF: the slopes.
        spread_F: the features' standard deviations.
        features: their names; the 20 with the largest effects are drawn.
        targets: their names; the first six are drawn.
        half_OF: half the width of each slope's 95% interval, drawn as whiskers.
        why_not: why there are no intervals, said where there are none.
    """
    effect_OF = weight_OF * spread_F
    order = np.argsort(np.abs(effect_OF).max(axis=0))[-20:]
    figure, panels = _figure(columns=len(targets[:6]), height=1.8 + 0.3 * len(order))
    for o, (axes, target) in enumerate(zip(np.atleast_1d(panels), targets[:6], strict=True)):
        values = effect_OF[o, order]
        axes.barh(np.arange(len(order)), values, color=np.where(values < 0, _LINE, _INK))
        if half_OF is not None:
            half = half_OF[o, order] * spread_F[order]
            axes.errorbar(values, np.arange(len(order)), xerr=half, fmt="none", ecolor=_WHISKER, capsize=4)
        axes.set_yticks(np.arange(len(order)), [_literal(features[i]) for i in order])
        axes.axvline(0, color=_SHADE, linewidth=1)
        axes.set(title=_literal(target), xlabel="change per standard deviation of the feature")
    if half_OF is None:
        figure.suptitle(_without(why_not, figure), fontsize="medium")
    else:
        figure.suptitle("Coefficients and their 95% intervals")
    return figure


def _without(why_not: str, figure: Figure) -> str:
    """That there are no whiskers and why, in lines that fit."""
    words = f"Coefficients without intervals: {why_not}" if why_not else "Coefficients"
    return _literal(
        "\n".join(textwrap.wrap(words, int(figure.get_figwidth() * 11), max_lines=4, placeholder=" …")), 1000
    )


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a column name in another script
        figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _literal(name: str, most: int = 40) -> str:
    """The name as it stands, cut off past so many letters; between two dollar signs it would be read as a formula."""
    return (name if len(name) <= most else f"{name[: most - 1]}…").replace("$", r"\$")


def _figure(columns: int = 1, height: float = 4.2) -> tuple[Figure, Any]:
    """A figure and its axes: one, or an array of them where there are several columns."""
    figure = Figure(figsize=(max(6.4, 4.4 * columns), max(height, 2.6)), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes
