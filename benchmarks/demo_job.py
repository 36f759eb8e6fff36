"""Forget three different fours on the demo model with each method, and examine the result on unseen pictures and words.

    python -m benchmarks.demo_job

Writes benchmarks/results/demo_job.json. Run it alone on the machine: it measures time.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from unlearn_core.data.example import Example
from unlearn_core.demo.request import exam, forget_request
from unlearn_core.evaluation.compare import compare, summary
from unlearn_core.methods import METHODS
from unlearn_core.methods.cagul import CagulModule
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

FOURS = (("p07", "p19", "p28", "p36"), ("p02", "p11", "p23", "p47"), ("p05", "p14", "p31", "p40"))


def examine(before: VLM, after: VLM, questions: Sequence[Example]) -> dict[str, Any]:
    """Shares by kind, and whether text-only log-probabilities are bit-identical."""
    rows = [row for part in compare(before, after, questions, batch_size=48) for row in part]
    shares = {
        kind: {
            "count": s.count,
            "before": round(s.before, 4),
            "after": round(s.after, 4),
            "refused": round(s.refused, 4),
        }
        for kind, s in summary(rows).items()
    }
    texts = [e for e in questions if e.image is None]
    prompts, answers = [e.prompt for e in texts], [e.answer for e in texts]
    same = all(
        torch.equal(a, b) for a, b in zip(before.score(prompts, answers), after.score(prompts, answers), strict=True)
    )
    return {"shares": shares, "text_bit_identical": same}


def false_alarms(module: CagulModule, vlm: VLM, questions: Sequence[Example], prefix: str) -> float:
    """Share of an exam's distinct pictures of this kind that the gate flags."""
    images = list(
        {id(e.image): e.image for e in questions if e.image is not None and e.kind.startswith(prefix)}.values()
    )
    return float(module.gate.flags(vlm.encode(images)).float().mean())


def run(
    vlm: VLM, name: str, people: tuple[str, ...], options: dict[str, Any], pictures: int, others: int
) -> dict[str, Any]:
    method = METHODS[name]
    request = forget_request(people)
    questions = exam(people, pictures=pictures, others=others, seed=int(people[0][1:]))
    began = time.perf_counter()
    fit = method.start(vlm, request, from_values(method.config, options))
    steps = list(fit)
    seconds = time.perf_counter() - began
    module = fit.module
    row = {
        "method": name,
        "people": people,
        "options": options,
        "fit_seconds": round(seconds, 1),
        "probe": [steps[-1].forget, steps[-1].retain],
    }
    row |= examine(vlm, module.attach(vlm), questions)
    if isinstance(module, CagulModule):
        row["flagged"] = {
            k: round(false_alarms(module, vlm, questions, k), 4) for k in ("forget", "retain", "stranger", "general")
        }
    row["module_bytes"] = sum(t.numel() * t.element_size() for t in module.tensors().values())
    return row | {"report": fit.report}


def show(row: dict[str, Any]) -> None:
    print(
        f"{row['method']:6s} {row['options']} {'+'.join(row['people'])}  fit {row['fit_seconds']:.0f} s  text bit-identical: {row['text_bit_identical']}"
    )
    for kind, s in row["shares"].items():
        print(
            f"    {kind:18s} before {s['before']:6.1%}  after {s['after']:6.1%}  refused {s['refused']:6.1%}  of {s['count']}"
        )
    if "flagged" in row:
        print("    gate flags", {k: f"{v:.1%}" for k, v in row["flagged"].items()}, row["report"]["gate"])
    if "measured_drift" in row["report"]:
        print(f"    measured drift {row['report']['measured_drift']:.3f}")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(DEMO))
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["cagul", "cvf", "cvf:null_space=off"],
        help="name, or name:option=value,option=value",
    )
    parser.add_argument("--fours", type=int, default=len(FOURS))
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--others", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "demo_job.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = VLM.load(args.model, device="cpu")
    rows = []
    for spec in args.methods:
        name, _, given = spec.partition(":")
        options = dict(pair.split("=") for pair in given.split(",") if pair)
        for people in FOURS[: args.fours]:
            rows.append(run(vlm, name, people, options, args.pictures, args.others))
            show(rows[-1])
            peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            write_result(args.out, "demo_job", peak_mb=peak, rows=rows)


if __name__ == "__main__":
    main()
