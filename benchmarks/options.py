"""What each option of a method does: one option changed at a time, all others at their defaults, on one four of people.

    python -m benchmarks.options cagul
    python -m benchmarks.options gd --only rate

Writes benchmarks/results/options_METHOD.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from benchmarks.methods import measure
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.demo.request import exam, forget_request
from unlearn_core.methods import ALL_METHODS, BASELINES
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO, RETAIN_ONLY

PEOPLE = ("p07", "p19", "p28", "p36")
"""Of the fixed forget split, so that the retain-only model can serve as the base checkpoint."""
SWEEPS: dict[str, dict[str, Sequence[Any]]] = {
    "cagul": {
        "layer": ("0", "1", "3"),
        "ratio": (0.1, 0.5, 1.0),
        "select": ("highest", "random"),
        "width": (48,),
        "target": ("stranger",),
        "keep_weight": (0.0,),
        "retain_weight": (0.5,),
        "kl_weight": (0.5,),
        "adversary": (30.0,),
        "steps": (40, 80),
    },
    "cvf": {
        "null_space": ("off", "hard", "ratio"),
        "drift_budget": (0.02, 0.1),
        "reference": ("base", "blurred"),
        "contrast_weight": (0.0,),
        "answer_weight": (0.0, 1.0),
        "retain_weight": (0.0,),
        "pool": ("mean",),
        "blocks": (1, 4),
        "temperature": (0.07, 0.5),
        "train": ("projector", "everything"),
        "steps": (40, 120),
    },
    **{name: {"rate": (3e-5, 3e-4, 1e-3, 3e-3)} for name in BASELINES},
}
BESIDE = {(("reference", "base"),): {"base_model": str(RETAIN_ONLY)}}
"""What must be set besides."""
SHOWN = ("leak", "refused", "gibberish", "retained", "visual", "general", "text", "forget_visual")


def run(
    vlm: VLM, name: str, request: ForgetRequest, options: dict[str, Any], questions: tuple[Example, ...]
) -> dict[str, Any]:
    method = ALL_METHODS[name]
    began = time.perf_counter()
    fit = method.start(vlm, request, from_values(method.config, options))
    for _ in fit:
        pass
    seconds = time.perf_counter() - began
    measured = measure(vlm, fit.module.attach(vlm), questions)
    kept = {k: fit.report[k] for k in ("identity", "measured_drift") if k in fit.report}
    return {"options": options, **measured, "seconds": round(seconds, 1), "report": kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=SWEEPS)
    parser.add_argument("--only", nargs="+", help="these options only")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="for every fit")
    parser.add_argument("--others", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = VLM.load(DEMO, device="cpu")
    request, questions = forget_request(PEOPLE), exam(PEOPLE, pictures=2, others=args.others, seed=5)
    common = dict(pair.split("=") for pair in args.set)
    sweeps = {k: v for k, v in SWEEPS[args.method].items() if args.only is None or k in args.only}
    rows: list[dict[str, Any]] = []
    for options in [{}, *({key: value} for key, values in sweeps.items() for value in values)]:
        rows.append(
            run(vlm, args.method, request, common | options | BESIDE.get(tuple(options.items()), {}), questions)
        )
        cells = " ".join(f"{key} {rows[-1][key]:.1%}" for key in SHOWN)
        print(f"{options!s:28s} {cells} {rows[-1]['seconds']:.0f} s {rows[-1]['report']}", flush=True)
        write_result(args.out or RESULTS / f"options_{args.method}.json", "options", people=PEOPLE, rows=rows)


if __name__ == "__main__":
    main()
