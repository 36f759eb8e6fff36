"""Time and memory of one request against LoRA-GD reaching the same forgetting, on the same machine in one run.

    python -m benchmarks.speed

Each fit runs in a process of its own, two times in turn with the others. Time to forget is the time until the first probe
that finds at most 5 % of the forgotten facts. Writes benchmarks/results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from unlearn_core.demo.request import forget_request
from unlearn_core.methods import ALL_METHODS
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

PEOPLE = ("p02", "p11", "p23", "p47", "p05", "p14", "p31", "p40")
ENOUGH = 0.05
OPTIONS: dict[str, dict[str, Any]] = {"gd": {"rate": 3e-4, "stop": "forgotten", "stop_at": ENOUGH, "steps": 600}}
"""LoRA-GD at the learning rate with the best score in results/options_gd.json."""


def one(name: str, people: int, pictures: int) -> dict[str, Any]:
    """Fit once; seconds to the first probe that found enough forgotten, and to the end."""
    vlm = VLM.load(DEMO, device="cpu")
    request = forget_request(PEOPLE[:people], pictures=pictures)
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    method = ALL_METHODS[name]
    began, enough, last = time.perf_counter(), None, None
    for step in method.start(vlm, request, from_values(method.config, OPTIONS.get(name, {}))):
        if step.forget is not None:
            last = (step.forget, step.retain)
            if enough is None and step.forget <= ENOUGH:
                enough = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "name": name,
        "people": people,
        "pictures": pictures,
        "to_forget": enough,
        "seconds": time.perf_counter() - began,
        "probe": last,
        "peak_mb": peak,
        "above_idle_mb": peak - idle,
    }


def middle(runs: list[dict[str, Any]], key: str) -> float | None:
    values = [r[key] for r in runs if r[key] is not None]
    return median(values) if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["cagul", "cvf", "gd"], choices=ALL_METHODS)
    parser.add_argument("--people", nargs="+", type=int, default=[4])
    parser.add_argument("--pictures", type=int, default=24, help="of each person to forget")
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "speed.json")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "PEOPLE", "PICTURES"), help="one fit, printed as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.one:
        print(json.dumps(one(args.one[0], int(args.one[1]), int(args.one[2]))))
        return
    runs: list[dict[str, Any]] = []
    for _ in range(args.times):
        for people in args.people:
            for name in args.methods:
                command = [sys.executable, "-m", "benchmarks.speed", "--threads", str(args.threads)]
                command += ["--one", name, str(people), str(args.pictures)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs.append(json.loads(done.stdout.splitlines()[-1]))
                print(runs[-1], flush=True)
    rows = []
    for people in args.people:
        for name in args.methods:
            group = [r for r in runs if (r["name"], r["people"]) == (name, people)]
            keys = ("to_forget", "seconds", "peak_mb", "above_idle_mb")
            rows.append({"name": name, "people": people, **{k: middle(group, k) for k in keys}})
    for row in rows:
        other = next((r for r in rows if r["name"] == "gd" and r["people"] == row["people"]), None)
        if other is not None and row["to_forget"] and other["to_forget"]:
            row["times_faster_than_gd"] = round(other["to_forget"] / row["to_forget"], 2)
    for row in rows:
        print(row)
    write_result(args.out, "speed", rows=rows, runs=runs)


if __name__ == "__main__":
    main()
