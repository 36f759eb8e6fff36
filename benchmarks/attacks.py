"""Every attack on both methods, on the demo world, with the retain-only model beside them.

    python -m benchmarks.attacks --methods cagul
    python -m benchmarks.attacks --methods cvf        # the row of the other method stays in the file
    python -m benchmarks.attacks --methods cagul:steps=20 --pictures 6 --budget quick --attacks phrasings --out /tmp/look.json

Each row is written after every attack, so that one which was stopped is not lost. The goals: the worst black-box attack without training gets back at most 5 % of the forgotten facts, and relearning gets
back no more than the retain-only model learns from the same data plus 10 points. Attacks that the methods do not claim to
withstand (by name, linear probes) are run and shown, and count for no goal. Writes benchmarks/results/attacks.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import RESULTS, fitted, write_result
from unlearn_core.demo.request import forget_request
from unlearn_core.demo.suite import demo_suite
from unlearn_core.demo.world import FORGET_SPLIT
from unlearn_core.evaluation.attacks import ATTACKS, LEVELS, Audit, NotRun, Outcome, Target, budgets_of
from unlearn_core.evaluation.attacks.audit import attempt, audit_of
from unlearn_core.evaluation.progress import finish
from unlearn_core.evaluation.report import plain
from unlearn_core.methods import METHODS
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO, RETAIN_ONLY

BLACK_BOX, SOONER = 0.05, 0.10


def soonest(found: Audit) -> float | None:
    """The most by which relearning is ahead of the retain-only model, anywhere on a curve; None without both."""
    gaps = [
        point.forget.value - point.gold.value
        for result in found.results
        if result.relearns
        for point in result.curve
        if point.gold is not None
    ]
    return max(gaps, default=None)


def goals(found: Audit) -> dict[str, Any]:
    """Both goals with what was reached; None where nothing was run that says so."""
    worst, ahead = found.worst_black_box(), soonest(found)
    return {
        "black box": None
        if worst is None
        else {
            "attack": worst.attack,
            "recovered": worst.forget.worst.value,
            "reached": worst.forget.worst.value <= BLACK_BOX,
        },
        "relearning": None if ahead is None else {"ahead": ahead, "reached": ahead <= SOONER},
    }


def run(before: VLM, gold: VLM, spec: str, args: argparse.Namespace) -> Iterator[tuple[str, Outcome, float]]:
    """Fit one method and attack the result: name, outcome and seconds of each attack."""
    request = forget_request(FORGET_SPLIT, pictures=args.pictures)
    target = Target(before, fitted(spec, before, request).attach(before), demo_suite(request, seed=args.seed), gold)
    budgets = budgets_of(args.budget, args.seed)
    for attack in args.attacks:
        began = time.perf_counter()
        outcome = finish(attempt(target, ATTACKS[attack], budgets[attack]))
        yield attack, outcome, time.perf_counter() - began


def row(spec: str, found: dict[str, Outcome], seconds: dict[str, float]) -> dict[str, Any]:
    audit = audit_of(list(found.values()), list(found))
    return {
        "method": spec,
        "goals": goals(audit),
        "seconds": {name: round(s, 1) for name, s in seconds.items()},
        "results": plain(audit.results),
        "not_run": plain(audit.not_run),
    }


def earlier(path: Path, same: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Rows by method that were measured in the same way; none if the file is not there or is of another kind."""
    record = json.loads(path.read_text()) if path.is_file() else {}
    alike = all(record.get(name) == plain(value) for name, value in same.items())
    return {row["method"]: row for row in record.get("rows", ())} if alike else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="name, or name:option=value,option=value")
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--budget", choices=LEVELS, default="standard")
    parser.add_argument("--pictures", type=int, default=24, help="photographs of each person that the method may see")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "attacks.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    before, gold = (VLM.load(path, device="cpu") for path in (DEMO, RETAIN_ONLY))
    same = {"people": FORGET_SPLIT, "seed": args.seed, "budget": args.budget, "pictures": args.pictures}
    rows = earlier(args.out, same)
    for spec in args.methods:
        found: dict[str, Outcome] = {}
        seconds: dict[str, float] = {}
        for name, outcome, took in run(before, gold, spec, args):
            found[name], seconds[name] = outcome, took
            said = outcome.why if isinstance(outcome, NotRun) else outcome.verdict
            print(f"{spec}  {ATTACKS[name].title:30s} {took:6.1f} s  {said}", flush=True)
            rows[spec] = row(spec, found, seconds)
            write_result(args.out, "attacks", **same, rows=list(rows.values()))
        print(f"{spec}  goals: {rows[spec]['goals']}", flush=True)


if __name__ == "__main__":
    main()
