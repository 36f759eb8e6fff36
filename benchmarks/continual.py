"""Ten requests for one person each, one after another, with CVF + NCU: what is forgotten, kept and still free after each.

    python -m benchmarks.continual

Compared with the same sequence without protection of earlier requests, with moments only (no retained picture at any fit
after the first), and with one fit from scratch on all ten. Writes benchmarks/results/continual.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from benchmarks.methods import measure
from unlearn_core.data.example import ForgetRequest
from unlearn_core.demo.request import exam, forget_request
from unlearn_core.methods.cvf import CvfConfig, CvfFit, in_sequence
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

PEOPLE = ("p02", "p07", "p11", "p19", "p23", "p28", "p33", "p36", "p44", "p47")
WAYS = ("protected", "unprotected", "moments", "scratch")


def requests(people: Sequence[str], moments_only: bool) -> Iterator[ForgetRequest]:
    """One request for each person. Those who went before are neither forgotten again nor retained."""
    for i, person in enumerate(people):
        whole = forget_request([person], seed=i)
        gone = set(people[: i + 1])
        kept = () if moments_only and i else tuple(e for e in whole.retain if e.subject not in gone)
        yield replace(whole, retain=kept)


def after_each(vlm: VLM, way: str, people: Sequence[str], config: CvfConfig, every: int) -> Iterator[dict[str, Any]]:
    began = time.perf_counter()
    if way == "scratch":
        fit = CvfFit(vlm, forget_request(people), replace(config, steps=config.steps * 3))
        for _ in fit:
            pass
        yield row(vlm, fit, fit.module.attach(vlm), people, len(people), time.perf_counter() - began)
        return
    done = in_sequence(vlm, requests(people, way == "moments"), config, protect=way != "unprotected")
    for i, (fit, unlearned) in enumerate(done, 1):
        seconds = time.perf_counter() - began
        if i % every == 0 or i == len(people):
            yield row(vlm, fit, unlearned, people, i, seconds)
        began = time.perf_counter()


def row(vlm: VLM, fit: CvfFit, unlearned: VLM, people: Sequence[str], count: int, seconds: float) -> dict[str, Any]:
    questions = exam(people[:count], pictures=2, others=16, seed=31)
    # People whose turn comes later are neither forgotten nor kept for good; they are left out of the exam.
    later = set(people[count:])
    asked = tuple(e for e in questions if e.subject not in later)
    free = [layer["free"] / layer["width"] for layer in fit.report["layers"].values()]
    return {
        "requests": count,
        "seconds": round(seconds, 1),
        "free_share": sum(free) / len(free),
        "measured_drift": fit.report.get("measured_drift"),
        **measure(vlm, unlearned, asked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--people", type=int, default=len(PEOPLE))
    parser.add_argument("--every", type=int, default=1, help="examine after every so many requests")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="options of CVF")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "continual.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = VLM.load(DEMO, device="cpu")
    config = from_values(CvfConfig, dict(pair.split("=") for pair in args.set))
    rows = []
    for way in args.ways:
        for result in after_each(vlm, way, PEOPLE[: args.people], config, args.every):
            rows.append({"way": way, **result})
            r = rows[-1]
            print(
                f"{way:12s} after {r['requests']:2d}: leak {r['leak']:.1%} retained {r['retained']:.1%} visual {r['visual']:.1%} "
                f"general {r['general']:.1%} free {r['free_share']:.3f} text identical {r['text_bit_identical']} {r['seconds']:.0f} s",
                flush=True,
            )
            write_result(args.out, "continual", people=PEOPLE[: args.people], options=args.set, rows=rows)


if __name__ == "__main__":
    main()
