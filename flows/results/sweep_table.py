"""The models of a sweep side by side: a row each.

The rows are the ``runs`` of ``linreg sweep --json``, which is a contract, and the artifacts ``sweep.json`` and
``sweep.csv`` of the sweep's own run.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Row:
    """One model of a sweep.

    Args:
        run_id, name, status: of its nested run, as MLflow has it.
        values: of the swept keys.
        ranked_by: the loss that ranked it, in words.
        loss, standard_error: that loss, in the targets' units squared, and its standard error; None where there is
            none.
        epochs: that it has had.
        metrics: as MLflow has them.
        error: why it failed, in one line; None where it did not.
    """

    run_id: str
    name: str
    status: str
    values: Mapping[str, Any]
    ranked_by: str
    loss: float | None = None
    standard_error: float | None = None
    epochs: int | None = None
    metrics: Mapping[str, float] | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object of one model."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return own | {"values": dict(self.values), "metrics": dict(self.metrics or {})}


def table(rows: Sequence[Row], ranked_on: str) -> dict[str, Any]:
    """What ``sweep.json`` holds; ``rows_of`` takes it back."""
    return {"ranked_on": ranked_on, "runs": [row.to_json() for row in rows]}


def rows_of(document: Mapping[str, Any]) -> tuple[tuple[Row, ...], str]:
    """The rows of ``table``, and what ranked them."""
    return tuple(Row(**row) for row in document["runs"]), document["ranked_on"]


def best_first(rows: Sequence[Row]) -> list[Row]:
    """The rows by their loss; of equal ones the earlier first, those without one at the end."""
    return sorted(rows, key=lambda row: math.inf if row.loss is None else row.loss)


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as a table for a spreadsheet, in the grid's order; numbers with all their digits."""
    text, keys = io.StringIO(), list(rows[0].values)
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics or {}))
    columns = [*keys, "ranked_by", "loss", "standard_error", "epochs", *metrics, "status", "run_id", "error"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_json() | dict(row.values) | dict(row.metrics or {}) for row in rows)
    return text.getvalue()
