"""What attention maps cost: answers with maps against plain answers to the same questions.

    python -m benchmarks.capture --model assets/demo

Plain and with maps take turns in one run, and each ratio is of two neighbours in time, so that what else the machine does
falls on both. Every layer, head and token is kept. Writes benchmarks/results/capture.json. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers

from unlearn_core.demo import build, world
from unlearn_core.demo.request import TEST_SEEDS
from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.capture import IMPLEMENTATION
from unlearn_core.vlm.families import family_of
from unlearn_core.vlm.loading import DEMO

RESULT = Path(__file__).parent / "results" / "capture.json"
SEED = 0


@dataclass(frozen=True)
class Cost:
    """Seconds are medians over the repeats; `ratio` is with maps / plain, its median and its 10 % and 90 % quantiles.

    `tokens` is the number of answer tokens of one repeat, `maps_mib` what its maps take in memory.
    """

    batch_size: int
    prompts: int
    tokens: int
    maps_mib: float
    plain_seconds: float
    maps_seconds: float
    ratio: float
    ratio_low: float
    ratio_high: float


def questions(count: int) -> list[Prompt]:
    """One question each about `count` photographs that the demo model was never trained on, each kind in turn."""
    people = world.people()
    pictures = [world.photograph(people[i], TEST_SEEDS + SEED + i) for i in range(count)]
    return [Prompt(p.image, p.questions[i % len(p.questions)].text) for i, p in enumerate(pictures)]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(vlm: VLM, prompts: Sequence[Prompt], batch_size: int, repeats: int) -> Cost:
    """Raises AssertionError if maps change an answer."""

    def ask(rows: bool) -> list[Answer]:
        return vlm.ask(prompts, rows=rows, batch_size=batch_size)

    plain, kept = ask(False), ask(True)
    assert [a.logprobs for a in plain] == [a.logprobs for a in kept]
    pairs = []
    for i in range(repeats):
        first = i % 2 == 0
        took = {rows: seconds(lambda rows=rows: ask(rows)) for rows in (first, not first)}
        pairs.append((took[False], took[True]))
    ratios = [with_maps / without for without, with_maps in pairs]
    tenths = statistics.quantiles(ratios, n=10, method="inclusive")
    return Cost(
        batch_size,
        len(prompts),
        sum(len(a.ids) for a in plain),
        round(sum(a.rows.nbytes() for a in kept if a.rows is not None) / 2**20, 2),
        round(statistics.median(without for without, _ in pairs), 4),
        round(statistics.median(with_maps for _, with_maps in pairs), 4),
        round(statistics.median(ratios), 4),
        round(tenths[0], 4),
        round(tenths[-1], 4),
    )


def untrained() -> VLM:
    """A model of the demo's shape with random weights; its answers run to the limit of tokens."""
    processor = build.processor()
    model = build.model(processor, SEED).requires_grad_(False).eval()
    model.set_attn_implementation({"": IMPLEMENTATION, "text_config": IMPLEMENTATION, "vision_config": "sdpa"})
    return VLM(model, processor, family_of("llava"), "untrained")


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(DEMO), help="a checkpoint, or `untrained` for one of the demo's shape")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--prompts", type=int, default=13)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = untrained() if args.model == "untrained" else VLM.load(args.model, device="cpu")
    prompts = questions(args.prompts)
    costs = [measure(vlm, prompts, size, args.repeats) for size in args.batch_sizes]
    for cost in costs:
        print(
            f"batches of {cost.batch_size}: {cost.ratio:.3f} times as long with maps "
            f"({cost.ratio_low:.3f} to {cost.ratio_high:.3f}); {cost.tokens} tokens, "
            f"{cost.plain_seconds:.3f} s plain, {cost.maps_seconds:.3f} s with {cost.maps_mib} MiB of maps"
        )
    record = {
        "command": " ".join(["python -m benchmarks.capture", *sys.argv[1:]]),
        "model": args.model,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "commit": commit(),
        },
        "device": {"kind": "cpu", "machine": platform.machine(), "threads": args.threads},
        "seed": SEED,
        "repeats": args.repeats,
        "costs": [asdict(cost) for cost in costs],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
