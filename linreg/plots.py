"""The pictures of a run: the loss on its way to the optimum, and as a parabola in each parameter; predictions against
the truth; and what each feature does.

Each function draws one figure from plain arrays and returns it; ``png`` turns it into bytes. No window is opened and no
global state is touched.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.ticker import MaxNLocator

Float = npt.NDArray[np.float64]

_INK, _SHADE, _LINE = "#1b4965", "#9fb8c6", "#d1495b"
_VALID = "#e09f3e"
_WALK = LinearSegmentedColormap.from_list("walk", ["#bcdcec", "#5fa8d3", _INK])
_START = {"color": _INK, "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.5, "linestyle": "none"}
_END = {"color": _INK, "markersize": 7, "linestyle": "none", "zorder": 3}
_LOWEST = {"color": _LINE, "markersize": 8, "markeredgewidth": 2, "linestyle": "none", "zorder": 4}
_MOST_POINTS = 5_000  # of a scatter; more would only make the file large
_MOST_PANELS = 12  # of the grid of parabolas; more could not be read
_AT_REST = 0.01  # of the loss at the end: a parameter that alone could gain no more counts as at its own minimum


def loss_curve(train_loss: Sequence[float], optimum: float, validation_loss: Sequence[float] = ()) -> Figure:
    """The loss after each epoch, on a log scale, with the best possible loss as a line.

    Args:
        validation_loss: of the validation rows; it may go on past the epoch whose parameters were kept.
    """
    figure, axes = _figure()
    axes.plot(np.arange(len(train_loss)), train_loss, color=_INK, linewidth=2, label="train loss")
    if validation_loss:
        axes.plot(np.arange(len(validation_loss)), validation_loss, color=_VALID, linewidth=2, label="validation loss")
    if len(validation_loss) > len(train_loss):
        axes.axvline(len(train_loss) - 1, color=_SHADE, linewidth=1, label=f"kept: epoch {len(train_loss) - 1:,}")
    if len(train_loss) == 1:
        axes.plot([0], train_loss, "o", color=_INK)
    axes.axhline(optimum, color=_LINE, linestyle="--", label=f"best possible: {optimum:.4g}")
    if min([optimum, *train_loss, *validation_loss]) > 0:
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


def parabolas(
    path_TDO: Float,
    epochs_T: Sequence[int],
    *,
    curvature_D: Float,
    gradient_DO: Float,
    loss: float,
    features: Sequence[str],
    targets: Sequence[str],
) -> Figure:
    """The loss as a parabola in each weight and bias by itself, and the walk of the descent on it.

        L_j(v) = loss + gradient_j (v - end_j) + curvature_j / 2 (v - end_j)^2

    is the loss with all other parameters held where the descent ended. The dots are the values that the parameter had
    after the recorded epochs, light to dark. One grid of at most twelve panels, a row a target where they fit; of more
    parameters those are shown along which the walk goes through the most loss.

    Args:
        path_TDO: the T recorded parameters in the data's own units, bias first: (T, 1 + F, O).
        epochs_T: after how many epochs each was recorded, rising.
        curvature_D: the Hessian's diagonal, in loss per squared unit of each parameter; the same for every target.
        gradient_DO: at the last recorded parameters, in loss per unit of each parameter.
        loss: there, in the targets' units squared.
        features, targets: F and O names.

    Source: the tutorial, "Adjust weights and biases to reduce the loss".
    """
    end_DO, d, o = path_TDO[-1], path_TDO.shape[1], path_TDO.shape[2]
    curves = [
        _Parabola(float(end_DO[i, j]), float(curvature_D[i]), float(gradient_DO[i, j]), loss)
        for j in range(o)
        for i in range(d)
    ]
    walks = [path_TDO[:, i, j] for j in range(o) for i in range(d)]
    labels = [f"{_short(n)} → {_short(t)}" for t in targets for n in ("bias", *features)]
    through = [float(np.ptp(curve(walk))) for curve, walk in zip(curves, walks, strict=True)]
    shown = sorted(np.argsort(through, kind="stable")[::-1][:_MOST_PANELS].tolist())
    columns = d if d * o <= _MOST_PANELS and d <= 6 else min(4, len(shown))
    figure, panels = _grid(len(shown), columns)
    for axes, k in zip(panels, shown, strict=True):
        _walked(axes, curves[k], walks[k], labels[k])
    few = f"; the {len(shown)} of {d * o} parameters that it moved through the most loss" if len(shown) < d * o else ""
    figure.suptitle(f"Loss in one parameter at a time, the others where epoch {epochs_T[-1]:,} left them{few}")
    figure.supylabel("mean squared error", fontsize="medium")
    _key(figure, panels[0], epochs_T)
    return figure


@dataclass(frozen=True)
class _Parabola:
    """The loss as a function of one parameter, around where the descent ended."""

    end: float
    curvature: float
    gradient: float
    loss: float

    def __call__(self, value: Any) -> Any:
        away = value - self.end
        return self.loss + self.gradient * away + self.curvature / 2 * away**2

    @property
    def minimum(self) -> float:
        """The value with the smallest loss; the end itself where the loss does not depend on the parameter."""
        return self.end - self.gradient / self.curvature if self.curvature > 0 else self.end

    @property
    def doubled(self) -> float:
        """How far from the minimum the loss is twice as large: a walk shorter than that has hardly moved the loss."""
        lowest = max(self(self.minimum), 0.0)
        return float(np.sqrt(2 * lowest / self.curvature)) if self.curvature > 0 else 0.0

    @property
    def gain(self) -> float:
        """The share of the loss that this parameter alone could still take away."""
        return (self.loss - self(self.minimum)) / self.loss if self.loss > 0 else 0.0


def _walked(axes: Any, curve: _Parabola, walk_T: Float, label: str) -> None:
    """One panel: the parabola, the walk on it, where it began and ended, and the parabola's own minimum."""
    lowest = curve.minimum
    left, right = min(lowest, float(walk_T.min())), max(lowest, float(walk_T.max()))
    reach = 1.15 * max(right - lowest, lowest - left, curve.doubled) or max(abs(lowest), 1.0)
    values = np.linspace(lowest - reach, lowest + reach, 201)
    axes.plot(values, curve(values), color=_SHADE, linewidth=1.5, zorder=1)
    axes.axvline(lowest, ymax=0.8, color=_LINE, linestyle="--", linewidth=1, zorder=0)
    shade = np.linspace(0, 1, len(walk_T))
    axes.scatter(walk_T, curve(walk_T), c=shade, cmap=_WALK, s=26, linewidths=0, zorder=2)
    axes.plot(walk_T[:1], curve(walk_T[:1]), "o", **_START)
    axes.plot(walk_T[-1:], curve(walk_T[-1:]), "D", **_END)
    axes.plot([lowest], [curve(lowest)], "x", **_LOWEST)
    _say(axes, curve, label)


