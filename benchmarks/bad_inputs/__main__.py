"""Does anything broken come in, or anything sound stay out? Through the real command line, case by case.

    python -m benchmarks.bad_inputs            # every case, about ten minutes on two cores
    python -m benchmarks.bad_inputs --quick    # about forty of them, by seed
    python -m benchmarks.bad_inputs --only TEXT    # those whose name or kind holds this text; nothing is saved
    BAD_INPUTS_SEED=1 python -m benchmarks.bad_inputs    # other recordings and other places; nothing is saved

Broken data must be refused with one line on stderr that says where, or a finding of the right name must stand at the
right place; sound data must come in. A traceback, no answer within 30 s, or something left behind fails a case.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.bad_inputs import clean, hashed, semantic_cases, structural
from benchmarks.bad_inputs.case import Case
from benchmarks.bad_inputs.judging import Result, judge
from benchmarks.bad_inputs.logs import DEFAULT_SEED, SEED
from benchmarks.results_file import claim, commit, save
from offline_to_online.progress import progress

NAME, WORKERS = "bad_inputs", 2
QUICK = {"structural": 14, "hashed": 4, "semantic": 14, "clean": 6}
LEAST = 200


def all_cases() -> list[Case]:
    """In the order of the table."""
    return [*structural.cases(), *hashed.cases(), *semantic_cases.cases(), *clean.cases()]


def quick(cases: Sequence[Case]) -> list[Case]:
    """Some of each group, by seed: of as many kinds as possible."""
    chosen = list[Case]()
    for group, count in QUICK.items():
        mine = [case for case in cases if case.group == group]
        order = np.random.default_rng(SEED).permutation(len(mine))
        ranked = sorted(order, key=lambda i: sum(mine[j].kind == mine[i].kind for j in order[: list(order).index(i)]))
        chosen += [mine[i] for i in sorted(ranked[:count])]
    return chosen


def run(cases: Sequence[Case]) -> list[Result]:
    """Every case, two at a time."""
    results = list[Result]()
    with ThreadPoolExecutor(WORKERS) as pool, progress("bad inputs") as tell:
        for result in pool.map(judge, cases):
            results.append(result)
            tell(len(results), len(cases))
    return results


def rows_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One row a kind: how many cases, in which formats, how many passed, and what was said of those that did not."""
    kinds = dict.fromkeys((result.case.group, result.case.kind) for result in results)
    return [
        _row(group, kind, [r for r in results if (r.case.group, r.case.kind) == (group, kind)]) for group, kind in kinds
    ]


def _row(group: str, kind: str, results: Sequence[Result]) -> dict[str, Any]:
    failed = [result for result in results if not result.passed]
    return {
        "group": group,
        "kind": kind,
        "formats": len({result.case.format for result in results}),
        "cases": len(results),
        "passed": len(results) - len(failed),
        "failed": len(failed),
        "slowest_s": max(result.seconds for result in results),
        "failures": [{"case": r.case.name, "why": r.why, "said": r.said} for r in failed],
    }


def report(rows: Sequence[dict[str, Any]], *, least: int = LEAST) -> list[dict[str, Any]]:
    """Print the table; the claims made of it."""
    print(f"{'':10s} {'kind':44s} {'formats':>7s} {'cases':>6s} {'passed':>6s} {'failed':>6s} {'share':>6s}")
    for row in rows:
        print(
            f"{row['group']:10s} {row['kind']:44s} {row['formats']:7d} {row['cases']:6d} {row['passed']:6d} "
            f"{row['failed']:6d} {row['passed'] / row['cases']:6.0%}"
        )
    for row in rows:
        for failure in row["failures"]:
            print(f"FAILED {row['kind']} | {failure['case']} | {failure['why']}\n       {failure['said']}")
    broken, sound = ([r for r in rows if (r["group"] == "clean") == is_sound] for is_sound in (False, True))
    cases, passed = (sum(row[key] for row in broken) for key in ("cases", "passed"))
    clean_cases, clean_passed = (sum(row[key] for row in sound) for key in ("cases", "passed"))
    print(f"clean: {clean_passed} passed, {clean_cases - clean_passed} failed")
    print(f"{passed} passed, {cases - passed} failed")
    return [
        claim("broken data sets", cases, least, cases >= least),
        claim(
            "broken data sets refused in one line, or named by their check at the right place",
            passed,
            cases,
            passed == cases,
        ),
        claim("clean data sets without an error", clean_passed, clean_cases, clean_passed == clean_cases),
    ]


def main() -> None:
    """Run the cases, print the table, write benchmarks/results/bad_inputs.json; exit with 1 where a case fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about forty cases")
    parser.add_argument("--only", metavar="TEXT", help="cases whose name or kind holds this; nothing is saved")
    chosen, at, cases = parser.parse_args(), commit(), all_cases()
    if chosen.only:
        cases = [case for case in cases if chosen.only in f"{case.group}: {case.kind}: {case.name}"]
    cases = quick(cases) if chosen.quick else cases
    rows = rows_of(run(cases))
    claims = report(rows, least=LEAST if not chosen.quick else sum(QUICK.values()) - QUICK["clean"])
    if not chosen.only and SEED == DEFAULT_SEED:
        print(save(NAME + ("_quick" if chosen.quick else ""), seeds=[SEED], rows=rows, claims=claims, at=at))
    sys.exit(0 if all(row["failed"] == 0 for row in rows) else 1)


if __name__ == "__main__":
    main()
