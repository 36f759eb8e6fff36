"""The pictures of a request by their part in the fit, and what is computed of each once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.features import blurred, pool
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.tower import HalfSeen

CHUNK = 32
GOING, STAYING, AWAY = "going", "staying", "away"


@dataclass(eq=False)
class Read:
    """A group of pictures: as far as the frozen blocks see them, and their visual tokens before training, in float32, whole
    and pooled."""

    half: list[HalfSeen]
    tokens: list[Float[Tensor, "n d"]]
    pooled: Float[Tensor, "b d2"]


@dataclass(eq=False)
class Pictures:
    """`going` is forgotten, `staying` is kept, `away` is what forgotten pictures are to look like.

    `asked` lists, for the place of a staying picture, the questions about it. Retained subjects come first among the
    staying pictures, `retained` of them, and strangers after.
    """

    groups: dict[str, list[Image.Image]]
    retained: int
    asked: dict[int, list[Example]]
    place: dict[int, int]
    read: dict[str, Read] = field(default_factory=dict)

    @classmethod
    def of(cls, request: ForgetRequest, config: CvfConfig) -> Pictures:
        going = distinct_images([*request.forget, *request.keep])
        retained = distinct_images(request.retain)
        # Without retained pictures moments stand for them, and strangers are no more than what to look away to.
        staying = [*retained, *request.strangers] if retained else []
        where = {id(image): i for i, image in enumerate(staying)}
        asked: dict[int, list[Example]] = {}
        for example in request.retain:
            if example.image is not None:
                asked.setdefault(where[id(example.image)], []).append(example)
        groups = {GOING: going, STAYING: staying, AWAY: _away(request, config, going)}
        return cls(groups, len(retained), asked, {id(image): i for i, image in enumerate(going)})

    def chunks(self) -> Iterator[tuple[str, list[Image.Image]]]:
        for key, images in self.groups.items():
            for at in range(0, len(images), CHUNK):
                yield key, images[at : at + CHUNK]

    def keep(self, key: str, half: list[HalfSeen], tokens: list[Tensor]) -> None:
        """Store what was computed of a group."""
        if half:
            self.read[key] = Read(half, [t.float() for t in tokens], pool(tokens))


def _away(request: ForgetRequest, config: CvfConfig, going: list[Image.Image]) -> list[Image.Image]:
    """Pictures that the original model is read on; none for the reference `base`, which reads the forgotten ones."""
    if config.reference == "blurred":
        return [blurred(image) for image in going]
    if config.reference == "stranger":
        if not request.strangers:
            raise BadRequest(
                "The reference 'stranger' needs pictures of people the model never saw. Please add some, or choose 'blurred'."
            )
        return list(request.strangers)
    if not config.base_model:
        raise BadRequest(
            "The reference 'base' needs a base checkpoint. Please name one, or choose 'stranger' or 'blurred'."
        )
    return []
