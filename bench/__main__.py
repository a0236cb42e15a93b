"""``python -m bench [CASE ...] [--json] [--chart]``: run cases, print the table, keep both in ``bench/results/``."""

import argparse
import json
import sys
from pathlib import Path

from bench import (
    categorical,
    chart,
    digits,
    exact,
    file_to_model,
    fullbatch,
    gpu,
    growth,
    incremental,
    ingest,
    lookups,
    minibatch,
    pipeline,
    predict,
    sweep,
)
from bench.harness import Result, machine, table

_IN_ORDER = (
    *(fullbatch, pipeline, lookups, digits, minibatch, exact, ingest),
    *(file_to_model, categorical, predict, sweep, growth, incremental, gpu),
)
CASES = {case.__name__.removeprefix("bench."): case.run for case in _IN_ORDER}
TABLES = {"digits": digits.table}  # cases with a table of their own
RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("cases", metavar="CASE", nargs="*", help=f"of {', '.join(CASES)}; none: all")
    parser.add_argument("--json", action="store_true", help="print a list of results as JSON")
    parser.add_argument("--chart", action="store_true", help="draw what is kept; without a CASE nothing is run")
    args = parser.parse_args(argv)
    unknown = [case for case in args.cases if case not in CASES]
    if unknown:
        parser.error(f"unknown case {unknown[0]}: one of {', '.join(CASES)}")
    if args.cases or not args.chart:
        _run(args.cases or list(CASES), as_json=args.json)
    if args.chart:
        for path in chart.draw(RESULTS, DOCS, CASES):
            sys.stderr.write(f"{path}\n")


def _run(cases: list[str], *, as_json: bool) -> None:
    results: list[Result] = []
    tables: list[str] = []
    for case in cases:
        sys.stderr.write(f"{case} ...\n")
        measured = CASES[case]()
        if not measured:  # it has said why
            continue
        text = TABLES.get(case, table)(measured)
        _keep(case, measured, text)
        results += measured
        tables.append(text)
    text = "\n\n".join([machine(), *tables])
    print(json.dumps([r.to_json() for r in results], allow_nan=False) if as_json else text)


def _keep(case: str, results: list[Result], text: str) -> None:
    """The case's table, and its numbers with all that was measured."""
    RESULTS.mkdir(exist_ok=True)
    kept = [{**r.to_json(), "spread": r.spread, "note": r.note, "machine": machine()} for r in results]
    (RESULTS / f"{case}.json").write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n")
    (RESULTS / f"{case}.txt").write_text(f"{machine()}\n\n{text}\n")


if __name__ == "__main__":
    main()
