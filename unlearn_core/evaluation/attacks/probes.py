"""Linear probes: can a person still be told from the others, by what each stage of the model makes of a picture?

A probe that succeeds shows that the information is there, not that the model uses it: drawn or real, faces differ, and a
model that never knew these people separates them too. So read each stage against the retain-only model.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from threading import get_ident
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from PIL import Image
from torch import Tensor, nn

from unlearn_core.evaluation.attacks.base import (
    Access,
    AttackResult,
    Budget,
    Estimate,
    Point,
    Recovered,
    Target,
    outcome,
    share,
)
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.suite import Split
from unlearn_core.vlm import VLM, Prompt

Stages = dict[str, Float[ndarray, "n w"]]


@dataclass(frozen=True)
class ProbesBudget(Budget):
    """Args:
    pictures: of each person, at most; half of them train the probe. `facts` is not used.
    """

    pictures: int = 6


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures with their subjects. Every second picture of a subject is held out."""

    images: list[Image.Image]
    subjects: list[str]
    held_out: list[bool]


class Probes:
    name = "probes"
    title = "Linear probes for identity"
    tries = (
        "Trains a linear classifier of people on every stage: tower blocks, visual tokens, and tokens as they are read."
    )
    access: Access = "features"
    relearns = False
    in_scope = False
    budget = ProbesBudget
    effort = 10

    def run(self, target: Target, budget: ProbesBudget) -> Job[AttackResult]:
        gallery = gallery_of(target, budget.pictures)
        question = target.suite.splits[Split.FORGET][0].question
        going = np.isin(gallery.subjects, target.suite.subjects)[np.array(gallery.held_out)]
        after = yield from stages(target.after, gallery.images, question, "unlearned model")
        before = yield from stages(target.before, gallery.images, question, "model before")
        gold = {} if target.gold is None else (yield from stages(target.gold, gallery.images, question, "retain-only"))
        hits = {name: recognised(x, gallery) for name, x in after.items()}
        never = {name: recognised(x, gallery)[going] for name, x in gold.items()}
        points = [
            Point(name, float(i), _share(hit[going]), _share(never[name]) if name in never else None)
            for i, (name, hit) in enumerate(hits.items())
        ]
        stays = [_share(hit[~going]) for hit in hits.values()] if (~going).any() else []
        return outcome(
            self,
            budget,
            0,
            _overall([p.forget for p in points]),
            plain=None,
            retain=_overall(stays) if stays else None,
            gold=_overall([p.gold for p in points if p.gold is not None]) if gold else None,
            unit="pictures",
            curve=points,
            excess=max(p.forget.value - (0 if p.gold is None else p.gold.value) for p in points),
            needs_gold=True,
            notes={"before": {name: float(recognised(x, gallery)[going].mean()) for name, x in before.items()}},
        )


def _share(hits: Float[ndarray, " n"]) -> Estimate:
    return share([bool(h) for h in hits])


def _overall(estimates: Sequence[Estimate]) -> Recovered:
    worst = max(estimates, key=lambda e: e.value)
    return Recovered(worst, Estimate(fmean(e.value for e in estimates), None, None, worst.count))


def gallery_of(target: Target, pictures: int) -> Gallery:
    """Raises NothingToMeasure unless a person to forget and at least one other have two pictures or more."""
    found = [(who, images[:pictures]) for who, images in target.suite.gallery.items() if len(images) > 1]
    going = {who for who, _ in found} & set(target.suite.subjects)
    if not going or len(found) < 2:
        raise NothingToMeasure("Linear probes need two pictures or more of each person, and two people or more.")
    flat = [(who, image, i % 2 == 1) for who, images in found for i, image in enumerate(images)]
    return Gallery([image for _, image, _ in flat], [who for who, _, _ in flat], [held for _, _, held in flat])


def recognised(features: Float[ndarray, "n w"], gallery: Gallery) -> Float[ndarray, " held"]:
    """Per held-out picture, 1 if the probe names its subject."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    subjects, held = np.array(gallery.subjects), np.array(gallery.held_out)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    probe.fit(features[~held], subjects[~held])
    return (probe.predict(features[held]) == subjects[held]).astype(float)


# -- features ---------------------------------------------------------------------------------------------------------


def stages(vlm: VLM, images: Sequence[Image.Image], question: str, phase: str) -> Job[Stages]:
    """Mean features of each picture at every stage. `question` is asked where what is seen depends on it."""
    rows: list[dict[str, Tensor]] = []
    for image in images:
        rows.append(_stages_of(vlm, Prompt(image, question)))
        yield Progress(f"looking: {phase}", len(rows), len(images))
    return {name: torch.stack([row[name] for row in rows]).cpu().double().numpy() for name in rows[0]}


@torch.no_grad()
def _stages_of(vlm: VLM, prompt: Prompt) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    batch = vlm.batch([prompt])
    with ExitStack() as hooks:
        for i, block in enumerate(vlm.family.blocks(vlm.model)):
            hook = block.register_forward_hook(partial(_note, out, f"block {i + 1}", get_ident()))
            hooks.callback(hook.remove)
        (plain,) = vlm.tokens_of(batch.pixels)
    out["visual tokens"] = _mean(plain)
    (read,) = vlm.tokens(batch)
    out["tokens as read"] = _mean(read)
    return out


def _note(out: dict[str, Tensor], name: str, who: int, _: nn.Module, __: Any, seen: Float[Tensor, "*n w"]) -> None:
    """Only what thread `who` looks at: others may be asking the same model."""
    if get_ident() == who:
        out[name] = _mean(seen)


def _mean(x: Float[Tensor, "*n w"]) -> Float[Tensor, " w"]:
    return x.float().flatten(0, -2).mean(0)
