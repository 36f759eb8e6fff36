"""The table of methods: CAGUL, CVF + NCU, five baselines, the untouched and the retain-only model, on the demo world.

    python -m benchmarks.methods                # everything; rows that are there already are kept
    python -m benchmarks.methods --only cvf --again

Three forget sets of five people (10 %), a seed each. Every row is measured in a process of its own, so that its peak memory
is its own. Writes benchmarks/results/methods.json. Run it alone on the machine: it measures time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from statistics import harmonic_mean, mean
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from unlearn_core.data.example import Example
from unlearn_core.demo.request import exam, forget_request
from unlearn_core.demo.world import FORGET_SPLIT
from unlearn_core.evaluation.compare import Compared, beside
from unlearn_core.evaluation.status import Status
from unlearn_core.methods import ALL_METHODS, BASELINES
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM, Answer
from unlearn_core.vlm.loading import DEMO, RETAIN_ONLY

SETS = (FORGET_SPLIT, ("p02", "p11", "p23", "p33", "p47"), ("p05", "p14", "p31", "p40", "p49"))
MODELS = ("untouched", "retain-only")
NAMES = (*MODELS, *ALL_METHODS)

LOWER = ("leak", "gibberish", "seconds", "peak_mb", "stored", "module_kb")
"""Measures of which less is better; of all others more is."""
SHOWN = ("leak", "gibberish", "retained", "visual", "general", "text", "forget_visual", "score", "seconds", "peak_mb")


def share_of_before(rows: Sequence[Compared], *kinds: str) -> float:
    """Right answers after as a share of those before; 1 where nothing was right before."""
    group = [r for r in rows if r.example.kind in kinds]
    before = sum(r.before_status is Status.CORRECT for r in group)
    return sum(r.after_status is Status.CORRECT for r in group) / before if before else 1.0


@lru_cache(maxsize=1)
def asked_before(vlm: VLM, questions: tuple[Example, ...]) -> list[Answer]:
    """The original model's answers: asked once for all that is compared with it."""
    return vlm.ask([e.prompt for e in questions], batch_size=48)


def measure(before: VLM, after: VLM, questions: tuple[Example, ...]) -> dict[str, float | bool]:
    """All measures of one unlearned model, 0..1."""
    answers = after.ask([e.prompt for e in questions], batch_size=48)
    rows = beside(questions, asked_before(before, questions), answers)
    private = [r for r in rows if r.example.kind == "forget private"]
    texts = [e for e in questions if e.image is None]
    prompts, answers = [e.prompt for e in texts], [e.answer for e in texts]
    pairs = zip(before.score(prompts, answers), after.score(prompts, answers), strict=True)
    out: dict[str, float | bool] = {
        "leak": mean(r.after_status is Status.CORRECT for r in private),
        "refused": mean(r.after_status is Status.REFUSAL for r in private),
        "gibberish": mean(r.after_status in (Status.GIBBERISH, Status.EMPTY) for r in private),
        "retained": share_of_before(rows, "retain private"),
        "visual": share_of_before(rows, "retain visual"),
        "general": share_of_before(rows, "general"),
        "text": share_of_before(rows, "text"),
        "forget_visual": share_of_before(rows, "forget visual"),
        "strangers_refused": share_of_before(rows, "stranger private"),
        "text_bit_identical": all(torch.equal(a, b) for a, b in pairs),
    }
    kept = [min(1.0, float(out[k])) for k in ("retained", "visual", "general", "text")]
    return out | {"score": harmonic_mean([1 - float(out["leak"]), *kept])}


def tuned(name: str) -> dict[str, Any]:
    """A baseline runs at the learning rate with the best score of those that `benchmarks.options` tried on other people of
    the demo, our methods at their defaults."""
    path = RESULTS / f"options_{name}.json"
    if name not in BASELINES or not path.is_file():
        return {}
    return max(json.loads(path.read_text())["rows"], key=lambda row: row["score"])["options"]


def one(name: str, which: int, pictures: int, others: int) -> dict[str, Any]:
    """Fit `name` on forget set number `which` and measure the result."""
    people = SETS[which]
    vlm = VLM.load(DEMO, device="cpu")
    questions = exam(people, pictures=pictures, others=others, seed=1000 + which)
    seconds, stored, size, after, report, options = 0.0, 0, 0, vlm, {}, tuned(name)
    if name == "retain-only":
        after = VLM.load(RETAIN_ONLY, device="cpu")
    if name in ALL_METHODS:
        method = ALL_METHODS[name]
        request = forget_request(people, seed=which)
        began = time.perf_counter()
        fit = method.start(vlm, request, from_values(method.config, {"seed": which, **options}))
        for _ in fit:
            pass
        seconds = time.perf_counter() - began
        tensors = fit.module.tensors().values()
        stored, size, report = sum(t.numel() for t in tensors), sum(t.nbytes for t in tensors), fit.report
        after = fit.module.attach(vlm)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    measured = measure(vlm, after, questions)
    return {
        "name": name,
        "set": which,
        "options": options,
        **measured,
        "seconds": seconds,
        "peak_mb": peak,
        "stored": stored,
        "module_kb": size / 1000,
        "report": report,
    }


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and worst over the forget sets for each method. The retain-only model has one set: the one it never saw."""
    out = []
    for name in NAMES:
        group = [r for r in rows if r["name"] == name]
        if not group:
            continue
        line: dict[str, Any] = {"name": name, "runs": len(group)}
        for key in (*SHOWN, "refused", "strangers_refused", "stored", "module_kb"):
            values = [float(r[key]) for r in group]
            worst = max(values) if key in LOWER else min(values)
            line[key] = {"mean": round(mean(values), 4), "worst": round(worst, 4)}
        line["text_bit_identical"] = all(r["text_bit_identical"] for r in group)
        out.append(line)
    return out


def show(lines: Sequence[dict[str, Any]]) -> None:
    print(f"{'mean (worst)':12s} " + " ".join(f"{key:>15s}" for key in SHOWN))
    for line in lines:
        cells = []
        for key in SHOWN:
            m, w = line[key]["mean"], line[key]["worst"]
            cells.append(f"{m:.0f} ({w:.0f})" if key in ("seconds", "peak_mb") else f"{m:.1%} ({w:.1%})")
        print(f"{line['name']:12s} " + " ".join(f"{cell:>15s}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--sets", type=int, default=len(SETS))
    parser.add_argument("--again", action="store_true", help="measure rows again that are there already")
    parser.add_argument("--pictures", type=int, default=3)
    parser.add_argument("--others", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "methods.json")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "SET"), help="measure one row and print it as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.one:
        print(json.dumps(one(args.one[0], int(args.one[1]), args.pictures, args.others)))
        return
    rows: list[dict[str, Any]] = json.loads(args.out.read_text())["runs"] if args.out.is_file() else []
    for name in args.only:
        for which in range(1 if name == "retain-only" else args.sets):
            there = [r for r in rows if (r["name"], r["set"]) == (name, which)]
            if there and not args.again:
                continue
            command = [sys.executable, "-m", "benchmarks.methods", "--one", name, str(which)]
            command += ["--pictures", str(args.pictures), "--others", str(args.others), "--threads", str(args.threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows = [r for r in rows if r not in there] + [json.loads(done.stdout.splitlines()[-1])]
            write_result(args.out, "methods", sets=SETS, rows=summary(rows), runs=rows)
            show([line for line in summary(rows) if line["name"] == name])
    show(summary(rows))


if __name__ == "__main__":
    main()
