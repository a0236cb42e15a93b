"""The picture that the tutorial talks about: the loss as a parabola in one parameter, and the descent's walk on it.

Shapes: T recorded epochs, F features, D = 1 + F parameters a target, O targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.ticker import MaxNLocator

from linreg.plots.figure import INK, LINE, SHADE, Float, shortened

_WALK = LinearSegmentedColormap.from_list("walk", ["#bcdcec", "#5fa8d3", INK])
_START = {"color": INK, "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.5, "linestyle": "none"}
_END = {"color": INK, "markersize": 7, "linestyle": "none", "zorder": 3}
_LOWEST = {"color": LINE, "markersize": 8, "markeredgewidth": 2, "linestyle": "none", "zorder": 4}
_MOST_PANELS = 12  # of the grid of parabolas; more could not be read
_AT_REST = 0.01  # of the loss at the end: a parameter that alone could gain no more counts as at its own minimum


def parabolas(
    path_TDO: Float,
    epochs_T: Sequence[int],
    *,
    curvature_D: Float,
    gradient_DO: Float,
    loss: float,
    features: Sequence[str],
    targets: Sequence[str],
    penalised: bool = False,
) -> Figure:
    """The loss as a parabola in each weight and bias by itself, and the walk of the descent on it.

        L_j(v) = loss + gradient_j (v - end_j) + curvature_j / 2 (v - end_j)^2

    is the loss with all other parameters held where the descent ended. The dots are the values that the parameter had
    after the recorded epochs, light to dark. One grid of at most twelve panels, a row a target where they fit; of more
    parameters those are shown along which the walk goes through the most loss.

    Args:
        path_TDO: the T recorded parameters in the data's own units, bias first: (T, 1 + F, O), without one (T, F, O).
        epochs_T: after how many epochs each was recorded, rising.
        curvature_D: the Hessian's diagonal, in loss per squared unit of each parameter; the same for every target.
        gradient_DO: at the last recorded parameters, in loss per unit of each parameter.
        loss: there, in the targets' units squared.
        features, targets: F and O names.
        penalised: the training had penalties, which are not in this loss; the title says so.

    Source: the tutorial, "Adjust weights and biases to reduce the loss".
    """
    end_DO, d, o = path_TDO[-1], path_TDO.shape[1], path_TDO.shape[2]
    curves = [
        _Parabola(float(end_DO[i, j]), float(curvature_D[i]), float(gradient_DO[i, j]), loss)
        for j in range(o)
        for i in range(d)
    ]
    walks = [path_TDO[:, i, j] for j in range(o) for i in range(d)]
    names = shortened(features if d == len(features) else ("bias", *features))
    labels = [f"{n} → {t}" for t in shortened(targets) for n in names]
    passed = [float(np.ptp(curve(walk))) for curve, walk in zip(curves, walks, strict=True)]
    drawn = sorted(np.argsort(passed, kind="stable")[::-1][:_MOST_PANELS].tolist())
    columns = d if d * o <= _MOST_PANELS and d <= 6 else min(4, len(drawn))
    figure, panels = _grid(len(drawn), columns)
    for axes, k in zip(panels, drawn, strict=True):
        _draw_walk(axes, curves[k], walks[k], labels[k])
    most_loss = f"; the {len(drawn)} of {d * o} parameters that it moved through the most loss"
    selection = most_loss if len(drawn) < d * o else ""
    others = f"where epoch {epochs_T[-1]:,} left them" if len(epochs_T) > 1 else "as they are"
    title = f"Loss in one parameter at a time, the others {others}{selection}"
    if penalised:
        title += "\nThe penalties are left out here: the optimum of the penalised loss lies beside these minima"
    figure.suptitle(title)
    figure.supylabel("mean squared error", fontsize="medium")
    _add_legend(figure, panels[0], epochs_T)
    return figure


@dataclass(frozen=True)
class _Parabola:
    """The loss as a function of one parameter, around where the descent ended."""

    end: float
    curvature: float
    gradient: float
    loss: float

    def __call__(self, value: Any) -> Any:
        distance = value - self.end
        return self.loss + self.gradient * distance + self.curvature / 2 * distance**2

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


def _draw_walk(axes: Any, curve: _Parabola, walk_T: Float, label: str) -> None:
    """One panel: the parabola, the walk on it, where it began and ended, and the parabola's own minimum."""
    lowest = curve.minimum
    left, right = min(lowest, float(walk_T.min())), max(lowest, float(walk_T.max()))
    reach = 1.15 * max(right - lowest, lowest - left, curve.doubled) or max(abs(lowest), 1.0)
    values = np.linspace(lowest - reach, lowest + reach, 201)
    axes.plot(values, curve(values), color=SHADE, linewidth=1.5, zorder=1)
    axes.axvline(lowest, ymax=0.8, color=LINE, linestyle="--", linewidth=1, zorder=0)
    shade = np.linspace(0, 1, len(walk_T))
    axes.scatter(walk_T, curve(walk_T), c=shade, cmap=_WALK, s=26, linewidths=0, zorder=2)
    if len(walk_T) > 1:
        axes.plot(walk_T[:1], curve(walk_T[:1]), "o", **_START)
    axes.plot(walk_T[-1:], curve(walk_T[-1:]), "D", **_END)
    axes.plot([lowest], [curve(lowest)], "x", **_LOWEST)
    _label(axes, curve, label)


def _label(axes: Any, curve: _Parabola, label: str) -> None:
    """Title, ticks, and in the parabola's mouth whether the parameter has anything left to gain by itself."""
    rests = curve.gain <= _AT_REST
    verdict = "within 1% of its minimum" if rests else f"on the slope:\n{100 * curve.gain:.1f}% of the loss to gain"
    where = {"transform": axes.transAxes, "ha": "center", "va": "top"}
    axes.text(0.5, 0.96, verdict, size="small", color=INK if rests else LINE, **where)
    axes.set_title(label, fontsize="medium")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4))
        axis.set_major_formatter(_format_number)
    axes.tick_params(labelsize="small")


def _format_number(value: float, _position: int) -> str:
    return f"{value:,.6g}"


def _grid(panels: int, columns: int) -> tuple[Figure, list[Any]]:
    """A figure with a grid of small axes, row by row; places left over at the end stay empty."""
    rows = -(-panels // columns)
    figure = Figure(figsize=(max(6.4, 2.9 * columns), 2.5 * rows + 1.1), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel().tolist()
    for panel in grid:
        panel.spines[["top", "right"]].set_visible(False)
    for panel in grid[panels:]:
        panel.set_axis_off()
    return figure, grid[:panels]


def _add_legend(figure: Figure, axes: Any, epochs_T: Sequence[int]) -> None:
    """What the marks mean, once for the whole grid, under it."""
    dots = tuple(axes.plot([], [], "o", color=_WALK(shade), markersize=5)[0] for shade in (0.0, 0.5, 1.0))
    handles = [axes.plot([], [], mark, **style)[0] for mark, style in (("o", _START), ("D", _END), ("x", _LOWEST))]
    names = [f"epoch {epochs_T[0]:,}", f"epoch {epochs_T[-1]:,}", "minimum in this parameter alone"]
    handles.insert(1, dots)
    names.insert(1, "between them")
    if len(epochs_T) == 1:  # nothing was walked: a closed form
        handles, names = handles[2:], ["the parameters", names[-1]]
    handlers = {tuple: HandlerTuple(ndivide=None, pad=0.4)}
    columns = 4 if figure.get_figwidth() > 8 else 2
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, handler_map=handlers)
