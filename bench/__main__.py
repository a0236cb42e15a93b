"""``python -m bench [CASE ...] [--json]``: run cases, print the table, keep both in ``bench/results/``."""

import argparse
import json
import sys
from pathlib import Path

from bench import digits, fullbatch, pipeline, predict
from bench.harness import Result, machine, table

CASES = {"fullbatch": fullbatch.run, "pipeline": pipeline.run, "predict": predict.run, "digits": digits.run}
TABLES = {"digits": digits.table}  # cases with a table of their own
RESULTS = Path(__file__).parent / "results"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("cases", metavar="CASE", nargs="*", help=f"of {', '.join(CASES)}; none: all")
    parser.add_argument("--json", action="store_true", help="print a list of results as JSON")
    args = parser.parse_args(argv)
    unknown = [case for case in args.cases if case not in CASES]
    if unknown:
        parser.error(f"unknown case {unknown[0]}: one of {', '.join(CASES)}")
    results: list[Result] = []
    tables: list[str] = []
    for case in args.cases or CASES:
        sys.stderr.write(f"{case} ...\n")
        found = CASES[case]()
        text = TABLES.get(case, table)(found)
        _keep(case, found, text)
        results += found
        tables.append(text)
    text = "\n\n".join([machine(), *tables])
    print(json.dumps([r.to_json() for r in results], allow_nan=False) if args.json else text)


def _keep(case: str, results: list[Result], text: str) -> None:
    """The case's table, and its numbers with all that was measured."""
    RESULTS.mkdir(exist_ok=True)
    kept = [{**r.to_json(), "spread": r.spread, "note": r.note, "machine": machine()} for r in results]
    (RESULTS / f"{case}.json").write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n")
    (RESULTS / f"{case}.txt").write_text(f"{machine()}\n\n{text}\n")


if __name__ == "__main__":
    main()
