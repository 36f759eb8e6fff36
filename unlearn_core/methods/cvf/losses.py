"""One step's losses of CVF: contrast of visual features, retention of visual tokens, answers through the language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.features import Pooling, pool
from unlearn_core.methods.cvf.pictures import AWAY, GOING, STAYING, Pictures
from unlearn_core.methods.cvf.student import Student
from unlearn_core.methods.objectives import answer_cross_entropy, info_nce, scaled_error

T = TypeVar("T")

NEGATIVES = 32
POSITIVES = 8


class Losses:
    """Draws pictures and questions for a step and gives its loss terms by name, without their weights."""

    def __init__(
        self,
        student: Student,
        request: ForgetRequest,
        config: CvfConfig,
        pictures: Pictures,
        pooling: Pooling,
        rng: np.random.Generator,
    ) -> None:
        self.student, self.request, self.config = student, request, config
        self.pictures, self.pooling, self.rng = pictures, pooling, rng
        self.going, self.staying = pictures.read[GOING], pictures.read.get(STAYING)
        self.target = pictures.read[AWAY].pooled
        self.weights = {
            "contrast": config.contrast_weight,
            "answer": config.answer_weight,
            "retain": config.retain_weight,
        }

    def total(self, losses: dict[str, Tensor]) -> Float[Tensor, ""]:
        return torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()

    def __call__(self) -> dict[str, Tensor]:
        shown, asked, says = self._questions()
        stay = self._pick(0 if self.staying is None else len(self.staying.tokens), self.config.retain_batch)
        half = _of(self.going.half, shown) + ([] if self.staying is None else _of(self.staying.half, stay))
        new = self.student.tokens(half)
        gone, kept = new[: len(shown)], new[len(shown) :]
        losses = {}
        if self.weights["contrast"]:
            losses["contrast"] = self._contrast(shown, gone)
        if self.staying is not None and self.weights["retain"]:
            old = torch.cat(_of(self.staying.tokens, stay))
            losses["retain"] = scaled_error(torch.cat(kept), old, self.pooling.variance)
        if self.weights["answer"]:
            row = {int(p): i for i, p in enumerate(shown)}
            tokens = [gone[row[self.pictures.place[id(e.image)]]] for e in asked]
            for i, example in self._kept_questions(stay):
                asked.append(example)
                says.append(example.answer)
                tokens.append(kept[i])
            losses["answer"] = self._answers(asked, says, tokens)
        return losses

    def _answers(self, asked: list[Example], says: list[str], tokens: list[Tensor]) -> Float[Tensor, ""]:
        seeing = self.student.seeing
        batch = seeing.batch([e.prompt for e in asked], [seeing.answer_ids(s) for s in says])
        return answer_cross_entropy(seeing.answer_logits(batch, tokens), batch.targets or ()).mean()

    def _pick(self, count: int, n: int) -> Int[Tensor, " n"]:
        return torch.from_numpy(self.rng.permutation(count)[:n])

    def _kept_questions(self, stay: Int[Tensor, " b"]) -> list[tuple[int, Example]]:
        """(row in `stay`, a question about that retained picture), at most `retain_questions`."""
        rows = [i for i, place in enumerate(stay.tolist()) if place in self.pictures.asked]
        chosen = rows[: self.config.retain_questions]
        examples = (self.pictures.asked[int(stay[i])] for i in chosen)
        return [(i, of[int(self.rng.integers(len(of)))]) for i, of in zip(chosen, examples, strict=True)]

    def _contrast(self, shown: Int[Tensor, " b"], gone: list[Float[Tensor, "n d"]]) -> Float[Tensor, ""]:
        """Pull forgotten pictures to the reference; push them from where they were and from retained pictures."""
        b = len(shown)
        if self.config.reference == "stranger":
            near = self.pooling(self.target[self._pick(len(self.target), POSITIVES)]).expand(b, -1, -1)
        else:
            near = self.pooling(self.target[shown])[:, None]
        far = [self.pooling(self.going.pooled[shown])[:, None]]
        if self.staying is not None:
            others = self._pick(self.pictures.retained, NEGATIVES)
            far.append(self.pooling(self.staying.pooled[others]).expand(b, -1, -1))
        return info_nce(self.pooling(pool(gone)), near, torch.cat(far, 1), self.config.temperature)

    def _questions(self) -> tuple[Int[Tensor, " b"], list[Example], list[str]]:
        """Pictures of this step (as places among those going), questions about them, and what should be answered."""
        request, n = self.request, self.config.questions
        keep = n // 3 if request.keep else 0
        asked = [request.forget[i] for i in self.rng.integers(len(request.forget), size=n - keep)]
        says = [request.target(e, int(self.rng.integers(1 << 20))) for e in asked]
        for i in self.rng.integers(len(request.keep), size=keep) if keep else ():
            asked.append(request.keep[i])
            says.append(request.keep[i].answer)
        places = list(dict.fromkeys(self.pictures.place[id(e.image)] for e in asked))
        more = [int(i) for i in self._pick(len(self.going.tokens), self.config.forget_batch) if int(i) not in places]
        places += more[: max(0, self.config.forget_batch - len(places))]
        return torch.tensor(places), asked, says


def _of(items: Sequence[T], places: Int[Tensor, " b"]) -> list[T]:
    return [items[i] for i in places.tolist()]
