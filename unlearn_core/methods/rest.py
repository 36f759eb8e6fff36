"""What the model says of the rest of a picture on which a region is marked: a bystander's facts, found without being told. [ours]

Whatever is asked about one of the pictures is asked about all of them. Where the answer stays the same when the region is
blurred away, it does not rest on whom the region shows, and so it belongs to what must stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.data.region import Regions, without
from unlearn_core.methods.objectives import scaled_error
from unlearn_core.vlm import VLM, Prompt

CHUNK = 16
QUESTIONS = 12
"""Asked about each picture."""


class Rest:
    """Asks the frozen model; `found` grows with each part of `ask`."""

    def __init__(self, vlm: VLM, request: ForgetRequest, seed: int) -> None:
        self.vlm, self.request = vlm, request
        self.found: list[Example] = []
        rng, regions = np.random.default_rng(seed), request.regions
        asked: dict[int, set[str]] = {}
        for example in (*request.forget, *request.keep, *request.beside):
            asked.setdefault(id(example.image), set()).add(example.question)
        questions = sorted({q for key in regions for q in asked[key]})
        self.pairs: list[tuple[Image.Image, str]] = []
        for image in distinct_images(request.forget):
            if id(image) in regions:
                new = [q for q in questions if q not in asked[id(image)]]
                self.pairs += [(image, new[i]) for i in sorted(rng.permutation(len(new))[:QUESTIONS])]

    @property
    def chunks(self) -> int:
        """How many parts `ask` has."""
        return -(-len(self.pairs) // CHUNK)

    def ask(self) -> Iterator[None]:
        regions = self.request.regions
        gone = {_plain(e.answer) for e in self.request.forget} | {_plain(r) for r in self.request.refusals} | {""}
        for at in range(0, len(self.pairs), CHUNK):
            part = self.pairs[at : at + CHUNK]
            whole = [Prompt(image, question) for image, question in part]
            left = [Prompt(without(image, regions[id(image)]), question) for image, question in part]
            answers = [a.text for a in self.vlm.ask([*whole, *left], batch_size=2 * CHUNK)]
            for (image, question), one, other in zip(part, answers[: len(part)], answers[len(part) :], strict=True):
                if one == other and _plain(one) not in gone:
                    self.found.append(Example(f"rest-{len(self.found)}", image, question, one))
            yield


class Veiled:
    """What the frozen model sees of marked pictures when their regions are blurred: each is computed when it is first needed.

    That is what a picture of somebody to forget and a bystander is to look like, everywhere: the bystander's facts are read
    from it as before, and there is nobody in the region. [ours]
    """

    def __init__(self, vlm: VLM, regions: Regions) -> None:
        self.vlm, self.regions = vlm, regions
        self._tokens: dict[int, Float[Tensor, "n d"]] = {}

    def error(
        self,
        images: Sequence[Image.Image],
        tokens: Sequence[Float[Tensor, "n d"]],
        variance: Float[Tensor, " d"] | None,
    ) -> Float[Tensor, ""]:
        """How far these tokens are from that, in units of each channel's variance, of the picture itself where none is given.
        Mean over the pictures, where one without a region counts 0."""
        errors = [tokens[0].new_zeros((), dtype=torch.float32)]
        for image, new in zip(images, tokens, strict=True):
            if id(image) in self.regions:
                old = self._seen(image)
                errors.append(scaled_error(new, old, old.var(0, correction=0) if variance is None else variance))
        return torch.stack(errors).sum() / len(images)

    @torch.no_grad()
    def _seen(self, image: Image.Image) -> Float[Tensor, "n d"]:
        if id(image) not in self._tokens:
            self._tokens[id(image)] = self.vlm.encode([without(image, self.regions[id(image)])])[0].float()
        return self._tokens[id(image)]


def _plain(text: str) -> str:
    return text.casefold().strip().rstrip(".")
