"""What answers, maps, fits and unlearned models cost at the size of published models, with random weights.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --tiny --device cpu    # the same code on a model of no size, to see that it runs

Builds LLaVA-1.5-7B and Qwen2.5-VL-7B from their configurations on the GPU; nothing is downloaded. What is compared takes
turns in one run, and each ratio is the median of ratios of neighbours in time. Every answer has the same number of tokens.
Writes benchmarks/results/gpu.json. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.capture import commit
from benchmarks.common import RESULTS, write_result
from benchmarks.gpu_models import SIZES, write
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import METHODS, CagulModule, Module
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.capture import IMPLEMENTATION
from unlearn_core.vlm.together import ask_together

Works = Mapping[str, Callable[[], object]]
QUESTION = "What is the job of this person?"
FITS: dict[str, dict[str, Any]] = {
    "cagul": {"gate_views": 0, "hard_negatives": 0},
    "cvf": {"reference": "blurred"},
}


@dataclass(frozen=True)
class Cost:
    """Median seconds, and the most memory that was in use at once, in MiB; None on a device that does not count it."""

    seconds: float
    peak_mib: float | None


@dataclass(frozen=True)
class Check:
    """A measured ratio beside its goal."""

    name: str
    measured: float | None
    goal: float
    at_most: bool = True

    @property
    def line(self) -> str:
        said = "not measured" if self.measured is None else f"{self.measured:.3f}"
        return f"{self.name}: {said} (goal: {'at most' if self.at_most else 'at least'} {self.goal})"


# -- measuring ---------------------------------------------------------------------------------------------------------


def measured(work: Callable[[], object], device: torch.device) -> Cost:
    """Once, from an idle device to an idle device."""
    counts = device.type == "cuda"
    if counts:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    work()
    if counts:
        torch.cuda.synchronize(device)
    took = time.perf_counter() - began
    return Cost(took, torch.cuda.max_memory_allocated(device) / 2**20 if counts else None)


def in_turns(works: Works, device: torch.device, repeats: int) -> dict[str, list[Cost]]:
    """All of them once to warm up, then `repeats` rounds, each of which begins with another one."""
    for work in works.values():
        work()
    names = list(works)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for i in range(repeats):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            costs[name].append(measured(works[name], device))
    return costs


def summary(costs: Sequence[Cost]) -> Cost:
    peaks = [cost.peak_mib for cost in costs if cost.peak_mib is not None]
    return Cost(round(median(cost.seconds for cost in costs), 4), round(max(peaks), 1) if peaks else None)


def time_ratio(costs: Sequence[Cost], reference: Sequence[Cost]) -> float:
    return round(median(a.seconds / b.seconds for a, b in zip(costs, reference, strict=True)), 4)


def memory_ratio(costs: Sequence[Cost], reference: Sequence[Cost]) -> float | None:
    one, other = summary(costs).peak_mib, summary(reference).peak_mib
    return None if one is None or other is None else round(one / other, 4)


# -- what is measured --------------------------------------------------------------------------------------------------


def pictures(count: int, side: int, first: int = 0) -> list[Image.Image]:
    draw = (np.random.default_rng(first + i).integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(count))
    return [Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC) for blocks in draw]


def request(side: int, count: int) -> ForgetRequest:
    def rows(who: str, first: int) -> tuple[Example, ...]:
        shown = enumerate(pictures(count, side, first))
        return tuple(Example(f"{who}{i}", image, QUESTION, "A baker.", who) for i, image in shown)

    return ForgetRequest("benchmark", rows("one", 1000), (), rows("other", 2000), tuple(pictures(4, side, 3000)))


def eager_maps(vlm: VLM, prompts: Sequence[Prompt], tokens: int) -> None:
    """Generation that stores every whole attention map, which is what maps cost without this library."""
    model: Any = vlm.model
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            batch = vlm.batch(prompts)
            inputs = vlm.inputs(batch, vlm.tokens(batch))
            options = {"output_attentions": True, "return_dict_in_generate": True}
            model.generate(**inputs, max_new_tokens=tokens, do_sample=False, **options)
    finally:
        model.set_attn_implementation({"": IMPLEMENTATION, "text_config": IMPLEMENTATION, "vision_config": "sdpa"})


def fitted(name: str, vlm: VLM, wanted: ForgetRequest, steps: int) -> tuple[Module, dict[str, Any]]:
    """A module, and what its training steps and the whole fit cost."""
    method = METHODS[name]
    fit = method.start(vlm, wanted, from_values(method.config, {"steps": steps, **FITS[name]}))
    ends: list[float] = []

    def run() -> None:
        ends.extend(step.seconds for step in fit if step.losses)

    whole = measured(run, vlm.device)
    each = [b - a for a, b in pairwise(ends)]
    return fit.module, {"seconds_per_step": round(median(each), 4), "fit": asdict(whole), "steps": steps}


def unflagged(module: Module) -> Module:
    """A CAGUL module whose gate flags nothing, as it is for nearly every picture that is asked about."""
    assert isinstance(module, CagulModule)
    module.gate.threshold.fill_(float("inf"))
    return module


def measure(name: str, args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[Check]]:
    device = torch.device(args.device)
    parameters = write(name, folder, device, args.tiny)
    release(device)
    vlm: VLM | None = None

    def load() -> None:
        nonlocal vlm
        vlm = VLM.load(folder, device=args.device, dtype="bfloat16")

    loaded = measured(load, device)
    assert vlm is not None
    base: VLM = vlm
    base.model.generation_config.min_new_tokens = args.tokens
    side = 32 if args.tiny else args.side
    prompts = [Prompt(image, QUESTION) for image in pictures(args.batch, side)]
    wanted = request(side, args.pictures)
    modules, fits = {}, {}
    for method in FITS:
        modules[method], fits[method] = fitted(method, base, wanted, args.steps)
        release(device)
    cagul, cvf = unflagged(modules["cagul"]).attach(base), modules["cvf"].attach(base)

    def ask(model: VLM, asked: Sequence[Prompt], rows: bool = False) -> Callable[[], object]:
        return lambda: model.ask(asked, rows=rows, max_new_tokens=args.tokens, batch_size=len(asked))

    one = prompts[:1]
    works: dict[str, Works] = {
        "maps": {
            "plain": ask(base, prompts),
            "maps": ask(base, prompts, rows=True),
            "eager maps": lambda: eager_maps(base, prompts, args.tokens),
        },
        "before and after": {
            "one answer": ask(base, one),
            "two calls": lambda: (ask(base, one)(), ask(cvf, one)()),
            "one batch of two": lambda: ask_together([base, cvf], one, max_new_tokens=args.tokens),
        },
        "unlearned": {
            "original": ask(base, prompts),
            "cagul, unflagged": ask(cagul, prompts),
            "cvf": ask(cvf, prompts),
        },
    }
    costs = {group: in_turns(of, device, args.repeats) for group, of in works.items()}
    record = {
        "parameters": parameters,
        "visual_tokens": len(base.see(one)[0].tokens),
        "load": asdict(loaded),
        "fits": fits,
        "costs": {group: {k: asdict(summary(v)) for k, v in of.items()} for group, of in costs.items()},
    }
    return record, checks(costs)


def checks(costs: dict[str, dict[str, list[Cost]]]) -> list[Check]:
    maps, both, unlearned = costs["maps"], costs["before and after"], costs["unlearned"]
    original = unlearned["original"]
    return [
        Check("time with maps / plain", time_ratio(maps["maps"], maps["plain"]), 1.05),
        Check("memory with maps / plain", memory_ratio(maps["maps"], maps["plain"]), 1.01),
        Check("time of before and after / one answer", time_ratio(both["one batch of two"], both["one answer"]), 1.3),
        *(
            Check(f"speed of {name} / original", time_ratio(original, unlearned[name]), 0.97, at_most=False)
            for name in ("cagul, unflagged", "cvf")
        ),
    ]


def release(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a model of no size; its numbers mean nothing")
    parser.add_argument("--tokens", type=int, default=48, help="of every answer")
    parser.add_argument("--batch", type=int, default=4, help="questions at a time")
    parser.add_argument("--side", type=int, default=448, help="of the pictures, in pixels")
    parser.add_argument("--pictures", type=int, default=12, help="of the forgotten, and as many retained, in the fits")
    parser.add_argument("--steps", type=int, default=20, help="training steps of each fit")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    args = parser.parse_args()
    device = torch.device(args.device)
    records = {}
    for name in args.models:
        with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
            record, found = measure(name, args, Path(folder))
        release(device)
        records[name] = record | {"goals": [asdict(check) for check in found]}
        print("\n".join([name, *(f"  {check.line}" for check in found)]), flush=True)
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    write_result(
        args.out, "gpu", commit=commit(), device=kind, tiny=args.tiny, seed=0, repeats=args.repeats, models=records
    )


if __name__ == "__main__":
    main()
