"""Records by level: the record of the design's columns, whatever the partitions, their levels and their gaps."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linreg.design import Design, Term
from linreg.files.tables import category
from linreg.moments.by_level import MomentsByLevel
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import merge
from linreg.moments.parted_leaf import part_leaf
from linreg.rows.rows import Rows

HEADER = Rows((), ("x", "z"), ("y",))
LEVELS = {"region": ("east", "north", "south", "west"), "kind": ("a", "b", "c")}
INDICATORS = [Term(levels=((column, level),)) for column, levels in LEVELS.items() for level in levels[1:]]
TERMS = [Term(("x",)), *INDICATORS[:3], Term(("z",)), *INDICATORS[3:]]
DESIGN = Design({term.name: term for term in TERMS}, LEVELS)
PRODUCTS = [("x",), ("region",), ("z",), ("kind",)]


def frame(n: int, seed: int, *, regions: int = 4, kinds: int = 3, offset: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    region = rng.choice(LEVELS["region"][-regions:], n)
    columns = {"x": rng.normal(offset, 1, n), "region": region, "kind": rng.choice(LEVELS["kind"][:kinds], n)}
    return pd.DataFrame(columns | {"z": rng.normal(size=n), "y": rng.normal(size=n) + (region == "north")})


def recorded(rows: pd.DataFrame, parting: str, *, weighted: bool = False, method: str = "numpy") -> MomentsByLevel:
    columns = {name: category(pa.array(rows[name])) if name in LEVELS else rows[name] for name in rows}
    header = Rows((), ("x", "z"), ("y",), weight="w" if weighted else "")
    return part_leaf(header, PRODUCTS, parting, (pa.table(columns), None), method=method).recorded(method)


def dense(rows: pd.DataFrame) -> np.ndarray:
    """The columns of the design, written out."""
    own = {
        term.name: rows[term.levels[0][0]] == term.levels[0][1] if term.levels else rows[term.name] for term in TERMS
    }
    return np.column_stack([*own.values(), rows["y"]]).astype(float)


def assert_same(record: MomentsWithGaps, expected: MomentsWithGaps) -> None:
    """The same sums of products, to rounding."""
    fill_F = np.full(len(record.features), 47.0)
    a, b = record.filled(fill_F), expected.filled(fill_F)
    assert (a.features, a.targets, a.rows, record.gaps, record.missing) == (
        *(b.features, b.targets, b.rows, expected.gaps, expected.missing),
    )
    sums = (a.weight, a.log_weight, a.square_weight), (b.weight, b.log_weight, b.square_weight)
    np.testing.assert_allclose(*sums, rtol=1e-13)
    products = [m.at(b.shift_P).T @ m.at(b.shift_P) for m in (a, b)]
    largest = np.linalg.norm(b.at(np.zeros_like(b.shift_P)), axis=0).max()  # of the columns as they stand
    np.testing.assert_allclose(products[0], products[1], rtol=1e-12, atol=1e-15 * largest**2)


@given(
    seed=st.integers(0, 99),
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=5),
    weighted=st.booleans(),
    gaps=st.sampled_from([0.0, 0.3]),
    parting=st.sampled_from(["region", "kind", "changing"]),
)
def test_partitions_of_any_levels_merge_to_the_record_of_the_written_out_columns(seed, sizes, weighted, gaps, parting):
    rng = np.random.default_rng(seed)
    parts = [frame(n, seed + i, regions=r, kinds=k, offset=50.0) for i, (n, r, k) in enumerate(sizes)]
    for part in parts:
        part["w"] = rng.uniform(0.1, 3, len(part)) if weighted else 1.0
        part.loc[rng.uniform(size=len(part)) < gaps, "x"] = np.nan
    by = [
        "region" if parting == "changing" and i % 2 else parting.replace("changing", "kind") for i in range(len(parts))
    ]
    records = [recorded(part, name, weighted=weighted) for part, name in zip(parts, by, strict=True)]
    rows = pd.concat(parts)
    expected = MomentsWithGaps.of(
        [dense(rows)], tuple(DESIGN.terms), ("y",), weights=[rows["w"].to_numpy()] if weighted else None
    )
    assert_same(merge(records).expanded(DESIGN), expected)


@pytest.mark.parametrize("method", ["R", "plain"])
@pytest.mark.parametrize("weighted", [False, True])
def test_compiled_code_makes_the_record_that_numpy_makes(method: str, weighted: bool) -> None:
    rows = frame(3000, 1, offset=1e4).assign(w=np.random.default_rng(0).uniform(0.5, 2, 3000))
    by_numpy, compiled = (recorded(rows, "region", weighted=weighted, method=m) for m in ("numpy", method))
    assert_same(compiled.expanded(DESIGN), by_numpy.expanded(DESIGN))


def test_slopes_within_levels_far_apart_keep_their_digits() -> None:
    """Levels that lie 1e8 spreads apart: only what varies within them tells the slope."""
    rows = frame(2000, 2)
    shift = rows["region"].map({"east": 0.0, "north": 1e8, "south": -3e8, "west": 7e8})
    rows["x"], rows["y"] = rows["x"] + shift, 2.5 * rows["x"] + 1e-3 * rows["y"]
    record = merge([recorded(part, "region") for part in (rows[:900], rows[900:])])
    slope = record.expanded(DESIGN).moments.solve().weight_OF[0, 0]
    means = rows.groupby(["region"])[["x", "y"]].transform("mean")
    within, kinds = rows[["x", "y"]] - means, pd.get_dummies(rows["kind"]).to_numpy(float)[:, 1:]
    columns = np.column_stack([within["x"], rows["z"], kinds])
    columns -= pd.DataFrame(columns).groupby(rows["region"].to_numpy()).transform("mean").to_numpy()
    expected = np.linalg.lstsq(columns, within["y"], rcond=None)[0][0]
    assert slope == pytest.approx(expected, rel=1e-7)


def test_a_level_that_the_design_does_not_know_counts_as_the_base() -> None:
    rows = frame(100, 3)
    known = replace(DESIGN, terms={name: term for name, term in DESIGN.terms.items() if name != "region[west]"})
    as_base = rows.assign(region=rows["region"].replace("west", "east"))
    assert_same(recorded(rows, "region").expanded(known), recorded(as_base, "region").expanded(known))
