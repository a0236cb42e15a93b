"""The section ``[data]`` of a config: which files, columns and rows.

It opens no file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from linreg.errors import nearest
from linreg.section import Section, choice, require

if TYPE_CHECKING:  # a config without a formula needs neither numpy nor formulaic
    from linreg.expression import Expression
    from linreg.formula import Formula

MissingRule = Literal["error", "drop", "mean", "indicator"]
UnseenRule = Literal["error", "base"]
PREDICTIONS = ("predicted", "low", "high")  # what stands before a target's name in the columns that `predict` adds


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """Which rows and columns.

    Args:
        path: a file, a glob, a folder, or a URL that pyarrow's file systems read.
        features: column names of the inputs.
        targets: column names of the outputs.
        formula: instead of both, ``apples + oranges ~ temp * rainfall + C(region)``; its categories come to
            ``categorical``.
        categorical: those of the inputs that are categories: text, codes, truth values. One that ``features`` leaves
            out comes after them.
        levels: of a category, in this order, the first being the base; those it leaves out are ``unseen``. A category
            that is not named here has the levels of the training rows, sorted.
        unseen: what a level does that no training row has: ``error`` stops, ``base`` counts it as the first level.
        key: columns that identify a row for the split; none: partition and row number.
        test_fraction: expected share of rows held out for the test; 0: judged on the training rows.
        split_seed: seed of the split, apart from ``train.seed``.
        validation_fraction: expected share of the training rows held out for validation.
        missing: what a null or NaN does: ``error`` stops, ``drop`` leaves the row out, ``mean`` fills a feature with
            its mean over the training rows (a row without a target is left out); ``indicator`` fills it so and puts a
            column of 0 and 1 beside it, and makes a missing category a level of its own.
        weight: the column that says how much a row counts; empty: all count the same. One that weighs 0 is not there.
        window: how many files count, the last ones by name; 0: all of them.
        window_by: the folder column (as in ``day=2026-11-01/``) whose dates the window counts, in days up to the last.
        raw_files: whether the files of a table format (Delta, Iceberg, Hudi) are read as they lie.

    >>> import linreg
    >>> linreg.DataConfig(path="data/crops-15.csv", features=("temp",), targets=("apples",)).missing
    'error'
    """

    path: str
    features: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    formula: str = ""
    categorical: tuple[str, ...] = ()
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: UnseenRule = "error"
    key: tuple[str, ...] = ()
    test_fraction: float = 0.0
    split_seed: int = 0
    validation_fraction: float = 0.0
    missing: MissingRule = "error"
    weight: str = ""
    window: int = 0
    window_by: str = ""
    raw_files: bool = False

    def __post_init__(self) -> None:
        require(self.window >= 0, "data.window", "must be at least 0 (0: all files)", self.window)
        require(bool(self.path.strip()), "data.path", "is empty: name a file, a glob, a folder or a URL")
        if self.formula:
            self._take_formula()
        for name, columns in {"features": self.inputs, "targets": self.targets}.items():
            require(bool(columns), f"data.{name}", "is empty: name at least one column, or write data.formula")
        for name in ("features", "targets", "categorical"):
            columns = getattr(self, name)
            double = sorted({c for c in columns if columns.count(c) > 1})
            require(not double, f"data.{name}", f"names {double} twice: name each column once")
            both = sorted(set(columns) & set(self.targets)) if name != "targets" else []
            require(not both, f"data.{name}", f"and data.targets both name {both}: a column is one or the other")
        self._check_levels()
        for name in ("test_fraction", "validation_fraction"):
            require(0 <= getattr(self, name) < 1, f"data.{name}", "must be at least 0 and below 1", getattr(self, name))
        choice(self.missing, get_args(MissingRule), "data.missing")
        outputs = {f"{PREDICTIONS[0]}_{target}" for target in self.targets}
        for name in ("features", "categorical", "key"):
            taken = sorted(outputs & set(getattr(self, name)))
            remedy = "which `linreg predict` calls a column of its output: rename it in the data, or leave it out"
            require(not taken, f"data.{name}", f"names {taken}, {remedy}")
        clash = bool(self.weight) and self.weight in (*self.inputs, *self.targets, *self.outcomes, *self.computed)
        require(not clash, "data.weight", f"'{self.weight}' is a feature or a target too: a column is one or the other")

    @property
    def parsed(self) -> "Formula | None":
        """What the formula says."""
        if not self.formula:
            return None
        from linreg.formula import parse

        return parse(self.formula)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a prediction takes: the features, and the categories that these leave out."""
        named = self.parsed.inputs if self.parsed else self.features
        return (*named, *(c for c in self.categorical if c not in named))

    @property
    def fills(self) -> bool:
        """Whether a missing number is filled in."""
        return self.missing in ("mean", "indicator")

    @property
    def numbers(self) -> tuple[str, ...]:
        """Those of the inputs that are numbers, or dates: microseconds since 1970."""
        return tuple(c for c in self.inputs if c not in self.categorical)

    @property
    def dates(self) -> tuple[str, ...]:
        """Those of them that are dates."""
        return self.parsed.dates if self.parsed else ()

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The columns that the targets are made of: they themselves, without a formula."""
        if self.parsed is None:
            return self.targets
        return tuple(dict.fromkeys(name for target in self.parsed.targets for name in target.inputs))

    @property
    def intercept(self) -> bool:
        """Whether the model has one."""
        return self.parsed is None or self.parsed.intercept

    @property
    def computed(self) -> "Mapping[str, Expression]":
        """What a formula computes of these columns, by name."""
        return self.parsed.computed if self.parsed else {}

    @property
    def factors(self) -> tuple[str, ...]:
        """The numbers that terms are made of: columns, and what a formula computes of them."""
        if self.parsed is None:
            return self.numbers
        categories = self.categories
        return tuple(dict.fromkeys(f.column for f in self.parsed.factors if f.column not in categories))

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories, those that are computed among them."""
        return (*self.categorical, *(self.parsed.calendar if self.parsed else ()))

    def _take_formula(self) -> None:
        """Its targets, and what ``C()`` says, as if they stood in keys of their own."""
        formula = self.parsed
        assert formula is not None
        require(not self.features, "data.features", "and data.formula are both there: one says it all")
        targets = tuple(target.column for target in formula.targets)
        given = not self.targets or self.targets == targets
        require(given, "data.targets", f"is not what data.formula has on its left, {list(targets)}: leave it out")
        strange = sorted(set(self.categorical) - set(formula.inputs))
        require(not strange, "data.categorical", f"names {strange}, which data.formula does not")
        numeric = sorted(set(self.categorical) & {*formula.numbers, *formula.dates})
        require(not numeric, "data.categorical", f"names {numeric}, which data.formula takes as numbers or dates")
        several = [f.name for term in formula.terms for f in term if f.learned and len(term) > 1]
        rule = f'"{self.missing}" cannot fill {several} in a product of a formula: set "error" or "drop"'
        require(not (several and self.fills), "data.missing", rule)
        rule = f'"{self.missing}" and data.formula without an intercept do not go together: set "error" or "drop"'
        require(formula.intercept or not self.fills, "data.missing", rule)
        levels = dict(self.levels)
        for factor in formula.factors:
            listed = levels.setdefault(factor.column, factor.levels) if factor.levels else ()
            require(listed == factor.levels, f"data.levels.{factor.column}", "is not what C() lists in data.formula")
        categorical = tuple(dict.fromkeys([*self.categorical, *formula.categorical]))
        for name, value in {"targets": targets, "categorical": categorical, "levels": levels}.items():
            object.__setattr__(self, name, value)  # they follow from the formula

    def _check_levels(self) -> None:
        choice(self.unseen, get_args(UnseenRule), "data.unseen")
        for column, levels in self.levels.items():
            key = f"data.levels.{column}"
            known = self.categories
            add = f": add '{column}' there" if column in self.inputs else nearest(column, known)
            require(column in known, key, f"names no column of data.categorical{add}")
            require(len(levels) > 1, key, "must list two levels or more, the base first")
            double = sorted({c for c in levels if levels.count(c) > 1})
            require(not double, key, f"lists {double} twice: list each level once")
