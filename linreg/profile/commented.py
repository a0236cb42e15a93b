"""The config that a proposal is, as TOML with a comment wherever something was decided. It opens no file.

text = commented(proposal, sample, "data/housing.csv")
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import tomli_w

from linreg.files import paths
from linreg.files.sample import Sample
from linreg.profile.proposal import Proposal
from linreg.profile.roles import CATEGORICAL, FEATURE, LEFT_OUT, TARGET, ColumnRole

_WIDTH = 100
_PLAIN = ("numbers", "to be predicted")  # what need not be said of a feature or a target


def commented(proposal: Proposal, sample: Sample, path: str, *, raw_files: bool = False) -> str:
    """The config as TOML.

    Args:
        path: of the data, as the config is to name it.
        raw_files: whether files of a table format are read as they lie.
    """
    name = model_name(path)
    return "\n".join(
        [
            *_comment(f"What a look at {looked_at(sample)} suggests: change what you know better."),
            f"model = {_toml(name)}",
            f"experiment = {_toml(name)}",
            "",
            "[data]",
            f"path = {_toml(path)}",
            *(["raw_files = true  # deleted and replaced rows of the table come back"] * raw_files),
            *_columns("targets", proposal, TARGET),
            *_columns("features", proposal, FEATURE),
            *_columns("categorical", proposal, CATEGORICAL),
            *_settings(proposal),
            "",
            *_left_out(proposal),
            "# There is no [train] section: the rate is found from the data, as far as standard errors need it.",
            "",
        ]
    )


def model_name(path: str) -> str:
    """A name for the model, from the file's, the folder's, or what stands before a glob's first wildcard."""
    plain = paths.label(path).rstrip("/")
    parts = [part for part in PurePosixPath(plain).parts if not re.search(r"[*?\[]|^\.+$|^/$|=", part)]
    last = re.sub(r"(\.(csv|parquet|pq|gz|bz2|zst))+$", "", parts[-1], flags=re.IGNORECASE) if parts else ""
    return re.sub(r"[^\w.-]+", "-", last).strip("-.") or "model"


def looked_at(sample: Sample) -> str:
    """Which rows it was.

    >>> from linreg.files.sample import Sample
    >>> import pyarrow as pa
    >>> looked_at(Sample(pa.table({"a": [1, 2]}), files=1, opened=1, about_rows=2, complete=True))
    'all 2 rows of 1 file'
    """
    rows = sample.table.num_rows
    files = f"{sample.files:,} file{'' if sample.files == 1 else 's'}"
    if sample.complete:
        return f"all {rows:,} row{'' if rows == 1 else 's'} of {files}"
    of_files = files if sample.files == 1 else f"each of {files}"
    if sample.opened < sample.files:
        of_files = f"each of {sample.opened:,} of the {files}"
    return f"the first rows of {of_files} ({rows:,} of about {_rounded(sample.about_rows):,})"


def printable(text: str) -> str:
    """The text on one line, as a comment holds it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rounded(rows: int) -> int:
    """Three digits."""
    return int(float(f"{rows:.3g}"))


def _columns(key: str, proposal: Proposal, role: str) -> Iterator[str]:
    """The list of a role: in one line, or one a line where there is something to say."""
    columns = [column for column in proposal.columns if column.role == role]
    if role == TARGET:
        columns.sort(key=lambda column: proposal.targets.index(column.name))
    line = f"{key} = [{', '.join(_toml(column.name) for column in columns)}]"
    if not columns and role == CATEGORICAL:
        return
    if len(line) <= _WIDTH and all(column.why in _PLAIN for column in columns):
        yield line
        return
    if len(columns) == 1 and len(f"{line}  # {columns[0].why}") <= _WIDTH:
        yield f"{line}  # {printable(columns[0].why)}"
        return
    yield f"{key} = ["
    width = max((len(_toml(column.name)) for column in columns), default=0)
    for column in columns:
        comment = "" if column.why in _PLAIN else f"# {printable(column.why)}"
        yield f"    {_toml(column.name) + ',':<{min(width, 40) + 1}}  {comment}".rstrip()
    yield "]"


def _settings(proposal: Proposal) -> Iterator[str]:
    for key, setting in proposal.settings.items():
        line = f"{key} = {_toml(setting.value)}"
        beside = f"{line}  # {printable(setting.why)}"
        yield from [beside] if len(beside) <= _WIDTH else [*_comment(setting.why), line]
        if key == "test_fraction" and setting.value and proposal.dated:
            yield from _comment(
                f"the rows are dated ({proposal.dated}): test rows drawn from all of them judge a model more kindly "
                "than rows of a later time will"
            )


def _left_out(proposal: Proposal) -> Iterator[str]:
    columns = [column for column in proposal.columns if column.role == LEFT_OUT]
    if columns:
        yield "# Left out, and why:"
        yield from (f"#   {_line(column)}" for column in columns)
        yield ""


def _line(column: ColumnRole) -> str:
    return f"{printable(_toml(column.name))}: {printable(column.why)}"


def _comment(text: str) -> Iterable[str]:
    """The text as comments of a page's width."""
    line, lines = "#", []
    for word in printable(text).split(" "):
        if len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]


def _toml(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
