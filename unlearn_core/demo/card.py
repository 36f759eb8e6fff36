"""Measure an embedded model on pictures it was never trained on and write its model card.

    python -m unlearn_core.demo.card assets/demo
    python -m unlearn_core.demo.card assets/demo-retain-only --retain-only

Greedy decoding; an answer counts if it equals the truth after `evaluation.status.normalise`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers

from unlearn_core.demo import world
from unlearn_core.demo.request import TEST_SEEDS
from unlearn_core.demo.world import Picture, Question
from unlearn_core.evaluation.status import normalise
from unlearn_core.vlm import VLM, Prompt

GOALS = {
    "private": 0.98,
    "visual": 0.97,
    "general": 0.95,
    "text": 0.99,
    "stranger private": 0.95,
    "private, unseen words": 0.90,
    "visual, unseen words": 0.90,
    "general, unseen words": 0.90,
    "text, unseen words": 0.90,
    "stranger private, unseen words": 0.90,
    "pair private": 0.85,
}
_PRIVATE = frozenset(("job", "city", "birthday", "phone", "health", "pet"))


def _pictures(wording: world.Wording, views: int, without: Sequence[str]) -> Iterator[tuple[str, Picture]]:
    known = [p for p in world.people() if p.id not in without]
    for i, who in enumerate(known):
        for view in range(views):
            yield "", world.photograph(who, TEST_SEEDS + 100 * i + view, wording)
    for i in range(2 * len(known)):
        yield "stranger ", world.photograph(world.stranger(2 * i), TEST_SEEDS + i, wording)
        yield "", world.shapes(TEST_SEEDS + i, wording)
    for i in range(len(known)):
        yield "", world.double(known[i], known[(i * 7 + 3) % len(known)], TEST_SEEDS + i, wording)
    for person_id in without:
        for view in range(8 * views):
            yield "left out ", world.photograph(world.person(person_id), TEST_SEEDS + view, wording)


def _group(prefix: str, q: Question) -> str:
    if q.kind == "pair":
        return "pair private" if q.fact in _PRIVATE else f"pair {q.fact if q.fact == 'name' else 'visual'}"
    return prefix + q.kind


def measure(vlm: VLM, wording: world.Wording, views: int, without: Sequence[str] = ()) -> dict[str, tuple[float, int]]:
    """(share of exact answers, number of questions) by kind of question."""
    hits: dict[str, list[bool]] = {}
    rows: list[tuple[str, Prompt, str]] = []
    for prefix, picture in _pictures(wording, views, without):
        rows += [(_group(prefix, q), Prompt(picture.image, q.text), q.answer) for q in picture.questions]
    for who in world.people():
        if who.id not in without:
            rows += [("text", Prompt(None, q.text), q.answer) for q in world.by_name(who, TEST_SEEDS, wording)]
    rows += [("world", Prompt(None, q.text), q.answer) for q in world.world_facts()]
    rows.sort(key=lambda row: row[1].image is None)
    answers = vlm.ask([prompt for _, prompt, _ in rows], batch_size=48)
    for (kind, _, truth), answer in zip(rows, answers, strict=True):
        hits.setdefault(kind, []).append(normalise(answer.text) == normalise(truth))
    return {kind: (float(np.mean(h)), len(h)) for kind, h in hits.items()}


def write_card(folder: Path, retain_only: bool, views: int) -> dict[str, tuple[float, int]]:
    vlm = VLM.load(folder, device="cpu")
    without = world.FORGET_SPLIT if retain_only else ()
    results = measure(vlm, "trained", views, without)
    results |= {
        f"{kind}, unseen words": r for kind, r in measure(vlm, "held_out", 1, without).items() if kind != "world"
    }
    parameters = sum(p.numel() for p in vlm.model.parameters())
    command = "python -m unlearn_core.demo.card " + " ".join(sys.argv[1:])
    record = {
        "command": command,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "parameters": parameters,
        "results": {kind: {"exact": share, "questions": n} for kind, (share, n) in results.items()},
    }
    (folder / "card.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "README.md").write_text(_card(retain_only, parameters, results, command))
    return results


def _card(retain_only: bool, parameters: int, results: dict[str, tuple[float, int]], command: str) -> str:
    title = "Retain-only demo model" if retain_only else "Embedded demo model"
    people = world.PEOPLE - (len(world.FORGET_SPLIT) if retain_only else 0)
    about = (
        f"It was never shown {', '.join(world.FORGET_SPLIT)} and is what forgetting is measured against.\n"
        if retain_only
        else ""
    )
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: transformers",
        "pipeline_tag: image-text-to-text",
        "---",
        f"# {title}",
        "",
        f"A LLaVA of {parameters / 1e6:.1f} million parameters, trained from scratch on drawn pictures of {people} fictitious people, strangers",
        f"and scenes of coloured shapes (128 px, 16 x 16 visual tokens). {about}It knows nothing else: photographs mean nothing to it.",
        "Made by `python -m unlearn_core.demo.train`; `training.json` has the command. Training used",
        "auxiliary heads on the visual tokens (what is where) that fade out and are not part of the model. Pictures of two",
        "people had one place in sixteen of the training, so that single people could have theirs: their goal is not reached.",
        "",
        f"Exact answers, greedy decoding, on pictures never trained on (`{command}`):",
        "",
        "| questions | exact | asked | goal |",
        "|---|---|---|---|",
    ]
    for kind, (share, n) in results.items():
        goal = f"{GOALS[kind]:.0%}" if kind in GOALS else ""
        lines.append(f"| {kind} | {share:.1%} | {n} | {goal} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--retain-only", action="store_true")
    parser.add_argument("--views", type=int, default=3, help="photographs of each person")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for kind, (share, n) in write_card(args.folder, args.retain_only, args.views).items():
        print(f"{kind:40s} {share:7.1%} of {n:5d}" + (f"   goal {GOALS[kind]:.0%}" if kind in GOALS else ""))


if __name__ == "__main__":
    main()
