"""How the time of one request grows with the forget set, with the number of visual tokens and with the model's width.

    python -m benchmarks.growth

The forget set grows on the demo model, at the methods' defaults. Tokens and width grow on models of the demo's kind with
random weights, with 20 steps; one thing changes at a time. Writes benchmarks/results/growth.json. Run it alone on the
machine: it measures time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

from benchmarks.common import RESULTS, write_result
from unlearn_core.data.example import ForgetRequest
from unlearn_core.demo import build
from unlearn_core.demo.request import forget_request
from unlearn_core.methods import METHODS
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

PEOPLE = (
    "p02",
    "p11",
    "p23",
    "p47",
    "p05",
    "p14",
    "p31",
    "p40",
    "p07",
    "p19",
    "p28",
    "p36",
    "p00",
    "p01",
    "p03",
    "p04",
)
SIDES = (64, 128, 192)
"""Pixels; with patches of 8 that is 64, 256 and 576 visual tokens."""
WIDTHS = (128, 256, 512)
"""Of vision tower and language model alike."""
STEPS = 20


def random_vlm(folder: Path, side: int, width: int) -> VLM:
    """A model of the demo's kind with random weights, saved and loaded like any other."""
    processor = build.processor()
    processor.image_processor.size = {"height": side, "width": side}
    like: Any = build.model(processor, 0).config
    shape = {"hidden_size": width, "intermediate_size": 5 * width // 2}
    vision = {**like.vision_config.to_dict(), **shape, "image_size": side}
    text = {**like.text_config.to_dict(), **shape, "head_dim": width // 4, "max_position_embeddings": 4096}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**vision),
        text_config=type(like.text_config)(**text),
        image_token_index=like.image_token_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(side // build.PATCH) ** 2,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config)
    model.generation_config.update(pad_token_id=text["pad_token_id"], eos_token_id=text["eos_token_id"])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return VLM.load(folder, device="cpu")


def timed(vlm: VLM, name: str, request: ForgetRequest, options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of one fit, in all and for each of its phases."""
    method = METHODS[name]
    phases: defaultdict[str, float] = defaultdict(float)
    began = last = time.perf_counter()
    for step in method.start(vlm, request, from_values(method.config, options)):
        now = time.perf_counter()
        phases[step.phase] += now - last
        last = now
    return {"method": name, "seconds": round(last - began, 2), "phases": {k: round(v, 2) for k, v in phases.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES)
    parser.add_argument("--widths", nargs="+", type=int, default=WIDTHS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows: list[dict[str, Any]] = []

    def note(grows: str, value: int, vlm: VLM, request: ForgetRequest, options: dict[str, Any]) -> None:
        for name in METHODS:
            rows.append({"grows": grows, "value": value, **timed(vlm, name, request, options)})
            print(rows[-1], flush=True)
            write_result(args.out, "growth", rows=rows)

    demo = VLM.load(DEMO, device="cpu")
    for count in args.people:
        note("people", count, demo, forget_request(PEOPLE[:count]), {})
    small = forget_request(PEOPLE[:2], pictures=8, retain_pictures=1)
    sizes = [("tokens", side, 256) for side in args.sides] + [("width", 128, width) for width in args.widths]
    for grows, side, width in sizes:
        with tempfile.TemporaryDirectory() as folder:
            vlm = random_vlm(Path(folder), side, width)
            note(grows, (side // build.PATCH) ** 2 if grows == "tokens" else width, vlm, small, {"steps": STEPS})


if __name__ == "__main__":
    main()
