"""What all pictures have in common: their colours, a figure with its axes, names as text, and the way to a PNG."""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Float = npt.NDArray[np.float64]

_MOST_POINTS = 2_000  # of a curve, at least; twice that at the most
INK, SHADE, LINE, WHISKER, VALID = "#1b4965", "#9fb8c6", "#d1495b", "#e9a23b", "#e09f3e"


def new_figure(columns: int = 1, height: float = 4.2) -> tuple[Figure, Any]:
    """A figure and its axes: one, or an array of them where there are several columns."""
    figure = Figure(figsize=(max(6.4, 4.4 * columns), max(height, 2.6)), layout="constrained")
    axes = figure.subplots(1, columns)
    for panel in np.atleast_1d(axes):
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a column name in another script
        figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def thinned(curve: Sequence[float]) -> tuple[npt.NDArray[np.int64], Float]:
    """The epochs of a curve and its values there: no more than a picture can show, the last one among them."""
    last = len(curve) - 1
    epochs = np.append(np.arange(0, last, max(1, last // _MOST_POINTS)), last)
    return epochs, np.asarray(curve, dtype=np.float64)[epochs]


def literal(name: str, most: int = 40) -> str:
    """The name as it stands, cut off past so many letters; between two dollar signs it would be read as a formula."""
    return (name if len(name) <= most else f"{name[: most - 1]}…").replace("$", r"\$")


def shortened(names: Sequence[str]) -> list[str]:
    """Names with the middle left out past 14 letters, so that two fit over a small panel.

    Those that then look alike are shown from where they differ.
    """
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        alike.setdefault(name if len(name) <= 14 else f"{name[:7]}…{name[-6:]}", []).append(name)
    out = {group[0]: cut for cut, group in alike.items()}
    for group in alike.values():
        differ = (i for i, letters in enumerate(zip(*group, strict=False)) if len(set(letters)) > 1)
        start = next(differ, min(map(len, group)))
        out |= {name: f"{name[:4]}…{name[start : start + 9]}" for name in group if len(group) > 1}
    return [literal(out[name]) for name in names]
