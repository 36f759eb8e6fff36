"""One step's losses of CVF: contrast of visual features, retention of visual tokens, answers through the language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.features import Pooling, nearest, pool
from unlearn_core.methods.cvf.pictures import AWAY, GOING, STAYING, Pictures
from unlearn_core.methods.cvf.student import Student
from unlearn_core.methods.objectives import answer_cross_entropy, info_nce, scaled_error
from unlearn_core.methods.rest import Veiled
from unlearn_core.methods.world import World

NEGATIVES = 32
POSITIVES = 8
NEAREST = 4
"""One in so many retained pictures counts as near to the forgotten ones."""

Where = tuple[str, int]
"""A picture: its group, and its place in it."""


class Asked(NamedTuple):
    """A question of a step, the picture it is about, and what should be answered."""

    where: Where
    example: Example
    says: str


class Losses:
    """Draws pictures and questions for a step and gives this process's part of its loss terms by name, without weights."""

    def __init__(
        self,
        student: Student,
        request: ForgetRequest,
        company: Sequence[Example],
        config: CvfConfig,
        pictures: Pictures,
        pooling: Pooling,
        rng: np.random.Generator,
        world: World,
    ) -> None:
        self.student, self.request, self.config, self.world = student, request, config, world
        self.pictures, self.pooling, self.rng, self.company = pictures, pooling, rng, company
        self.keep = (*request.keep, *request.beside)
        made = {pictures.place[id(e.image)] for e in company}
        self.alone = [i for i in range(len(pictures.groups[GOING])) if i not in made]
        self.going, self.staying = pictures.read[GOING], pictures.read.get(STAYING)
        self.target = pictures.read[AWAY].pooled
        self.near = self._nearest()
        self.veiled = Veiled(student.vlm, replace(request, forget=(*request.forget, *company)).regions)
        self.weights = {
            "contrast": config.contrast_weight,
            "answer": config.answer_weight,
            "retain": config.retain_weight,
            "rest": config.retain_weight,
        }

    def total(self, losses: dict[str, Tensor]) -> Float[Tensor, ""]:
        return torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()

    def __call__(self) -> dict[str, Tensor]:
        shown, asked = self._questions()
        stay = self._staying()
        near, far = self._compared() if self.weights["contrast"] else ([], [])
        asked = [*asked, *self._kept_questions(stay)] if self.weights["answer"] else []
        gone, share = self.world.deal(shown)
        kept, share_kept = self.world.deal(stay)
        own, share_asked = self.world.deal(asked)
        new = self._see([*((GOING, i) for i in gone), *((STAYING, i) for i in kept), *(a.where for a in own)])
        losses = {}
        if self.weights["contrast"]:
            losses["contrast"] = share * self._contrast(gone, [new[GOING, i] for i in gone], near, far)
        if self.staying is not None and self.weights["retain"]:
            old = torch.cat([self.staying.tokens[i] for i in kept])
            error = scaled_error(torch.cat([new[STAYING, i] for i in kept]), old, self.pooling.variance)
            losses["retain"] = share_kept * self._length(kept) / self._length(stay) * error
        if self.pictures.regions and self.weights["rest"]:
            images = self.pictures.images(GOING, gone)
            losses["rest"] = share * self.veiled.error(images, [new[GOING, i] for i in gone], self.pooling.variance)
        if own:
            losses["answer"] = share_asked * self._answers(own, [new[a.where] for a in own])
        return losses

    # -- drawn, the same in all processes -----------------------------------------------------------------------------

    def _questions(self) -> tuple[list[int], list[Asked]]:
        """Pictures of this step (as places among those going), and questions about them.

        Pictures in company come on top and take no turn from those of the request: else these would be forgotten less. [ours]
        """
        request, n = self.request, self.config.questions
        keep = n // 3 if self.keep else 0
        asked = [request.forget[i] for i in self.rng.integers(len(request.forget), size=n - keep)]
        more = n // 3 if self.company else 0
        asked += [self.company[i] for i in self.rng.integers(len(self.company), size=more)] if more else []
        says = [request.target(e, int(self.rng.integers(1 << 20))) for e in asked]
        for i in self.rng.integers(len(self.keep), size=keep) if keep else ():
            asked.append(self.keep[i])
            says.append(self.keep[i].answer)
        about = [self.pictures.place[id(e.image)] for e in asked]
        places = list(dict.fromkeys(about))
        others = [self.alone[i] for i in self._pick(len(self.alone), self.config.forget_batch)]
        others = [i for i in others if i not in places]
        places += others[: max(0, self.config.forget_batch + more - len(places))]
        return places, [Asked((GOING, i), e, s) for i, e, s in zip(about, asked, says, strict=True)]

    def _kept_questions(self, stay: list[int]) -> list[Asked]:
        """One about each of these retained pictures that has any, at most `retain_questions`."""
        chosen = [place for place in stay if place in self.pictures.asked][: self.config.retain_questions]
        found = []
        for place in chosen:
            about = self.pictures.asked[place]
            example = about[int(self.rng.integers(len(about)))]
            found.append(Asked((STAYING, place), example, example.answer))
        return found

    def _compared(self) -> tuple[list[int], list[int]]:
        """Places of strangers to pull to, if that is the reference, and of retained pictures to push from."""
        near = self._pick(len(self.request.strangers), POSITIVES) if self.config.reference == "stranger" else []
        return near, [] if self.staying is None else self._pick(self.pictures.retained, NEGATIVES)

    def _nearest(self) -> list[int]:
        """Places of the retained pictures that look most like a forgotten one: they are the first to be forgotten with it."""
        retained = self.pictures.retained
        if self.staying is None or not retained:
            return []
        return nearest(self.pooling(self.staying.pooled[:retained]), self.pooling(self.going.pooled), NEAREST)

    def _staying(self) -> list[int]:
        """Pictures that stay, every second of them near to the forgotten ones as long as there are such. [ours]"""
        n = self.config.retain_batch
        near = [self.near[i] for i in self._pick(len(self.near), n // 2)]
        others = [i for i in self._pick(len(self.pictures.groups[STAYING]), n) if i not in near]
        turns = zip_longest(others[: n - len(near)], near)
        return [i for turn in turns for i in turn if i is not None]

    def _pick(self, count: int, n: int) -> list[int]:
        return self.rng.permutation(count)[:n].tolist()

    # -- of this process's share --------------------------------------------------------------------------------------

    def _see(self, wanted: Sequence[Where]) -> dict[Where, Float[Tensor, "n d"]]:
        """Visual tokens as the student sees them now. What another process has read is read here when it is first drawn."""
        pictures = list(dict.fromkeys(wanted))
        for key, read in self.pictures.read.items():
            new = [i for k, i in pictures if k == key and i not in read.half]
            if new:
                read.hold(new, *self.student.read_original(self.pictures.images(key, new)))
        half = [self.pictures.read[key].half[i] for key, i in pictures]
        return dict(zip(pictures, self.student.tokens(half), strict=True))

    def _answers(self, asked: Sequence[Asked], tokens: list[Tensor]) -> Float[Tensor, ""]:
        seeing = self.student.seeing
        batch = seeing.batch([a.example.prompt for a in asked], [seeing.answer_ids(a.says) for a in asked])
        return answer_cross_entropy(seeing.answer_logits(batch, tokens), batch.targets or ()).mean()

    def _contrast(
        self, shown: Sequence[int], gone: list[Float[Tensor, "n d"]], near: list[int], far: list[int]
    ) -> Float[Tensor, ""]:
        """Pull forgotten pictures to the reference; push them from where they were and from retained pictures."""
        b, shown, instead = len(shown), list(shown), self.pictures.instead
        wanted = [[instead[i]] * max(1, len(near)) if i in instead else near for i in shown]
        positives = torch.stack([self.pooling(self.target[places]) for places in wanted])
        negatives = [self.pooling(self.going.pooled[shown])[:, None]]
        if self.staying is not None:
            negatives.append(self.pooling(self.staying.pooled[far]).expand(b, -1, -1))
        return info_nce(self.pooling(pool(gone)), positives, torch.cat(negatives, 1), self.config.temperature)

    def _length(self, places: Sequence[int]) -> float:
        """Mean number of tokens of staying pictures: an error is a mean over tokens, and pictures may differ in theirs."""
        assert self.staying is not None
        return float(self.staying.lengths[list(places)].double().mean())
