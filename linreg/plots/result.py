"""How a run went and what came of it: loss, predictions, coefficients.

Shapes: N rows, F features, O targets.
"""

import textwrap
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linreg.plots.figure import INK, LINE, SHADE, VALID, WHISKER, Float, literal, new_figure, thinned

_MOST_POINTS = 5_000  # of a scatter; more would only make the file large


def loss_curve(
    train_loss: Sequence[float], optimum: float, validation_loss: Sequence[float] = (), *, penalised: bool = False
) -> Figure:
    """The loss after each epoch, on a log scale, with the best possible loss as a line.

    Of a model that was computed and not walked to there is one loss: a mark on that line, with both values beside it.

    Args:
        validation_loss: of the validation rows; it may go on past the epoch whose parameters were kept.
        penalised: penalties are part of the loss.
    """
    figure, axes = new_figure()
    axes.set(
        xlabel="epoch",
        ylabel=f"mean squared error{' + penalties' if penalised else ''}",
        title=f"Loss {train_loss[-1]:.4g}, best possible {optimum:.4g}",
    )
    if len(train_loss) == 1 and len(validation_loss) <= 1:
        _mark_loss(axes, train_loss[0], optimum, validation_loss)
        return figure
    axes.plot(*thinned(train_loss), color=INK, linewidth=2, label="train loss", zorder=3)
    if validation_loss:  # broader and behind: the two are often one line
        axes.plot(*thinned(validation_loss), color=VALID, linewidth=4, label="validation loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(validation_loss) > len(train_loss):
        axes.axvline(len(train_loss) - 1, color=SHADE, linewidth=1, label=f"kept: epoch {len(train_loss) - 1:,}")
    if len(train_loss) == 1:  # the start was the best epoch on the validation rows
        axes.plot([0], train_loss, "o", color=INK)
    axes.axhline(optimum, color=LINE, linestyle="--", label=f"best possible: {optimum:.4g}")
    losses = [optimum, *train_loss, *validation_loss]
    # a log scale needs room between its ends, and some beyond them
    if 0 < min(losses) * (1 + 1e-9) < max(losses) < 1e250:
        axes.set_yscale("log")
    axes.legend(frameon=False)
    return figure


def _mark_loss(axes: Axes, loss: float, optimum: float, validation_loss: Sequence[float]) -> None:
    """One mark for the only loss there is, its value and the optimum's in words; with 0 in view, height means size."""
    top = max(loss, optimum, *validation_loss) or 1.0
    axes.axhline(optimum, color=LINE, linestyle="--", linewidth=1)
    _annotate(axes, f"best possible: {optimum:.4g}", optimum, color=LINE, offset=(-12, -14))
    for values, color, name in [([loss], INK, "this model"), (validation_loss, VALID, "on the validation rows")]:
        for value in values:
            axes.plot([0], [value], "o", color=color, markersize=9)
            _annotate(axes, f"{name}: {value:.4g}", value, color=color, offset=(12, 12))
    axes.set(xlim=(-1, 1), xticks=[], xlabel="no epochs: the optimum was computed in one go")
    if 0 < top < 1e250:
        axes.set_ylim(0, 1.4 * top)


def _annotate(axes: Axes, text: str, height: float, *, color: str, offset: tuple[int, int]) -> None:
    """A text beside the mark at a height, so many points to the right and up; to the left and down where negative."""
    side: Literal["left", "right"] = "left" if offset[0] > 0 else "right"
    axes.annotate(text, (0, height), xytext=offset, textcoords="offset points", color=color, va="center", ha=side)


def predicted_against_actual(
    actual_NO: Float, predicted_NO: Float, targets: Sequence[str], rows: str, *, band_O: Float | None = None
) -> Figure:
    """One panel a target, with the line on which a perfect model would lie.

    Args:
        actual_NO, predicted_NO: of the same rows.
        targets: their names; the first six are drawn.
        rows: which rows these are, in words.
        band_O: half the width of a 95% prediction interval at the features' means, drawn around the line.
    """
    drawn = targets[:6]
    figure, panels = new_figure(columns=len(drawn))
    step = max(1, len(actual_NO) // _MOST_POINTS)
    for o, (axes, target) in enumerate(zip(np.atleast_1d(panels), drawn, strict=True)):
        y, p = actual_NO[::step, o], predicted_NO[::step, o]
        ends = np.array([min(y.min(), p.min()), max(y.max(), p.max())], dtype=float)
        if band_O is not None:
            label = f"95% prediction interval\nat the feature means: ± {band_O[o]:.3g}"
            axes.fill_between(ends, ends - band_O[o], ends + band_O[o], color=SHADE, alpha=0.4, lw=0, label=label)
            axes.legend(frameon=False, loc="upper left")
        axes.plot(ends, ends, color=LINE, linestyle="--", linewidth=1)
        axes.plot(y, p, "o", color=INK, alpha=0.6, markersize=5, markeredgewidth=0)
        name = literal(target)
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
    figure, panels = new_figure(columns=len(targets[:6]), height=1.8 + 0.3 * len(order))
    for o, (axes, target) in enumerate(zip(np.atleast_1d(panels), targets[:6], strict=True)):
        values = effect_OF[o, order]
        axes.barh(np.arange(len(order)), values, color=np.where(values < 0, LINE, INK))
        if half_OF is not None:
            half = half_OF[o, order] * spread_F[order]
            axes.errorbar(values, np.arange(len(order)), xerr=half, fmt="none", ecolor=WHISKER, capsize=4)
        axes.set_yticks(np.arange(len(order)), [literal(features[i]) for i in order])
        axes.axvline(0, color=SHADE, linewidth=1)
        axes.set(title=literal(target), xlabel="change per standard deviation of the feature")
    if half_OF is None:
        figure.suptitle(_title_without_intervals(why_not, figure), fontsize="medium")
    else:
        figure.suptitle("Coefficients and their 95% intervals")
    return figure


def _title_without_intervals(why_not: str, figure: Figure) -> str:
    """That there are no whiskers and why, in lines that fit."""
    words = f"Coefficients without intervals: {why_not}" if why_not else "Coefficients"
    return literal(
        "\n".join(textwrap.wrap(words, int(figure.get_figwidth() * 11), max_lines=4, placeholder=" …")), 1000
    )
