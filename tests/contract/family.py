"""What the tests of families share: sizes of pictures, and all that a model says, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from unlearn_core.vlm import VLM, Prompt

Picture = Callable[..., Image.Image]
STEPS = 6
WIDE, TALL, SQUARE = (96, 64), (40, 72), (64, 64)


def outcome(vlm: VLM, prompts: Sequence[Prompt]) -> list[tuple[Any, ...]]:
    """All numbers of answers and scores, to the last bit."""
    answers = vlm.ask(prompts, max_new_tokens=STEPS)
    scores = vlm.score(prompts, ["baker"] * len(prompts))
    return [(a.ids, a.logprobs, tuple(s.tolist())) for a, s in zip(answers, scores, strict=True)]
