"""How well CAGUL's gate finds other photographs of the forgotten, also altered ones, and how often it errs.

    python -m benchmarks.gate

Fits only the gate, for three fours of people and several options, and shows it photographs that nothing was fitted on, each
as it is and after each alteration. A picture that is missed does harm only where the model still knows who it shows, so the
original model is asked one private question about each: what gets through is answered and not flagged. Writes benchmarks/results/gate.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.common import RESULTS, write_result
from benchmarks.demo_job import FOURS
from unlearn_core.data.augment import ALTERATIONS, alter
from unlearn_core.demo import world
from unlearn_core.demo.request import TEST_SEEDS, forget_request
from unlearn_core.evaluation.status import Status, status
from unlearn_core.methods.cagul import CagulConfig, CagulFit
from unlearn_core.methods.cagul.gate import Gate, token_statistics
from unlearn_core.methods.cagul.roc import roc
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.loading import DEMO

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"gate_views": 0, "hard_negatives": 0},
    {"gate_views": 0},
    {"hard_negatives": 0},
    {"gate_views": 2},
    {"gate_width": 32},
)
PLAIN = "as it is"
WORSE_HIGH = ("retained", "strangers", "through")
"""Shares of which less is better."""


EACH = 8
"""Photographs of each forgotten person."""


def photographs(people: Sequence[world.Person], each: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng((41, seed))
    return [world.photograph(p, TEST_SEEDS + int(rng.integers(TEST_SEEDS))).image for p in people for _ in range(each)]


def shown(four: tuple[str, ...], seed: int) -> dict[str, list[Image.Image]]:
    """Test photographs: of the forgotten, of everybody who stays, and of strangers."""
    stay = [p for p in world.people() if p.id not in four]
    strangers = [world.stranger(2 * (1000 * seed + i)) for i in range(60)]
    return {
        "forgotten": photographs([world.person(p) for p in four], EACH, seed),
        "retained": photographs(stay, 2, seed),
        "strangers": photographs(strangers, 1, seed),
    }


def statistics(vlm: VLM, images: Sequence[Image.Image]) -> torch.Tensor:
    return torch.stack([token_statistics(t) for t in vlm.encode(list(images), 32)]).cpu()


def known(vlm: VLM, images: Sequence[Image.Image], four: tuple[str, ...]) -> torch.Tensor:
    """Whether the original model answers a private question about each photograph with the truth; the facts in turn."""
    questions = {
        who: [q for q in world.photograph(world.person(who), 0).questions if q.kind == "private"] for who in four
    }
    asked = [questions[four[i // EACH]][i % len(questions[four[0]])] for i in range(len(images))]
    answers = vlm.ask([Prompt(image, q.text) for image, q in zip(images, asked, strict=True)])
    return torch.tensor([status(a.text, q.answer) is Status.CORRECT for a, q in zip(answers, asked, strict=True)])


def fitted_gate(vlm: VLM, four: tuple[str, ...], options: dict[str, Any], seed: int) -> tuple[Gate, dict[str, Any]]:
    """The gate alone, its report, and the seconds that it took."""
    began = time.perf_counter()
    fit = CagulFit(vlm, forget_request(four, seed=seed), CagulConfig(**options, steps=1, seed=seed))
    for _ in fit:
        if fit.gate is not None:
            break
    assert fit.gate is not None
    return fit.gate, fit.report["gate"] | {"seconds": round(time.perf_counter() - began, 1)}


def judge(gate: Gate, seen: Mapping[str, torch.Tensor], answered: torch.Tensor) -> dict[str, float]:
    flags = {name: gate.margins(x) >= 0 for name, x in seen.items()}
    shares = {name: float(x.double().mean()) for name, x in flags.items()}
    shares["known"], shares["through"] = (float(x.double().mean()) for x in (answered, answered & ~flags["forgotten"]))
    curve = roc(gate.margins(seen["forgotten"]), gate.margins(seen["retained"]))
    return shares | {"auc": curve.auc, "caught_at_1%": curve.caught_at(0.01)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fours", type=int, default=len(FOURS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "gate.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = VLM.load(DEMO, device="cpu")
    seen: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    answered: dict[tuple[int, str], torch.Tensor] = {}
    for which, four in enumerate(FOURS[: args.fours]):
        for kind in (PLAIN, *ALTERATIONS):
            rng = np.random.default_rng((43, which))
            pictures = {
                name: images if kind == PLAIN else [alter(i, kind, rng) for i in images]
                for name, images in shown(four, which).items()
            }
            seen[which, kind] = {name: statistics(vlm, images) for name, images in pictures.items()}
            answered[which, kind] = known(vlm, pictures["forgotten"], four)
    rows = []
    for options in OPTIONS:
        gates = [fitted_gate(vlm, four, options, which) for which, four in enumerate(FOURS[: args.fours])]
        for kind in (PLAIN, *ALTERATIONS):
            judged = [judge(gate, seen[which, kind], answered[which, kind]) for which, (gate, _) in enumerate(gates)]
            line: dict[str, Any] = {"options": options, "pictures": kind}
            for key in judged[0]:
                values = [j[key] for j in judged]
                worst = max(values) if key in WORSE_HIGH else min(values)
                line[key] = {"mean": round(mean(values), 4), "worst": round(worst, 4)}
            rows.append(line)
            cells = (f"{k} {line[k]['mean']:6.1%} ({line[k]['worst']:6.1%})" for k in judged[0])
            print(f"{options!s:45s} {kind:8s} " + "  ".join(cells), flush=True)
        write_result(
            args.out, "gate", fours=FOURS, defaults=asdict(CagulConfig()), rows=rows, fits=[r for _, r in gates]
        )


if __name__ == "__main__":
    main()
