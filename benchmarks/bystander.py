"""Somebody is forgotten who stands beside a bystander in every picture: what is left of what the model knew of both?

    python -m benchmarks.bystander

The bystander is in no retained picture, so that nothing but the region says that they stay. Ways to ask for it:

portraits   pictures of the forgotten alone, as a yardstick
whole       pictures of both, meant as a whole
region      the same pictures, the forgotten marked on each
asked       the same, and what is asked about the bystander on these pictures is retained too

Examined on pictures that no fit saw, by private facts that the model gave before: the demo model knows about half of them
where two people are in the picture. CVF looks away to the blurred region. Writes benchmarks/results/bystander.json.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.data.region import Region
from unlearn_core.demo import questions, world
from unlearn_core.demo.draw import Region as Face
from unlearn_core.demo.request import TEST_SEEDS, forget_request
from unlearn_core.demo.world import Person, Picture
from unlearn_core.evaluation.knowledge import imprint
from unlearn_core.methods import METHODS
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

COUPLES = (("p07", "p20"), ("p19", "p31"), ("p44", "p02"))
"""Who is forgotten, and beside whom."""
WAYS = ("portraits", "whole", "region", "asked")
DEFAULTS: dict[str, dict[str, str]] = {"cagul": {}, "cvf": {"reference": "blurred"}}


def box(face: Face) -> Region:
    """Head and hair of a face, as somebody would drag a box around them."""
    wide, tall = 1.4 * face.rx, 1.6 * face.ry
    return Region(
        max(0.0, face.x - wide), max(0.0, face.y - tall), min(1.0, face.x + wide), min(1.0, face.y + 1.1 * tall)
    )


def together(one: Person, other: Person, seed: int) -> Picture:
    """Both in one picture, now one and now the other on the left."""
    return world.double(*((one, other) if seed % 2 else (other, one)), seed)


def asked(
    picture: Picture, who: Person, kind: str, facts: Sequence[str], region: Region | None = None
) -> list[Example]:
    return [
        Example(f"{kind} {id(picture)} {i}", picture.image, q.text, q.answer, who.id, kind, region=region)
        for i, q in enumerate(picture.questions)
        if q.subject == who.id and q.fact in facts
    ]


def request(going: Person, staying: Person, way: str, pictures: int) -> ForgetRequest:
    whole = forget_request([going.id], pictures=pictures)
    retain = [e for e in whole.retain if e.subject != staying.id]
    if way == "portraits":
        return replace(whole, retain=tuple(retain))
    forget: list[Example] = []
    keep: list[Example] = []
    for seed in range(pictures):
        picture = together(going, staying, seed)
        face = next(face for face, who in picture.places if who == going.id)
        region = None if way == "whole" else box(face)
        forget += asked(picture, going, "private", (*questions.PRIVATE, "name"), region)
        keep += asked(picture, going, "visual", tuple(questions.VISUAL))
        if way == "asked":
            retain += asked(picture, staying, "private", (*questions.PRIVATE, "name", *questions.VISUAL))
    return replace(whole, forget=tuple(forget), keep=tuple(keep), retain=tuple(retain))


def exam(going: Person, staying: Person, pictures: int) -> tuple[Example, ...]:
    """Private facts on pictures that no fit saw, by whom they are about and in whose company."""
    others = [p for p in world.people() if p not in (going, staying)]
    rows: list[Example] = []
    facts = tuple(questions.PRIVATE)
    for i in range(pictures):
        seed, other = TEST_SEEDS + i, others[(7 * i) % len(others)]
        for who, name in ((going, "forgotten"), (staying, "bystander"), (other, "others")):
            rows += asked(world.photograph(who, seed), who, f"{name}, alone", facts)
        both = together(going, staying, seed)
        rows += asked(both, going, "forgotten, beside the bystander", facts)
        rows += asked(both, staying, "bystander, beside the forgotten", facts)
        for who, name in ((going, "forgotten"), (staying, "bystander")):
            rows += asked(together(who, other, seed), who, f"{name}, beside others", facts)
    return tuple(rows)


def known_of(vlm: VLM, rows: Sequence[Example]) -> tuple[Example, ...]:
    """The imprint gate: facts that the model does not give cannot be lost."""
    *_, found = imprint(vlm, rows)
    return found.known


def kept(after: VLM, rows: Sequence[Example], known: Sequence[Example]) -> dict[str, dict[str, float]]:
    """By kind: how many facts were asked for and given before, and which share of these is still given."""
    counts = [Counter(e.kind for e in examples) for examples in (rows, known, known_of(after, known))]
    return {
        kind: {"asked": asked, "known": counts[1][kind], "still": counts[2][kind] / max(1, counts[1][kind])}
        for kind, asked in counts[0].items()
    }


def measured(
    vlm: VLM, methods: Sequence[str], ways: Sequence[str], couples: int, options: Any
) -> Iterator[dict[str, Any]]:
    for pair in COUPLES[:couples]:
        going, staying = map(world.person, pair)
        rows = exam(going, staying, options.exam)
        known = known_of(vlm, rows)
        for name in methods:
            method = METHODS[name]
            config = from_values(method.config, DEFAULTS[name] | dict(each.split("=") for each in options.set))
            for way in ways:
                began = time.perf_counter()
                fit = method.start(vlm, request(going, staying, way, options.pictures), config)
                for _ in fit:
                    pass
                seconds = round(time.perf_counter() - began, 1)
                still = kept(fit.module.attach(vlm), rows, known)
                yield {"couple": pair, "method": name, "way": way, "seconds": seconds, "facts": still}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=DEFAULTS, default=list(DEFAULTS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--couples", type=int, default=1, help=f"how many of {len(COUPLES)}")
    parser.add_argument("--pictures", type=int, default=24, help="to forget from")
    parser.add_argument("--exam", type=int, default=8, help="pictures of each kind in the exam")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="options of the methods")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "bystander.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = VLM.load(DEMO, device="cpu")
    rows: list[dict[str, Any]] = []
    for row in measured(vlm, args.methods, args.ways, args.couples, args):
        rows.append(row)
        shares = ", ".join(f"{kind} {x['still']:.0%} of {x['known']}" for kind, x in row["facts"].items())
        print(
            f"{'-'.join(row['couple'])} {row['method']:5s} {row['way']:9s} {row['seconds']:5.0f} s  {shares}",
            flush=True,
        )
        write_result(args.out, "bystander", options=args.set, rows=rows)


if __name__ == "__main__":
    main()
