"""``python -m bench [CASE ...] [--json]``: run cases, print the table, keep it in ``bench/results/``."""

import argparse
import json
import sys
from pathlib import Path

from bench import fullbatch, pipeline
from bench.harness import machine, table

CASES = {"fullbatch": fullbatch.run, "pipeline": pipeline.run}
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("cases", metavar="CASE", nargs="*", help=f"of {', '.join(CASES)}; none: all")
    parser.add_argument("--json", action="store_true", help="print a list of results as JSON")
    args = parser.parse_args()
    unknown = [case for case in args.cases if case not in CASES]
    if unknown:
        parser.error(f"unknown case {unknown[0]}: one of {', '.join(CASES)}")
    results = []
    for case in args.cases or CASES:
        sys.stderr.write(f"{case} ...\n")
        results.append(CASES[case]())
        kept = {"machine": machine(), "note": results[-1].note, **results[-1].to_json()}
        (RESULTS / f"{case}.json").write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps([r.to_json() for r in results]) if args.json else table(results))


if __name__ == "__main__":
    main()
