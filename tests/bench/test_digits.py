"""Correct digits on hard problems: NIST's certified values, verified in exact arithmetic, then ours beside LAPACK's."""

import json
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import __main__ as command
from bench import digits, rational, strd
from bench.harness import Result
from linreg.moments.moments import Moments, merge
from tests.support.processes import ROOT, environment, run
from tests.support.tables import moments_of

SETS = strd.load()
CHAOS = 3.0  # digits: what rounding leaves of less than these is nobody's doing, and differs between machines


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return {r.case: r for r in digits.run()}


def half_a_unit(exact: Decimal, certified: Decimal) -> bool:
    """Whether rounding ``exact`` to the published digits gives the published value."""
    unit = Fraction(10) ** int(certified.as_tuple().exponent)
    return abs(Fraction(exact) - Fraction(certified)) <= unit / 2


def test_all_eleven_sets_are_there_with_as_many_rows_as_nist_says():
    rows = {"Norris": 36, "Pontius": 40, "NoInt1": 11, "NoInt2": 3, "Filip": 82, "Longley": 16}
    assert {name: len(s.y_N) for name, s in SETS.items()} == rows | {f"Wampler{i}": 21 for i in range(1, 6)}


@pytest.mark.parametrize("name", SETS)
def test_exact_arithmetic_gives_the_certified_values_to_the_last_digit(name):
    exact, certified = rational.of_reference(SETS[name]), SETS[name].certified
    for ours, published in (
        *zip(exact.parameters_P, certified.parameters_P, strict=True),
        *zip(exact.deviations_P, certified.deviations_P, strict=True),
        (exact.residual_deviation, certified.residual_deviation),
        (exact.r2, certified.r2),
        (exact.residual_squares, certified.residual_squares),
    ):
        assert half_a_unit(ours, published), (ours, published)


def test_a_wrong_digit_in_an_observation_would_be_noticed():
    longley = SETS["Longley"]
    first = longley.y_N[0] + Decimal("0.1")
    tampered = strd.Reference(**{**vars(longley), "y_N": (first, *longley.y_N[1:])})
    exact = rational.of_reference(tampered)
    assert not any(map(half_a_unit, exact.parameters_P, longley.certified.parameters_P))


def test_digits_count_the_worst_and_stop_at_none_and_at_fifteen():
    assert digits.digits([1.001, 2.0], [Decimal(1), Decimal(2)]) == pytest.approx(3, abs=1e-9)
    assert digits.digits([1e-4], [Decimal(0)]) == pytest.approx(4)
    assert digits.digits([-7.0], [Decimal(1)]) == 0
    assert digits.digits([0.5], [Decimal("0.5")]) == 15


@pytest.mark.parametrize("quantity", digits.QUANTITIES)
@pytest.mark.parametrize("name", [r.name for r in digits.references()])
def test_ours_is_within_a_digit_of_the_best_that_lapack_does_on_the_rows_in_leaves_too(name, quantity, results):
    result = results[f"{name}, {quantity}"]
    best = max(result.against[peer] for peer in digits.PEERS)
    assert result.ours >= best - 1
    assert result.against["ours, compiled"] >= best - 1
    assert result.against["ours, standardized"] >= result.ours - 1
    assert result.against["ours, 3 leaves"] >= result.ours - 1


def test_ours_is_at_least_as_good_as_numpys_on_most_sets(results):
    slopes = [results[f"{r.name}, parameters"] for r in digits.references()]
    assert sum(r.ours >= r.against["numpy"] - 0.1 for r in slopes) > 0.8 * len(slopes)
    assert sum(r.ours >= r.against["numpy"] + 2 for r in slopes) >= 4


@pytest.mark.parametrize("name", ["Filip", "Longley", "Wampler2", "Wampler5"])
def test_no_order_of_merging_four_leaves_is_worse_than_lapack_by_more_than_a_digit(name):
    x, y = SETS[name].arrays()
    columns = tuple(f"x{i}" for i in range(x.shape[1])), ("y",)
    leaves = [Moments.leaf(b, *columns) for b in np.array_split(np.column_stack([x, y]), 4)]
    lapack = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=0)[0][1:]
    certified = SETS[name].certified.parameters_P[1:]
    for order in permutations(leaves):
        chain = order[0] + order[1] + order[2] + order[3]
        for record in (merge(order), chain):
            solution = record.solve()
            assert solution.rank == x.shape[1]
            assert digits.digits(solution.weight_OF[0], certified) >= digits.digits(lapack, certified) - 1


@pytest.mark.parametrize("name", SETS)
def test_no_reference_set_counts_as_deficient(name):
    x, y = SETS[name].arrays()
    solution = replace(moments_of(x, y[:, None]), intercept=SETS[name].intercept).solve()
    assert (solution.rank, solution.deficient) == (x.shape[1], ())


def test_through_the_origin_bias_and_means_are_zero_and_residuals_about_it():
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(40, 3)) + np.array([0, 5, 1e4]), rng.normal(size=(40, 2)) + 3
    weight, residual, *_ = np.linalg.lstsq(x, y, rcond=None)
    record = moments_of(x, y)
    solution = replace(record, intercept=False).solve()
    assert solution.weight_OF == pytest.approx(weight.T, rel=1e-9)
    assert solution.residual_O == pytest.approx(residual, rel=1e-12)
    assert not solution.bias_O.any()
    assert not solution.mean_F.any()
    assert record.solve().bias_O == pytest.approx(y.mean(axis=0))  # the ordinary one is not touched


