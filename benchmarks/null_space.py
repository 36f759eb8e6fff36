"""Where the null space pays: CVF with and without NCU, with many, few and no retained pictures at hand.

    python -m benchmarks.null_space             # rows that are there already are kept
    python -m benchmarks.null_space --retained 0 --forms soft off

Retained 0 is moments only: the second moments of all retained pictures were stored before, and no retained picture is there
when the request arrives. Forms are compared at equal settings, and each is also stopped at the first probe that finds at
most 5 % of the forgotten facts (equal forgetting). Writes benchmarks/results/null_space.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from benchmarks.methods import measure
from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.demo.request import exam, forget_request
from unlearn_core.methods.cvf import CvfConfig, CvfFit, Protected
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

PEOPLE = ("p02", "p11", "p23", "p47")
ENOUGH = 0.05
"""Share of the probed forgotten facts at which a fit stops for the comparison at equal forgetting."""


def only(request: ForgetRequest, pictures: int) -> ForgetRequest:
    """The request with no more than this many retained pictures, taken evenly; a negative number keeps all."""
    shown = distinct_images(request.retain)
    if pictures < 0 or pictures >= len(shown):
        return request
    kept = {id(shown[i * len(shown) // pictures]) for i in range(pictures)} if pictures else set()
    return replace(request, retain=tuple(e for e in request.retain if id(e.image) in kept))


def moments_of(vlm: VLM, request: ForgetRequest, config: CvfConfig) -> Protected:
    """Moments of everything that the request retains, as they were stored when its pictures were still there."""
    fit = CvfFit(vlm, request, replace(config, steps=1, rate=1e-7))
    for _ in fit:
        pass
    return Protected(fit.kept)


def run(
    vlm: VLM, request: ForgetRequest, config: CvfConfig, stored: Protected | None, questions: tuple[Example, ...]
) -> dict[str, Any]:
    """One fit, measured where it ends and where it has forgotten enough."""
    began = time.perf_counter()
    fit = CvfFit(vlm, request, config, stored)
    enough: dict[str, Any] | None = None
    for step in fit:
        if enough is None and step.forget is not None and step.forget <= ENOUGH:
            enough = {"step": step.index, **measure(vlm, fit.module.attach(vlm), questions)}
    seconds = time.perf_counter() - began
    free = [layer["free"] / layer["width"] for layer in fit.report["layers"].values()]
    return {
        "seconds": round(seconds, 1),
        "free_share": sum(free) / len(free),
        "largest_predicted_drift": max(layer["predicted_drift"] for layer in fit.report["layers"].values()),
        "measured_drift": fit.report.get("measured_drift"),
        "end": measure(vlm, fit.module.attach(vlm), questions),
        "enough": enough,
    }


def show(row: dict[str, Any]) -> None:
    def line(m: dict[str, Any] | None) -> str:
        if m is None:
            return "never"
        return f"leak {m['leak']:.1%} retained {m['retained']:.1%} visual {m['visual']:.1%} general {m['general']:.1%} score {m['score']:.3f}"

    drift = "-" if row["measured_drift"] is None else f"{row['measured_drift']:.3f}"
    print(
        f"retained {row['retained']:>4} {row['form']:5s} {row['options']} free {row['free_share']:.2f} drift {drift} {row['seconds']:.0f} s"
    )
    print(f"      end    {line(row['end'])}\n      enough {line(row['enough'])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--retained", nargs="+", type=int, default=[-1, 64, 16, 4, 0], help="-1 is all, 0 is moments only"
    )
    parser.add_argument("--forms", nargs="+", default=["off", "soft", "hard", "ratio"])
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="options of CVF for every fit")
    parser.add_argument("--others", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "null_space.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = VLM.load(DEMO, device="cpu")
    options = dict(pair.split("=") for pair in args.set)
    request, questions = forget_request(PEOPLE), exam(PEOPLE, pictures=2, others=args.others, seed=5)
    stored = moments_of(vlm, request, from_values(CvfConfig, options))
    rows: list[dict[str, Any]] = json.loads(args.out.read_text())["rows"] if args.out.is_file() else []
    for retained in args.retained:
        for form in args.forms:
            if any((r["retained"], r["form"], r["options"]) == (retained, form, options) for r in rows):
                continue
            config = from_values(CvfConfig, options | {"null_space": form})
            result = run(vlm, only(request, retained), config, None if retained else stored, questions)
            rows.append({"retained": retained, "form": form, "options": options, **result})
            show(rows[-1])
            write_result(args.out, "null_space", people=PEOPLE, rows=rows)


if __name__ == "__main__":
    main()
