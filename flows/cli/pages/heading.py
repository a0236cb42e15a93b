"""The first lines of ``linreg show``: which version it is, what it learned from, and how good it is; words for others.

Nothing is computed here, and no file is opened.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.cli.pages.columns import WIDTH, page_width, plain, shortened, wrapped
from flows.tracking.registry import Version

if TYPE_CHECKING:
    from linreg.moments.lineage import Lineage

MOST_TARGETS = 6


def heading(version: Version, lineage: "Lineage | None") -> Iterator[str]:
    """What stands above the coefficients.

    Args:
        version: as the registry has it.
        lineage: the files that it learned from; None where they were not kept.
    """
    m = version.metrics
    yield wrapped(f"{version.ref} {at(version)}", "  ", first="")
    yield wrapped(f"trained by {version.trainer} on {_rows(version)}, digest {version.data.get('digest', '')[:12]}")
    yield from _files(lineage)
    yield wrapped(f"run {version.run_id}, registered {version.created[:19]}")
    yield wrapped(
        f"rmse {m.get('test_rmse', 0):.6g}, R2 {m.get('test_r2', 0):.4f}, judged on {judged_on(version)}; "
        f"loss {m.get('excess_loss', 0):.4g} above the best possible"
    )
    yield from _by_target(version)


def at(version: Version) -> str:
    """The aliases as they are written in a REF."""
    return " ".join(f"@{a}" for a in version.aliases)


def judged_on(version: Version) -> str:
    """Which rows its test metrics are of, in words: its own training rows where none were held out."""
    if rows := version.facts.get("judged_on"):
        return str(rows)
    fraction = version.split.get("fraction")
    if fraction is None:
        return "rows that are not on record"
    return "its training rows" if fraction == 0 else "test rows"


def trained_on(version: Version) -> str:
    """How many rows trained it; of how many that were read, where others were held out."""
    rows, trained = version.data.get("rows", 0), version.data.get("train_rows", 0)
    return f"{trained:,} rows" if trained >= rows else f"{trained:,} of {rows:,} rows"


def _rows(version: Version) -> str:
    files = version.data.get("partitions")
    return trained_on(version) + (f" of {files:,} file{'' if files == 1 else 's'}" if files else "")


def _files(lineage: "Lineage | None") -> Iterator[str]:
    """From which file to which, in the order of their names."""
    if lineage is None or not lineage.partitions:
        return
    ends = [lineage.partitions[i][0] for i in (0, -1)]
    first, last = shortened(ends, page_width(WIDTH) // 2 - 5)
    yield f"  from {first} to {last}" if len(lineage.partitions) > 1 else f"  from {first}"


def _by_target(version: Version) -> Iterator[str]:
    """The error of each target, beside that of a model that always says the mean; none where there is one target."""
    m = version.metrics
    names = [t for t in version.targets if f"test_rmse.{t}" in m]
    means = [m.get(f"baseline.mean.test_rmse.{t}") for t in names]
    if not names or len(names) > MOST_TARGETS or None in means:
        return
    words = ["always the mean: "] + [""] * (len(names) - 1)  # said once
    errors = [
        f"{plain(t)} {m[f'test_rmse.{t}']:.4g} ({word}{mean:.4g})"
        for t, mean, word in zip(names, means, words, strict=True)
    ]
    yield wrapped(f"rmse of {', '.join(errors)}")
