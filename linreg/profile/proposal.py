"""A config for a table: the role of every column, and the settings that suit the rows. It opens no file.

    proposal = propose(sample, ["price"])
    proposal.columns, proposal.settings

What would leak the target is never taken in silence; what is left out has its reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linreg.errors import UserError, listed, nearest
from linreg.files.sample import Sample, columns_at
from linreg.profile import rules
from linreg.profile.columns import BOOLEAN, NUMBERS, TEXT, Column, columns_of
from linreg.profile.draft import Draft
from linreg.profile.roles import LEFT_OUT, ColumnRole, Setting

_HINT = 300  # letters


@dataclass(frozen=True)
class Proposal:
    """What a config of the table would be.

    Args:
        columns: all of them, in the table's order.
        targets: in the order in which they were named.
        settings: keys of ``[data]`` beside the columns' roles.
        dated: the column that says when a row was; empty: none does.
    """

    columns: tuple[ColumnRole, ...]
    targets: tuple[str, ...]
    settings: Mapping[str, Setting]
    dated: str


def look(sample: Sample) -> tuple[ColumnRole, ...]:
    """The columns without a target: what each is by itself."""
    columns = columns_of(sample)
    return _roles(sample, columns, {column.name: rules.kind(column) for column in columns})


def propose(sample: Sample, targets: Sequence[str]) -> Proposal:
    """Decide on every column and setting.

    Raises:
        UserError: a target is not there or cannot be predicted, or nothing is left to predict it from.
    """
    columns = columns_of(sample)
    by_name = {column.name: column for column in columns}
    outputs = [_target(name, by_name, sample) for name in dict.fromkeys(targets)]
    draft = Draft(by_name, outputs, sample)
    draft.decide()
    settings = draft.settings()
    dated = next((c.name for c in columns if rules.in_time(c) and c not in outputs), "")
    names = tuple(target.name for target in outputs)
    return Proposal(_roles(sample, columns, draft.kinds), names, settings, dated)


def _roles(sample: Sample, columns: Iterable[Column], kinds: Mapping[str, tuple[str, str]]) -> tuple[ColumnRole, ...]:
    known = [ColumnRole(c.name, c.type, *kinds[c.name], c.missing, c.distinct) for c in columns]
    others = rules.of_no_table(sample).items()
    return (*known, *(ColumnRole(name, "unknown", LEFT_OUT, why, 0, None) for name, why in others))


def _target(name: str, columns: Mapping[str, Column], sample: Sample) -> Column:
    if name in sample.doubled:
        where = columns_at(sample.doubled[name])
        raise UserError(f"--target '{name}' stands in {where} of the file: rename the others, and name the one")
    if name not in columns:
        why = " in every file" if name in sample.partial else ""
        hint = "" if why else nearest(name, columns)
        hint = hint if len(hint) <= _HINT else f"{hint[: _HINT - 4]} ..."
        raise UserError(f"--target '{name}': there is no such column{why}{hint}: name one of them")
    target = columns[name]
    if name in sample.folders:
        raise UserError(f"--target '{name}' is the name of folders, and no column of a file: name a column of numbers")
    if target.odd:
        raise UserError(f"--target '{name}' is {target.odd}: correct what is no number, or leave those cells empty")
    if target.type == TEXT:
        raise UserError(
            f"--target '{name}' is text ({listed([repr(level[:30]) for level in target.levels], most=3)}): a linear "
            "regression predicts numbers; name such a column, or write what is to be predicted as 0 and 1"
        )
    if target.type not in (*NUMBERS, BOOLEAN):
        raise UserError(f"--target '{name}' is {target.type}: a linear regression predicts numbers; name such a column")
    if (target.distinct or 0) < 2:
        raise UserError(f"--target '{name}' has the same value in every row: there is nothing to predict")
    if rules.is_merged(target):
        raise UserError(f"--target '{name}' holds {rules.MERGED}: subtract what they have in common")
    if not rules.in_range(target):
        raise UserError(
            f"--target '{name}' holds infinite values, or such as float32 does not hold: correct or rescale them"
        )
    return target
