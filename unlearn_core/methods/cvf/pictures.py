"""The pictures of a request by their part in the fit, and what is computed of each once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.data.region import Region, blurred, without
from unlearn_core.data.stored import StoredPicture
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.features import pool
from unlearn_core.methods.spilling import Parts, Spilling
from unlearn_core.methods.world import World
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.tower import HalfSeen

CHUNK = 32
GOING, STAYING, AWAY = "going", "staying", "away"


@dataclass(eq=False)
class Read:
    """A group of pictures before training.

    Args:
        pooled, lengths: visual tokens of each picture, pooled, and their number; 0 where another process reads them, until
            all are added up.
        half, tokens: by place, of pictures that this process has read: as far as the frozen blocks see them, and their
            visual tokens in float32.
    """

    pooled: Float[Tensor, "b d2"]
    lengths: Int[Tensor, " b"]
    half: Spilling[int, HalfSeen] = field(default_factory=lambda: Spilling(_apart, _together))
    tokens: Spilling[int, Float[Tensor, "n d"]] = field(default_factory=Spilling)

    @classmethod
    def none_of(cls, count: int, width: int, device: torch.device) -> Read:
        """Before the first of `count` pictures is read; `width` is that of a visual token."""
        return cls(torch.zeros(count, 2 * width, device=device), torch.zeros(count, dtype=torch.long))

    def note(self, places: Sequence[int], tokens: Sequence[Float[Tensor, "n d"]]) -> None:
        self.pooled[list(places)] = pool(tokens)
        self.lengths[list(places)] = torch.tensor([len(t) for t in tokens])

    def hold(self, places: Sequence[int], half: Sequence[HalfSeen], tokens: Sequence[Float[Tensor, "n d"]]) -> None:
        self.half.update(zip(places, half, strict=True))
        self.tokens.update(zip(places, (t.float() for t in tokens), strict=True))


def _apart(half: HalfSeen) -> Parts:
    """Outputs are named by their block, pixels by what the tower calls them."""
    return {f"pixels {name}": t for name, t in half.pixels.items()} | {str(k): t for k, t in half.outputs.items()}


def _together(parts: Parts) -> HalfSeen:
    pixels = {name.removeprefix("pixels "): t for name, t in parts.items() if name.startswith("pixels ")}
    return HalfSeen(pixels, {int(name): t for name, t in parts.items() if name.isdecimal()})


@dataclass(eq=False)
class Pictures:
    """`going` is forgotten, `staying` is kept, `away` is what forgotten pictures are to look like.

    `asked` lists, for the place of a staying picture, the questions about it. Retained subjects come first among the
    staying pictures, `retained` of them, and after them strangers, and what is left of forgotten pictures beside the
    region that is marked on them. `regions` are those, by the place of the forgotten picture. `instead` tells which of the
    `away` pictures a forgotten one is to look like; one that is not in it, like any of the strangers, who come first.
    """

    groups: dict[str, list[Image.Image]]
    retained: int
    asked: dict[int, list[Example]]
    place: dict[int, int]
    regions: dict[int, tuple[Region, ...]]
    instead: dict[int, int]
    read: dict[str, Read] = field(default_factory=dict)

    @classmethod
    def of(cls, request: ForgetRequest, config: CvfConfig) -> Pictures:
        going = distinct_images([*request.forget, *request.keep])
        elsewhere = request.elsewhere
        retained = distinct_images(elsewhere)
        regions = request.regions
        marked = {i: regions[id(image)] for i, image in enumerate(going) if id(image) in regions}
        rest = {i: without(going[i], parts) for i, parts in marked.items()}
        # Without retained pictures moments stand for them, and strangers are no more than what to look away to.
        staying = [*retained, *request.strangers, *rest.values()] if retained else []
        where = {id(image): i for i, image in enumerate(staying)}
        asked: dict[int, list[Example]] = {}
        for example in elsewhere:
            if example.image is not None:
                asked.setdefault(where[id(example.image)], []).append(example)
        away, instead = _away(request, config, going, rest)
        groups = {GOING: going, STAYING: staying, AWAY: away}
        return cls(groups, len(retained), asked, {id(image): i for i, image in enumerate(going)}, marked, instead)

    def chunks(self, world: World) -> Iterator[tuple[str, list[int]]]:
        """Places of the pictures that this process reads, a few at a time; none is read twice."""
        for key, images in self.groups.items():
            own = [] if key == AWAY and self.shared else list(world.mine(range(len(images))))
            for at in range(0, len(own), CHUNK):
                yield key, own[at : at + CHUNK]

    @property
    def shared(self) -> list[int]:
        """Places among the staying pictures of those to look away to, if all of these are among them."""
        where = {id(image): i for i, image in enumerate(self.groups[STAYING])}
        away = self.groups[AWAY]
        return [where[id(image)] for image in away] if all(id(image) in where for image in away) else []

    def images(self, key: str, places: Sequence[int]) -> list[Image.Image]:
        return [self.groups[key][i] for i in places]


def _away(
    request: ForgetRequest, config: CvfConfig, going: list[Image.Image], rest: Mapping[int, Image.Image]
) -> tuple[list[Image.Image], dict[int, int]]:
    """Pictures that the original model is read on, and which of them is meant for which forgotten one; no pictures for
    the reference `base`, which reads the forgotten ones.

    No stranger is beside a bystander: where a region is marked, the picture without it is the reference. [ours]
    """
    each = {i: i for i in range(len(going))}
    if config.reference == "blurred":
        return [rest[i] if i in rest else _blurred(image) for i, image in enumerate(going)], each
    if config.reference == "stranger":
        if not request.strangers and len(rest) < len(going):
            raise BadRequest(
                "The reference 'stranger' needs pictures of people the model never saw. Please add some, or choose 'blurred'."
            )
        return [*request.strangers, *rest.values()], {i: len(request.strangers) + k for k, i in enumerate(rest)}
    if not config.base_model:
        raise BadRequest(
            "The reference 'base' needs a base checkpoint. Please name one, or choose 'stranger' or 'blurred'."
        )
    return [], each


def _blurred(image: Image.Image) -> Image.Image:
    """Of a picture that stays in its file nothing is held either."""
    return StoredPicture(image.size, partial(blurred, image)) if isinstance(image, StoredPicture) else blurred(image)
