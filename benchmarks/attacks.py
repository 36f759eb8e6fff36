"""Every attack on both methods, on the demo world, with the retain-only model beside them.

    python -m benchmarks.attacks
    python -m benchmarks.attacks --methods cagul:steps=20 --pictures 6 --facts 4 --attacks phrasings pairs   # a quick look

The goals: the worst black-box attack without training gets back at most 5 % of the forgotten facts, and relearning gets
back no more than the retain-only model learns from the same data plus 10 points. Attacks that the methods do not claim to
withstand (by name, linear probes) are run and shown, and count for no goal. Writes benchmarks/results/attacks.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from unlearn_core.demo.request import forget_request
from unlearn_core.demo.suite import demo_suite
from unlearn_core.demo.world import FORGET_SPLIT
from unlearn_core.evaluation.attacks import ATTACKS, Audit, Target, audit
from unlearn_core.evaluation.progress import finish
from unlearn_core.evaluation.report import plain
from unlearn_core.methods import METHODS
from unlearn_core.methods.options import from_values
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


def show(method: str, found: Audit) -> None:
    print(method)
    for result in found.results:
        print(f"    {result.title:30s} {result.verdict}")
    for name, goal in goals(found).items():
        print(f"    goal, {name}: {'not measured' if goal is None else goal}", flush=True)


def run(before: VLM, gold: VLM, spec: str, names: Sequence[str], args: argparse.Namespace) -> Audit:
    """Fit one method and attack the result."""
    name, _, given = spec.partition(":")
    options = dict(pair.split("=") for pair in given.split(",") if pair)
    method, request = METHODS[name], forget_request(FORGET_SPLIT, pictures=args.pictures)
    fit = method.start(before, request, from_values(method.config, options))
    for _ in fit:
        pass
    target = Target(before, fit.module.attach(before), demo_suite(request, seed=args.seed), gold)
    budgets = {n: replace(ATTACKS[n].budget(), facts=args.facts, seed=args.seed) for n in names}
    if args.steps:
        for n in {"relearning", "relearning_unrelated", "noise"} & set(names):
            budgets[n] = replace(budgets[n], steps=args.steps)
    return finish(audit(target, names, budgets))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="name, or name:option=value,option=value")
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--facts", type=int, default=60, help="facts of each side, at most")
    parser.add_argument(
        "--steps", type=int, default=0, help="of attacks that take gradient steps; 0 for their defaults"
    )
    parser.add_argument("--pictures", type=int, default=24, help="photographs of each person that the method may see")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "attacks.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    before, gold = (VLM.load(path, device="cpu") for path in (DEMO, RETAIN_ONLY))
    rows = []
    for spec in args.methods:
        began = time.perf_counter()
        found = run(before, gold, spec, args.attacks, args)
        show(spec, found)
        rows.append(
            {
                "method": spec,
                "goals": goals(found),
                "seconds": round(time.perf_counter() - began, 1),
                "results": plain(found.results),
                "not_run": plain(found.not_run),
            }
        )
        write_result(args.out, "attacks", people=FORGET_SPLIT, seed=args.seed, facts=args.facts, rows=rows)


if __name__ == "__main__":
    main()
