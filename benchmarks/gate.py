"""How well CAGUL's gate finds other photographs of the forgotten, also altered ones, and how often it errs.

    python -m benchmarks.gate

Fits only the gate, for three fours of people and several options, and shows it photographs that nothing was fitted on, each
as it is and after each alteration. Writes benchmarks/results/gate.json.
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
from unlearn_core.methods.cagul import CagulConfig, CagulFit
from unlearn_core.methods.cagul.gate import Gate, token_statistics
from unlearn_core.methods.cagul.roc import roc
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"gate_views": 0, "hard_negatives": 0},
    {"gate_views": 0},
    {"hard_negatives": 0},
    {"gate_views": 4},
    {"gate_width": 32},
    {"false_alarms": 0.03},
)
PLAIN = "as it is"


def photographs(people: Sequence[world.Person], each: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng((41, seed))
    return [world.photograph(p, TEST_SEEDS + int(rng.integers(TEST_SEEDS))).image for p in people for _ in range(each)]


def shown(four: tuple[str, ...], seed: int) -> dict[str, list[Image.Image]]:
    """Test photographs: of the forgotten, of everybody who stays, and of strangers."""
    stay = [p for p in world.people() if p.id not in four]
    strangers = [world.stranger(2 * (1000 * seed + i)) for i in range(60)]
    return {
        "forgotten": photographs([world.person(p) for p in four], 8, seed),
        "retained": photographs(stay, 2, seed),
        "strangers": photographs(strangers, 1, seed),
    }


def statistics(vlm: VLM, images: Sequence[Image.Image]) -> torch.Tensor:
    return torch.stack([token_statistics(t) for t in vlm.encode(list(images), 32)]).cpu()


def fitted_gate(vlm: VLM, four: tuple[str, ...], options: dict[str, Any], seed: int) -> tuple[Gate, dict[str, Any]]:
    """The gate alone, its report, and the seconds that it took."""
    began = time.perf_counter()
    fit = CagulFit(vlm, forget_request(four, seed=seed), CagulConfig(**options, steps=1, seed=seed))
    for _ in fit:
        if fit.gate is not None:
            break
    assert fit.gate is not None
    return fit.gate, fit.report["gate"] | {"seconds": round(time.perf_counter() - began, 1)}


def judge(gate: Gate, seen: Mapping[str, torch.Tensor]) -> dict[str, float]:
    shares = {name: float((gate.margins(x) >= 0).double().mean()) for name, x in seen.items()}
    curve = roc(gate, seen["forgotten"], seen["retained"])
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
    for which, four in enumerate(FOURS[: args.fours]):
        for kind in (PLAIN, *ALTERATIONS):
            rng = np.random.default_rng((43, which))
            seen[which, kind] = {
                name: statistics(vlm, images if kind == PLAIN else [alter(i, kind, rng) for i in images])
                for name, images in shown(four, which).items()
            }
    rows = []
    for options in OPTIONS:
        gates = [fitted_gate(vlm, four, options, which) for which, four in enumerate(FOURS[: args.fours])]
        for kind in (PLAIN, *ALTERATIONS):
            judged = [judge(gate, seen[which, kind]) for which, (gate, _) in enumerate(gates)]
            line: dict[str, Any] = {"options": options, "pictures": kind}
            for key in judged[0]:
                values = [j[key] for j in judged]
                worst = max(values) if key in ("retained", "strangers") else min(values)
                line[key] = {"mean": round(mean(values), 4), "worst": round(worst, 4)}
            rows.append(line)
            cells = (f"{k} {line[k]['mean']:6.1%} ({line[k]['worst']:6.1%})" for k in judged[0])
            print(f"{options!s:45s} {kind:8s} " + "  ".join(cells), flush=True)
        write_result(
            args.out, "gate", fours=FOURS, defaults=asdict(CagulConfig()), rows=rows, fits=[r for _, r in gates]
        )


if __name__ == "__main__":
    main()
