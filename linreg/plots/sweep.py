"""The picture of a sweep: every model's curve, and the loss that ranked them against the swept values.

Shapes: M models.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linreg.plots.figure import INK, LINE, Float, literal, new_figure, thinned

_SHADES = LinearSegmentedColormap.from_list("models", ["#bcdcec", "#5fa8d3", INK])
_MOST_LINES = 6  # of the right panel: one a combination of the other keys; more could not be told apart
_MOST_NAMED = 12  # ticks with names
_FAR = 1e3  # times the best loss: beyond that a model is only said to be off the picture


def sweep(
    curves: Sequence[Sequence[float]],
    losses: Sequence[float | None],
    values: Sequence[Mapping[str, Any]],
    *,
    best: int,
    ranked_by: str,
    curves_of: str,
    errors: Sequence[float | None] = (),
) -> Figure:
    """Two panels: the models' losses after each epoch, the best one's in colour; and what ranked them.

    Args:
        curves: of each model, the loss after each epoch; empty for one that failed.
        losses: what each is ranked by, in the targets' units squared; None for one that has none.
        values: of the swept keys of each.
        best: the place of the best model.
        ranked_by: what ``losses`` are, in words.
        curves_of: what ``curves`` are, in words.
        errors: the standard errors of ``losses``, where there are any.
    """
    figure, (left, right) = new_figure(columns=2)
    figure.set_size_inches(11, 4.6)
    _draw_curves(left, curves, best, curves_of)
    _draw_losses(right, losses, values, best, errors)
    right.set(ylabel=ranked_by, title=f"Best: {_label(values[best])}, {losses[best]:.4g}")
    failed = sum(loss is None for loss in losses)
    figure.suptitle(f"{len(losses):,} models" + (f", {failed:,} of them failed" if failed else ""))
    return figure


def _shade(i: int, count: int) -> Any:
    """Light to dark; one alone is dark."""
    return _SHADES(i / (count - 1) if count > 1 else 1.0)


def _label(values: Mapping[str, Any]) -> str:
    return literal(", ".join(f"{key.rpartition('.')[2]} {_format_value(value)}" for key, value in values.items()), 60)


def _format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _draw_curves(axes: Axes, curves: Sequence[Sequence[float]], best: int, curves_of: str) -> None:
    """All curves in the grid's order, light to dark, the best on top; those of one point as a dot."""
    for i, curve in enumerate(curves):
        style: dict[str, Any] = {"color": _shade(i, len(curves)), "linewidth": 1.2, "zorder": 2}
        if i == best:
            style = {"color": LINE, "linewidth": 2.2, "zorder": 3, "label": "the best"}
        if len(curve):
            axes.plot(*thinned(curve), marker="o" if len(curve) == 1 else None, **style)
    _log_where_it_helps(axes, np.concatenate([np.asarray(c, dtype=float) for c in curves if len(c)]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=curves_of, title="Every model, in the order of the grid (dark: last)")
    axes.legend(frameon=False)


def _draw_losses(
    axes: Axes,
    losses: Sequence[float | None],
    values: Sequence[Mapping[str, Any]],
    best: int,
    errors: Sequence[float | None],
) -> None:
    """The losses along the key with the most values; a line a combination of the others, where they are few."""
    key = _longest_key(values)
    place, ticks = _places(axes, [v[key] for v in values])
    top = _FAR * float(losses[best] or 0)
    lines: dict[str, list[int]] = {}
    for i, swept in enumerate(values):
        others = {k: v for k, v in swept.items() if k != key}
        lines.setdefault(_label(others) if others else "", []).append(i)
    for n, (name, members) in enumerate(lines.items()):
        drawn = sorted((i for i in members if losses[i] is not None), key=lambda i: place[i])
        drawn = [i for i in drawn if not 0 < top < float(losses[i] or 0)]
        y, x = [float(losses[i] or 0) for i in drawn], [place[i] for i in drawn]
        few = len(lines) <= _MOST_LINES
        style: dict[str, Any] = {"color": _shade(n, len(lines)), "marker": "o", "markersize": 4}
        style |= {"linewidth": 1.2 if few else 0, "label": name if few and name else None}
        bars = [errors[i] if i < len(errors) else None for i in drawn]
        axes.errorbar(x, y, yerr=[float(b) for b in bars if b is not None] if all(bars) and bars else None, **style)
    axes.plot(
        place[best],
        float(losses[best] or 0),
        "o",
        color=LINE,
        markersize=9,
        fillstyle="none",
        markeredgewidth=2,
        zorder=4,
    )
    _mark_failed(axes, losses, place, top)
    axes.set_xlabel(literal(key))
    if ticks:
        axes.set_xticks(list(ticks), [literal(t, 16) for t in ticks.values()])
    if len(lines) > 1 and len(lines) <= _MOST_LINES:
        axes.legend(frameon=False, fontsize="small")
    shown_losses = [float(v) for v in losses if v is not None and not 0 < top < v]
    _log_where_it_helps(axes, np.array(shown_losses))


def _mark_failed(axes: Axes, losses: Sequence[float | None], place: Float, top: float) -> None:
    """Models without a loss, or with one far off the picture, as crosses along its upper edge."""
    failed = [place[i] for i, loss in enumerate(losses) if loss is None or 0 < top < loss]
    if failed:
        style: dict[str, Any] = {"color": INK, "label": "failed, or far above", "clip_on": False}
        axes.plot(failed, [0.97] * len(failed), "x", transform=axes.get_xaxis_transform(), **style)
        axes.legend(frameon=False, fontsize="small")


def _longest_key(values: Sequence[Mapping[str, Any]]) -> str:
    """The key with the most values; of equal ones the first."""
    counts = {key: len({repr(v[key]) for v in values}) for key in values[0]}
    return max(counts, key=lambda key: counts[key])


def _places(axes: Axes, swept: Sequence[Any]) -> tuple[Float, dict[float, str]]:
    """Where each value stands: numbers as numbers, on a log scale where they span a decade; words side by side."""
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in swept)
    names = list(dict.fromkeys(_format_value(v) for v in swept))
    if not numeric:
        place = np.array([names.index(_format_value(v)) for v in swept], dtype=float)
        return place, dict(enumerate(names)) if len(names) <= _MOST_NAMED else {}
    place = np.array(swept, dtype=float)
    positive = place[place > 0]
    if len(positive) and positive.max() >= 10 * positive.min() and (place >= 0).all():
        axes.set_xscale("symlog", linthresh=float(positive.min())) if (place == 0).any() else axes.set_xscale("log")
    return place, {}


def _log_where_it_helps(axes: Axes, values: Float) -> None:
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 3 * finite.min() and finite.max() < 1e250:
        axes.set_yscale("log")
