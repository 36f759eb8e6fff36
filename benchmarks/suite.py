"""How long a whole evaluation takes: the demo suite, once, for the embedded model and for one that unlearned.

    python -m benchmarks.suite

The goal is under 60 s for one model on two cores. Writes benchmarks/results/suite.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks.common import RESULTS, write_result
from unlearn_core.demo.request import forget_request
from unlearn_core.demo.suite import demo_suite
from unlearn_core.demo.world import FORGET_SPLIT
from unlearn_core.evaluation.evaluate import evaluate
from unlearn_core.evaluation.progress import finish
from unlearn_core.evaluation.table import table
from unlearn_core.methods import METHODS
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

GOAL = 60.0
"""Seconds for one model."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2, help="people to forget")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "suite.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    before = VLM.load(DEMO, device="cpu")
    request = forget_request(FORGET_SPLIT[: args.people])
    fit = METHODS["cagul"].start(before, request, METHODS["cagul"].config())
    for _ in fit:
        pass
    began = time.perf_counter()
    suite = demo_suite(request)
    drawn = time.perf_counter() - began
    models = {"before": before, "after": fit.module.attach(before)}
    found = {name: finish(evaluate(vlm, suite, name)) for name, vlm in models.items()}
    began = time.perf_counter()
    table(found["before"], [found["after"]])
    rows = [{"model": name, "seconds": round(e.seconds, 1), "reached": e.seconds < GOAL} for name, e in found.items()]
    spent = {"drawing": round(drawn, 1), "table": round(time.perf_counter() - began, 1)}
    print(f"{len(suite.probes)} questions, {spent}, {rows}")
    write_result(
        args.out, "suite", people=args.people, questions=len(suite.probes), seconds=spent, goal=GOAL, rows=rows
    )


if __name__ == "__main__":
    main()
