"""The pictures of what is kept in ``bench/results/``: every ratio beside its target, and how time and memory grow.

    python -m bench --chart     writes docs/bench.png and docs/growth.png, and measures nothing

``digits`` has tables of its own and is left out: what it compares is not time.
"""

import json
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import blended_transform_factory

from linreg.plots.figure import INK, LINE, SHADE, new_figure, png

Kept = dict[str, Any]
HEIGHT = 0.25  # inches a row
GROWN = re.compile(r"growth (.+), (rows x|F=)(\d+)")


def draw(results: Path, into: Path, cases: Iterable[str]) -> list[Path]:
    """Both pictures, each where there is something to show; the cases in this order."""
    kept = {case: load(results / f"{case}.json") for case in cases if case != "digits"}
    rows = [(r, name) for measured in kept.values() for r in measured for name in r["target"]]
    pictures = {"bench.png": ratios(rows) if rows else None}
    pictures["growth.png"] = growth(kept["growth"]) if kept.get("growth") else None
    for name, figure in pictures.items():
        if figure is not None:
            (into / name).write_bytes(png(figure))
    return [into / name for name, figure in pictures.items() if figure is not None]


def load(path: Path) -> list[Kept]:
    """What a case has kept; nothing where it never ran."""
    kept: list[Kept] = json.loads(path.read_text()) if path.exists() else []
    return kept


def ratios(rows: list[tuple[Kept, str]]) -> Figure:
    """A line for every result and peer or limit that has a target."""
    height = 1.5 + HEIGHT * len(rows)
    figure = Figure(figsize=(11, height))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.42, right=0.87, bottom=0.6 / height, top=1 - 0.9 / height)
    names = blended_transform_factory(figure.transFigure, axes.transData)
    for i, (r, name) in enumerate(rows):
        _row(axes, i, r["ratio"][name], r["target"][name])
        if not i or rows[i - 1][0] is not r:
            axes.axhline(i - 0.5, color=SHADE, linewidth=0.6)
            axes.text(0.01, i, _title(r, rows), transform=names, va="center", fontsize=9, weight="bold")
    axes.set_yticks(range(len(rows)), [name for _, name in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _scale(axes)
    _legend(axes)
    figure.text(
        0.01,
        1 - 0.3 / height,
        "How many times faster (or smaller) than each peer; of a limit, the share that is reached",
        fontsize=12,
    )
    machines = sorted({r["machine"] for r, _ in rows})
    axes.set_xlabel(f"ratio, log scale; medians of contenders run in turn on {'; '.join(machines)}", fontsize=8.5)
    return figure


def _title(r: Kept, rows: list[tuple[Kept, str]]) -> str:
    """The case; with its unit where another result has the same name."""
    twins = {other["unit"] for other, _ in rows if other["case"] == r["case"]}
    return f"{r['case']} ({r['unit']})" if len(twins) > 1 else str(r["case"])


def _row(axes: Axes, i: int, ratio: float, target: float) -> None:
    """The way from the target to what is reached, and both in numbers at the right."""
    colour = _colour(ratio >= target)
    axes.plot([target, ratio], [i, i], color=colour, linewidth=2, alpha=0.35, solid_capstyle="butt")
    axes.plot(target, i, marker="|", color="black", markersize=11, markeredgewidth=1.6)
    axes.plot(ratio, i, marker="o", color=colour, markersize=7)
    place = axes.get_yaxis_transform()
    style: dict[str, Any] = {"transform": place, "va": "center", "fontsize": 9}
    axes.text(1.1, i, _number(ratio), ha="right", color=colour, weight="bold", **style)
    axes.text(1.115, i, f"of {_number(target)}", **style)


def _scale(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes.grid(axis="x", color=SHADE, alpha=0.35, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _legend(axes: Axes) -> None:
    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 7}
    handles = [
        Line2D([], [], color=_colour(True), label="target reached", **dot),
        Line2D([], [], color=_colour(False), label="not reached", **dot),
        Line2D([], [], color="black", marker="|", linestyle="none", markersize=11, label="target"),
        Line2D([], [], color="black", linewidth=0.8, linestyle=":", label="as fast as they, or at the limit"),
    ]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, fontsize=8.5)


def _colour(reached: bool) -> str:
    return INK if reached else LINE


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def growth(kept: list[Kept]) -> Figure:
    """Time and peak memory over rows, and time over features; dotted: what linear and quadratic growth would be."""
    figure, (time, memory, wide) = new_figure(3)
    for work, points in _grown(kept, "rows x", "s").items():
        _curve(time, work, points, guide=1)
    for work, points in _grown(kept, "rows x", "MB peak").items():
        _curve(memory, work, points)
    for work, points in _grown(kept, "F=", "s").items():
        _curve(wide, work, points, guide=2)
    time.set(title="time over rows; dotted: linear", xlabel="times the rows", ylabel="s")
    memory.set(title="peak memory over rows", xlabel="times the rows", ylabel="MB", yscale="linear")
    memory.set_ylim(0, 1.15 * max(r["ours"] for r in kept if r["unit"] == "MB peak"))
    wide.set(title="time over features; dotted: quadratic", xlabel="features", ylabel="s")
    wide.set_xscale("log", base=2)
    for axes in (time, memory, wide):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
        axes.legend(frameon=False)
    words = f"{kept[0]['note']}; {kept[0]['machine']}"
    figure.supxlabel("\n".join(textwrap.wrap(words, 150)), fontsize=8)
    return figure


def _grown(kept: list[Kept], along: str, unit: str) -> dict[str, list[tuple[int, float]]]:
    """What each work took at each size."""
    out: dict[str, list[tuple[int, float]]] = {}
    for r in kept:
        match = GROWN.fullmatch(r["case"])
        if match and match[2] == along and r["unit"] == unit:
            out.setdefault(match[1], []).append((int(match[3]), r["ours"]))
    return out


def _curve(axes: Axes, work: str, points: list[tuple[int, float]], *, guide: int = 0) -> None:
    sizes, values = zip(*points, strict=True)
    (line,) = axes.plot(sizes, values, marker="o", label=work)
    if guide:  # through the last point, where fixed costs weigh least
        way = [values[-1] * (size / sizes[-1]) ** guide for size in sizes]
        axes.plot(sizes, way, color=line.get_color(), linestyle=":", linewidth=1)
    axes.set(xscale="log", yscale="log")
