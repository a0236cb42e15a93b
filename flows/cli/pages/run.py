"""What a run says to the person who started it: what was read, trained, reached and registered, and what to do next."""

import shlex
from collections.abc import Iterable, Mapping

from flows.cli.pages.columns import flowing, grid, plain
from flows.cli.pages.command import command
from flows.results.outcome import Outcome

_BASELINES = {"mean": "always the mean", "exact": "exact least squares", "champion": "the champion so far"}


def summary(outcome: Outcome, config: str) -> str:
    """The whole page.

    Args:
        config: the config and its settings as they were typed; what is advised is added to them.
    """
    judged = ["", *_table(outcome)] if "test_rmse" in outcome.metrics else []  # none where drift stopped the run
    parts = [_head(outcome), _facts(outcome), *judged, ""]
    if outcome.advice:
        parts += ["What would help", *(f"  {line}" for line in _advice(outcome, config)), ""]
    parts.append(_next(outcome))
    return "\n".join(parts)


def _head(outcome: Outcome) -> str:
    number = f" version {outcome.version}" if outcome.version else ""
    aliases = f" ({', '.join('@' + a for a in outcome.aliases)})" if outcome.aliases else ""
    title = flowing(f"{outcome.model}{number}{aliases}: {outcome.decision}", first="")
    return f"{title}\n{flowing(outcome.reason)}\n"


def _facts(outcome: Outcome) -> str:
    data, m = outcome.data, outcome.metrics
    files = f"{data['partitions']} file" + ("s" if data["partitions"] != 1 else "")
    lines = [
        ("read", f"{data.get('rows', 0):,} rows of {files}, digest {data['digest'][:12]}"),
        *(("", note) for note in outcome.notes),
        (
            "trained",
            f"{outcome.trainer} on {outcome.device}, {outcome.epochs:,} epochs{_seconds(outcome)}"
            if "train_loss" in m
            else f"nothing{_seconds(outcome)}",
        ),
    ]
    lines += [("", outcome.rate)] if outcome.rate else []
    if "train_loss" in m:
        penalties = "with its penalties, " if "excess_mse" in m else ""
        lines.append(
            ("loss", f"{m['train_loss']:.6g}, {penalties}of which {m['excess_loss']:.4g} is above the best possible")
        )
    if "optimum_loss" in m:
        lines.append(("best possible", f"{m['optimum_loss']:.6g}{_how_far(outcome)}"))
    return "\n".join(flowing(text, " " * 16, first=f"  {name:<14}") for name, text in lines)


def _seconds(outcome: Outcome) -> str:
    """How long the flow took; nothing of a version that was trained another day."""
    return "" if outcome.decision == "unchanged" else f", {outcome.seconds:.1f} s in all"


def _how_far(outcome: Outcome) -> str:
    m, words = outcome.metrics, []
    if "condition_number" in m:
        columns = "scaled" if outcome.standardize else "raw"
        words.append(f"condition number {m['condition_number']:.3g} of the {columns} columns")
    if m.get("epochs_to_1pct", 0) > outcome.epochs > 0:
        words.append(f"{int(m['epochs_to_1pct']) - outcome.epochs:,} more epochs at this rate to come within 1% of it")
    return f" ({'; '.join(words)})" if words else ""


def _table(outcome: Outcome) -> Iterable[str]:
    """The model beside its baselines, all on the same rows."""
    m = outcome.metrics
    targets = [name.removeprefix("test_rmse.") for name in m if name.startswith("test_rmse.")]
    prefixes = {"test_": "this model"} | {f"baseline.{name}.test_": words for name, words in _BASELINES.items()}
    rows = [_row(words, m, prefix, targets) for prefix, words in prefixes.items() if f"{prefix}rmse" in m]
    yield f"Root mean squared error on {outcome.judged_on or 'the judged rows'}"
    yield grid(["", "all", *targets, "R2"], rows, indent="  ", least=[22, *[12] * (len(targets) + 1), 10])


def _row(name: str, m: Mapping[str, float], prefix: str, targets: list[str]) -> list[str]:
    cells = [m[f"{prefix}rmse"], *(m[f"{prefix}rmse.{t}"] for t in targets)]
    return [name, *(f"{cell:.4g}" for cell in cells), f"{m[f'{prefix}r2']:.4f}"]


def _advice(outcome: Outcome, config: str) -> Iterable[str]:
    """Advice as it is; where it is a setting, the whole command."""
    for line in outcome.advice:
        yield plain(f"{command()} run {config} {line}" if line.startswith("--set ") else line)


def _next(outcome: Outcome) -> str:
    linreg = command()
    look = f"show {shlex.quote(f'{outcome.model}/{outcome.version}')}"
    look = look if outcome.version else f"runs {shlex.quote(outcome.experiment)}"
    return f"Look at it: {linreg} {plain(look)}, or in a browser: {linreg} ui"
