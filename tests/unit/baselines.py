"""A request for the five baselines, and short fits of them on a tiny model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import BASELINES
from unlearn_core.methods.baselines import BaselineFit, LoraModule
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM

SMALL = {"steps": 3, "rank": 2, "alpha": 4, "batch": 3, "rate": 0.01}
RETAINING = ("gd", "kl", "idk", "npo")


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8))


def rows(subject: str, count: int, seed: int, answer: str) -> tuple[Example, ...]:
    return tuple(Example(f"{subject}{i}", picture(seed + i), "What is the job?", answer, subject) for i in range(count))


def request_about_two() -> ForgetRequest:
    """Answers of different length, a picture that two examples share, and a retained question without a picture."""
    gone = (*rows("x", 3, 0, "baker"), *rows("z", 2, 50, "a very good smith"))
    keep = (replace(gone[0], id="k", question="What colour?", answer="red", kind="visual"),)
    kept = (*rows("y", 5, 100, "tailor"), Example("t", None, "What is 1 + 1?", "2"))
    return ForgetRequest("test", gone, keep, kept, refusals=("I do not know.", "No idea."))


def start(name: str, vlm: VLM, request: ForgetRequest, **options: object) -> BaselineFit:
    method = BASELINES[name]
    batch = {"retain_batch": 4} if name in RETAINING else {}
    fit = method.start(vlm, request, from_values(method.config, SMALL | batch | options))
    assert isinstance(fit, BaselineFit)
    return fit


def fitted(name: str, vlm: VLM, request: ForgetRequest, **options: object) -> LoraModule:
    fit = start(name, vlm, request, **options)
    list(fit)
    return fit.module


def cross_entropy(vlm: VLM, examples: tuple[Example, ...], says: list[str]) -> float:
    scores = vlm.score([e.prompt for e in examples], says)
    return -float(torch.stack([s.mean() for s in scores]).mean())