def test_through_the_origin_a_constant_column_is_no_deficiency_and_a_sum_of_columns_is():
    rng = np.random.default_rng(12)
    for far in (0.0, 1.0, 1e3, 1e6):
        x, y = rng.normal(size=(100, 4)) + far, rng.normal(size=(100, 1))
        x[:, 3] = 2.0
        assert replace(moments_of(x, y), intercept=False).solve().rank == 4
        total = np.column_stack([x, x[:, 0] + x[:, 2]])
        solution = replace(moments_of(total, y), intercept=False).solve()
        assert solution.rank == 4
        assert set(solution.deficient) == {"x0", "x2", "x4"}


def test_weights_count_through_the_origin():
    x, y = np.array([[4.0], [5], [6]]), np.array([[3.0], [4], [4]])
    z, w = np.hstack([x, y]), np.array([1.0, 3.0, 0.5])
    solution = replace(Moments.leaf(z, ("x",), ("y",), w), intercept=False).solve()
    assert solution.weight_OF[0, 0] == pytest.approx((w * x[:, 0]) @ y[:, 0] / ((w * x[:, 0]) @ x[:, 0]), rel=1e-15)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.integers(8, 24),
    features=st.integers(1, 3),
    cuts=st.lists(st.integers(1, 7), max_size=4, unique=True),
    far=st.sampled_from([0.0, 1e3, 1e6]),
    near=st.sampled_from([1.0, 1e-3, 1e-6]),
    seed=st.integers(0, 2**32 - 1),
)
def test_leaves_cut_anywhere_stay_within_a_digit_of_lapack(rows, features, cuts, far, near, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features))
    x = np.column_stack([x, x[:, 0] + near * rng.normal(size=rows)]) + far
    y = x @ rng.normal(size=features + 1) + rng.normal(size=rows)
    truth = rational.of_arrays(x, y).parameters_P[1:]
    columns = tuple(f"x{i}" for i in range(features + 1)), ("y",)
    ours, lapack = [], []
    for _ in range(9):  # medians: in a single order of so few rows either is lucky by more than a digit at times
        order = rng.permutation(rows)
        leaves = np.split(np.column_stack([x, y])[order], sorted(cuts))
        ours.append(digits.digits(Moments.of(leaves, *columns).solve().weight_OF[0], truth))
        design = np.column_stack([np.ones(rows), x])[order]
        lapack.append(digits.digits(np.linalg.lstsq(design, y[order], rcond=0)[0][1:], truth))
    assert np.median(ours) >= min(float(np.median(lapack)), 13.0) - 1


RECORD = """
import hashlib, numpy as np, pyarrow as pa
from linreg.moments.moments import Moments
from linreg.rows.rows import Rows
z = np.random.default_rng(0).normal(size=(140_000, 21)) + 10
names = tuple(f"x{i}" for i in range(20)), ("y",)
rows = Rows([pa.table(dict(zip((*names[0], "y"), z.T.copy(), strict=True)))], *names)
m = Moments.of(rows.blocks(), *names)
s = m.solve()
bits = m.root_KK.tobytes() + m.shift_P.tobytes() + s.weight_OF.tobytes() + s.residual_O.tobytes()
print(hashlib.sha256(bits).hexdigest())
"""


def test_three_leaves_give_the_same_bits_for_any_thread_count():
    names, digests = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), set()
    for threads in ("1", "4"):
        env = environment(**dict.fromkeys(names, threads))
        digests.add(run([sys.executable, "-c", RECORD], env=env, check=True).stdout)
    assert len(digests) == 1


def test_the_ratio_is_their_error_over_ours_and_a_tenth_is_within_a_digit(results):
    result = results["Longley, parameters"]
    assert result.ratio["numpy"] == pytest.approx(10 ** (result.ours - result.against["numpy"]))
    assert result.target == dict.fromkeys(digits.PEERS, 0.1)
    assert (command.CASES["digits"], command.TABLES["digits"]) == (digits.run, digits.table)


def tables(text: str) -> dict[tuple[str, str, str], float]:
    """Figures by quantity, data set and column."""
    figures: dict[tuple[str, str, str], float] = {}
    for block in text.split("\n\n"):
        lines = [[c.strip() for c in line.strip("|").split("|")] for line in block.splitlines() if line.startswith("|")]
        if lines and lines[0][0] in digits.QUANTITIES:
            quantity, *columns = lines[0]
            for name, *cells in lines[2:]:
                figures |= {(quantity, name, c): float(v) for c, v in zip(columns, cells, strict=True)}
    return figures


def test_the_documents_tables_are_what_the_command_computes_today(results):
    today, documented = tables(digits.table([*results.values()])), tables((ROOT / "docs/digits.md").read_text())
    assert set(documented) == set(today)
    wrong = {k: (v, today[k]) for k, v in documented.items() if abs(v - today[k]) > 1 and max(v, today[k]) > CHAOS}
    assert not wrong, "run `python -m bench digits` and put its tables into docs/digits.md"


def test_the_kept_results_are_the_documents_tables():
    kept = json.loads((ROOT / "bench/results/digits.json").read_text())
    documented = tables((ROOT / "docs/digits.md").read_text())
    for entry in kept:
        name, _, quantity = entry["case"].rpartition(", ")
        assert f"{entry['ours']:.1f}" == f"{documented[quantity, name, 'ours']:.1f}", entry["case"]
        assert entry["unit"] == "digits"