def _say(axes: Any, curve: _Parabola, label: str) -> None:
    """Title, ticks, and in the parabola's mouth whether the parameter has anything left to gain by itself."""
    rests = curve.gain <= _AT_REST
    verdict = "within 1% of its minimum" if rests else f"on the slope:\n{100 * curve.gain:.1f}% of the loss to gain"
    where = {"transform": axes.transAxes, "ha": "center", "va": "top"}
    axes.text(0.5, 0.96, verdict, size="small", color=_INK if rests else _LINE, **where)
    axes.set_title(label, fontsize="medium")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4))
        axis.set_major_formatter(_plain)
    axes.tick_params(labelsize="small")


def _plain(value: float, _position: int) -> str:
    return f"{value:,.6g}"


def _key(figure: Figure, axes: Any, epochs_T: Sequence[int]) -> None:
    """What the marks mean, once for the whole grid, under it."""
    dots = tuple(axes.plot([], [], "o", color=_WALK(shade), markersize=5)[0] for shade in (0.0, 0.5, 1.0))
    handles = [axes.plot([], [], mark, **style)[0] for mark, style in (("o", _START), ("D", _END), ("x", _LOWEST))]
    names = [f"epoch {epochs_T[0]:,}", f"epoch {epochs_T[-1]:,}", "minimum in this parameter alone"]
    handles.insert(1, dots)
    names.insert(1, "between them")
    together = {tuple: HandlerTuple(ndivide=None, pad=0.4)}
    columns = 4 if figure.get_figwidth() > 8 else 2
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, handler_map=together)


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


def _short(name: str) -> str:
    """The name with its middle left out past 14 letters, so that two of them fit over a small panel."""
    return _literal(name if len(name) <= 14 else f"{name[:7]}…{name[-6:]}")


def _grid(panels: int, columns: int) -> tuple[Figure, list[Any]]:
    """A figure with a grid of small axes, row by row; places left over at the end stay empty."""
    rows = -(-panels // columns)
    figure = Figure(figsize=(max(6.4, 2.9 * columns), 2.5 * rows + 1.1), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel().tolist()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    for one in axes[panels:]:
        one.set_axis_off()
    return figure, axes[:panels]


def _figure(columns: int = 1, height: float = 4.2) -> tuple[Figure, Any]:
    """A figure and its axes: one, or an array of them where there are several columns."""
    figure = Figure(figsize=(max(6.4, 4.4 * columns), max(height, 2.6)), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes
