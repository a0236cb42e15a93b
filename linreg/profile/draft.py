"""The roles of columns and the settings of rows while they are decided, one rule after the other.

    draft = Draft(columns, targets, sample)
    draft.decide()
    draft.kinds, draft.settings()

No rule takes back what another left out. It opens no file.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from linreg.data_config import PREDICTIONS
from linreg.errors import UserError
from linreg.files.sample import Sample
from linreg.profile import relations, rules
from linreg.profile.columns import DATES, Column
from linreg.profile.roles import CATEGORICAL, FEATURE, KEY, LEFT_OUT, TARGET, Setting

_KEPT = 0.7  # of the rows, where those with gaps are left out
_ENOUGH = 100  # rows to hold some out
_TEST = 0.2
_MOST_TERMS = 2000
_VARYING = 5  # rows of other values than the most frequent: fewer are all test rows once in 600 splits or more often
_RARE = 8  # rows of a level: the same, of many levels
_ENTITIES = 30  # a key's values: of fewer, none may fall into the test rows


class Draft:
    """Roles while they are decided, one rule after the other; none takes back what another left out."""

    def __init__(self, columns: Mapping[str, Column], targets: Sequence[Column], sample: Sample) -> None:
        self._columns, self._targets, self._sample = columns, targets, sample
        self.kinds: dict[str, tuple[str, str]] = {name: rules.kind(column) for name, column in columns.items()}
        self.kinds |= {target.name: (TARGET, _gaps(target)) for target in targets}
        self._missing = Setting("error", "")

    def decide(self) -> None:
        """Apply all rules in their order."""
        for name in self._sample.folders:
            if self.kinds[name][0] in (FEATURE, CATEGORICAL):
                self.kinds[name] = rules.of_folders(self._columns[name])
        for name in self._columns:
            if name in {f"{PREDICTIONS[0]}_{target.name}" for target in self._targets}:
                self._leave_out(name, "a prediction of the target, as linreg predict writes it")
        self._leave_out_leaks()
        self._leave_out_determined()
        self._leave_out_dependent()
        if not self._chosen():
            self._take_row_numbers()
        self._decide_gaps()
        self._leave_out_constant()
        self._leave_out_levels()
        if not self._chosen():
            others = {name: (LEFT_OUT, why) for name, why in rules.of_no_table(self._sample).items()}
            kinds = self.kinds | others
            reasons = [f"'{name}': {why}" for name, (role, why) in kinds.items() if role == LEFT_OUT]
            what = "no column is left to predict from: write the config by hand with those that you want"
            raise UserError(what, details=reasons)
        self._note_sums()

    def settings(self) -> dict[str, Setting]:
        """The keys beside the columns, without what stands at its default; the test rows' share always."""
        test = self._test()
        key, rare = (self._key(), self._rare_level()) if test.value else (None, "")
        if key:
            self.kinds[key[0]] = (KEY, key[1])
        return {
            **({"key": Setting([key[0]], key[1])} if key else {}),
            "test_fraction": test,
            **({"missing": self._missing} if self._missing.value != "error" else {}),
            **({"unseen": Setting("base", rare)} if rare else {}),
        }

    def _chosen(self, *roles: str) -> list[Column]:
        roles = roles or (FEATURE, CATEGORICAL)
        return [self._columns[name] for name, (role, _) in self.kinds.items() if role in roles]

    def _leave_out(self, name: str, why: str) -> None:
        if self.kinds[name][0] in (FEATURE, CATEGORICAL):
            self.kinds[name] = (LEFT_OUT, why)

    def _leave_out_leaks(self) -> None:
        for column in self._chosen():
            for target in self._targets:
                if why := relations.leak(column, target):
                    self._leave_out(column.name, why)

    def _leave_out_determined(self) -> None:
        """Categories that another one determines, the later of two that are one; then numbers that one determines."""
        for column in [*reversed(self._chosen(CATEGORICAL)), *self._chosen(FEATURE)]:
            for category in self._chosen(CATEGORICAL):
                if column is not category and (why := relations.determined_by(column, category)):
                    self._leave_out(column.name, why)

    def _leave_out_dependent(self) -> None:
        for name, parts in relations.linear_dependence(self._chosen(FEATURE)).items():
            copy = f"a copy of {''.join(parts)}, or that in another unit"
            self._leave_out(name, copy if len(parts) < 2 else f"determined by {_joined(parts)}: a sum of multiples")

    def _take_row_numbers(self) -> None:
        """Where nothing else is left, the number of a row says when it was."""
        for name, (_, why) in self.kinds.items():
            if why == rules.COUNTS and name.strip():
                self.kinds[name] = (FEATURE, "counts the rows, and is all that there is")
                return

    def _decide_gaps(self) -> None:
        """Leave rows out where few lack a value; else fill numbers, which categories with gaps do not allow."""
        while self._share_complete() < _KEPT and (gaps := [c for c in self._chosen(CATEGORICAL) if c.missing]):
            worst = max(gaps, key=lambda column: column.missing)
            self._leave_out(worst.name, f"{worst.missing:,} rows have no value: write a level there to use it")
        lost = self._sample.table.num_rows - int(self._complete().sum())
        unseen_gaps = "only the first rows were looked at; a later one that lacks a value is left out and counted"
        if self._share_complete() >= _KEPT or (self._chosen(CATEGORICAL) and not self._sample.complete):
            if lost:
                self._missing = Setting("drop", f"{_rows(lost)} a value: left out and counted")
            elif not self._sample.complete:
                self._missing = Setting("drop", unseen_gaps)
        else:
            what = f"{_rows(lost)} a value: filled with the column's mean, which rules out standard errors"
            self._missing = Setting("mean", what)

    def _leave_out_constant(self) -> None:
        """Leave out what would not vary among the rows that train: the others are left out, or may all be test rows."""
        fewest = _VARYING if self._usable() >= _ENOUGH else 1
        used = self._used()
        for column in self._chosen():
            if np.count_nonzero(np.bincount(column.code_N[used] + 1)[1:]) > fewest:
                continue
            counts = self._draws(column)
            if counts.sum() - counts.max(initial=0) < fewest:
                self._leave_out(column.name, "has the same value in all rows but a few, or in all that can be used")

    def _leave_out_levels(self) -> None:
        """Leave out the category with the most levels while there are two rows or fewer for a parameter."""
        while (terms := self._terms()) > _MOST_TERMS or 2 * terms > self._usable():
            categories = [c for c in self._chosen(CATEGORICAL) if (c.distinct or 0) > 2]
            if not categories:
                break
            most = max(categories, key=lambda column: column.distinct or 0)
            self._leave_out(most.name, f"{most.distinct} levels: beside the other columns too many for the rows")
        while self._terms() >= self._usable() and (chosen := self._chosen()):
            self._leave_out(chosen[-1].name, f"{self._usable():,} rows bear no more columns than those before it")

    def _note_sums(self) -> None:
        """Say of features that together they give a target, exactly or nearly."""
        numbers = self._chosen(FEATURE)
        for target in self._targets:
            correlation, parts = relations.gives(numbers, target)
            for name in parts:
                beside = f"with {_joined([part for part in parts if part != name])} it" if len(parts) > 1 else "it"
                why = f"{beside} gives {target.name} (correlation {correlation:.6g}): is it known before?"
                self.kinds[name] = (FEATURE, why)

    def _test(self) -> Setting:
        rows, terms = self._usable(), self._terms()
        if rows < _ENOUGH:
            return Setting(0, f"{rows:,} rows are too few to hold some out: judged on the rows that train")
        if (1 - _TEST) * rows < 3 * terms:
            return Setting(0, f"{terms:,} parameters need all {rows:,} rows: judged on the rows that train")
        return Setting(_TEST, "a fifth of the rows, drawn by a hash, judges the model and trains nothing")

    def _key(self) -> tuple[str, str] | None:
        """The column whose rows stay on one side of the split: an id that repeats, a day, an id of each row."""
        rows = self._sample.table.num_rows
        candidates = [c for c in self._columns.values() if not c.missing and (c.distinct or 0) >= _ENTITIES]
        candidates = [c for c in candidates if self.kinds[c.name][0] == LEFT_OUT]
        repeated = [c for c in candidates if 2 * (c.distinct or 0) <= rows]
        for column in repeated:
            if rules.is_id(column):
                return column.name, f"rows of one {column.name} train or test together"
        for column in repeated:
            if column.type in DATES:
                return column.name, f"rows of one {column.name} train or test together: they may be alike"
        for column in candidates:
            if rules.is_id(column) and column.distinct == rows and self.kinds[column.name][1] != rules.COUNTS:
                return column.name, "names a row: whether it trains or tests does not change when rows move"
        return None

    def _rare_level(self) -> str:
        """Why a level may fall into the test rows alone; empty where it hardly can."""
        for column in self._chosen(CATEGORICAL):
            if self._draws(column).min(initial=_RARE) < _RARE:
                return f"a rare level of {column.name} may fall into the test rows alone: it counts as the first one"
        if self._chosen(CATEGORICAL) and not self._sample.complete:
            return "rows that were not looked at may hold a rare level: among test rows it counts as the first one"
        return ""

    def _draws(self, column: Column) -> npt.NDArray[np.int64]:
        """How often the split draws each value of a column: by its rows, or by the key's values that it has."""
        used = self._used() & (column.code_N >= 0)
        code_N, key = column.code_N[used], self._key()
        if key and len(code_N):  # the rows of one value of the key are one draw
            keys = self._columns[key[0]].code_N[used]
            count = int(keys.max()) + 1
            code_N = np.unique(code_N * count + keys) // count
        return np.unique(code_N, return_counts=True)[1]

    def _complete(self) -> npt.NDArray[np.bool_]:
        """Which of the rows looked at have every value."""
        return _all_there([*self._targets, *self._chosen()])

    def _share_complete(self) -> float:
        """Of the rows that have their targets, the share that has every value."""
        with_targets = _all_there(self._targets)
        return float(self._complete().sum() / max(1, with_targets.sum()))

    def _used(self) -> npt.NDArray[np.bool_]:
        """Which of the rows looked at train or test."""
        return _all_there(self._targets) if self._missing.value == "mean" else self._complete()

    def _usable(self) -> int:
        """About how many rows train and test."""
        return round(float(self._used().mean()) * self._sample.about_rows)

    def _terms(self) -> int:
        """How many parameters a target has."""
        levels = sum((c.distinct or 1) - 1 for c in self._chosen(CATEGORICAL))
        return 1 + len(self._chosen(FEATURE)) + levels


def _all_there(columns: Sequence[Column]) -> npt.NDArray[np.bool_]:
    """Which rows have a value in all of the columns."""
    return np.asarray(np.logical_and.reduce([column.code_N >= 0 for column in columns]))


def _gaps(target: Column) -> str:
    return "to be predicted" + (f"; {_rows(target.missing)} it and are left out" if target.missing else "")


def _rows(count: int) -> str:
    return f"{count:,} row lacks" if count == 1 else f"{count:,} rows lack"


def _joined(names: Sequence[str]) -> str:
    """The names, the last after an ``and``."""
    shown = list(names) if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
