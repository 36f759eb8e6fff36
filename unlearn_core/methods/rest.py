"""What the model says of the rest of a picture on which a region is marked: a bystander's facts, found without being told. [ours]

Whatever is asked about one of the pictures is asked about all of them. Where the answer stays the same when the region is
blurred away, it does not rest on whom the region shows, and so it belongs to what must stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.data.region import Region, tokens_outside, without
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


def outside(vlm: VLM, image: Image.Image, regions: Sequence[Region]) -> Int[Tensor, " k"]:
    """The visual tokens of a picture that show nothing of these regions."""
    return tokens_outside(vlm.tiles(image, vlm.pixels([image])[0]), regions)


def _plain(text: str) -> str:
    return text.casefold().strip().rstrip(".")
