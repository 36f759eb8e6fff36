"""What the gate learns from and is measured on: pictures, augmented views, and hard negatives. All of it is our choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unlearn_core.data.augment import augment
from unlearn_core.data.example import ForgetRequest, distinct_images
from unlearn_core.data.region import cut_out, regions_of, without

MAX_NEGATIVES = 480
VIEWED = 96
"""About so many pictures of others are also seen in an augmented view."""
FOLDS = 3
"""Into so many parts pictures are dealt; each part is measured by a gate that was fitted on the others."""
HARD_VIEWS = 8
"""Views of each retained subject that is among the nearest."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture for the gate.

    Args:
        image: of the request. subject: whom it shows, if that is known.
        place: of the subject among the forgotten ones, or -1 for everybody else.
        stranger: nobody whom the model knows.
        fold: the part of the pictures that it belongs to, with all its views; None for the pictures of a subject that has
            fewer than there are folds: they are fitted on and never measured.
        part: makes the part of the picture that is meant, or None for all of it.
        view: seed of the augmented view that is meant, or None for none.
        hard: a further view of a picture of the nearest retained subjects: it teaches and is never measured.
    """

    image: Image.Image
    subject: str | None
    place: int
    stranger: bool = False
    fold: int | None = None
    part: Callable[[Image.Image], Image.Image] | None = None
    view: int | None = None
    hard: bool = False

    @property
    def whole(self) -> bool:
        """The picture of the request as it is."""
        return self.part is None and self.view is None

    def picture(self) -> Image.Image:
        """Parts and views are made when they are needed: all of them at once could fill the memory."""
        image = self.image if self.part is None else self.part(self.image)
        return image if self.view is None else augment(image, np.random.default_rng(self.view))

    def seen_again(self, rng: np.random.Generator) -> Shot:
        """An augmented view, in the same fold."""
        return replace(self, view=int(rng.integers(2**32)))


def gate_shots(request: ForgetRequest, views: int, rng: np.random.Generator) -> list[Shot]:
    """Pictures of the forgotten with `views` views each, and of others; of these, about `VIEWED` with a view.

    Where a region is marked, it is a picture of the forgotten by itself too, and what is left without it one of others:
    so nothing beside the region is evidence for the subject.
    """
    shots: list[Shot] = []
    left: list[Shot] = []
    for place, subject in enumerate(sorted({e.subject for e in request.forget}, key=lambda s: s or "")):
        images = distinct_images([e for e in (*request.forget, *request.keep) if e.subject == subject])
        own = [Shot(image, subject, place, fold=_fold(i, len(images))) for i, image in enumerate(images)]
        marked = regions_of((e.image, e.region) for e in request.forget if e.subject == subject and e.image is not None)
        for shot in [shot for shot in own if id(shot.image) in marked]:
            regions = marked[id(shot.image)]
            own.append(replace(shot, part=partial(cut_out, regions=regions)))
            left.append(Shot(shot.image, None, -1, fold=shot.fold, part=partial(without, regions=regions)))
        shots += [*own, *(shot.seen_again(rng) for shot in own for _ in range(views))]
    shots += [*left, *(shot.seen_again(rng) for shot in left for _ in range(views))]
    others = _others(request)
    if len(others) > MAX_NEGATIVES:
        others = [others[i] for i in sorted(rng.permutation(len(others))[:MAX_NEGATIVES])]
    strange = {id(image) for image in request.strangers}
    rest = [Shot(image, who, -1, id(image) in strange, _fold(i, len(others))) for i, (image, who) in enumerate(others)]
    return [*shots, *rest, *(shot.seen_again(rng) for shot in rest[:: max(1, len(rest) // VIEWED)])]


def _fold(i: int, count: int) -> int | None:
    return i % FOLDS if count >= FOLDS else None


def _others(request: ForgetRequest) -> list[tuple[Image.Image, str | None]]:
    """Retained pictures with their subject, and strangers."""
    retain = request.elsewhere
    owner = {id(e.image): e.subject for e in retain}
    return [(i, owner[id(i)]) for i in distinct_images(retain)] + [(i, None) for i in request.strangers]


# -- hard negatives ---------------------------------------------------------------------------------------------------


def retained_subjects(shots: Sequence[Shot]) -> dict[str, list[int]]:
    """Places of each retained subject's pictures."""
    found: dict[str, list[int]] = {}
    for i, shot in enumerate(shots):
        if shot.place < 0 and shot.subject is not None and shot.whole:
            found.setdefault(shot.subject, []).append(i)
    return found


def nearest_subjects(
    forgotten: Sequence[Float[Tensor, "p f"]], retained: Mapping[str, Float[Tensor, "m f"]], count: int
) -> list[str]:
    """The `count` retained subjects whose mean statistics lie nearest to those of any forgotten subject.

    Distances are Euclidean after each channel is standardised over the retained pictures.
    """
    if not retained or count == 0:
        return []
    everyone = torch.cat(list(retained.values()))
    scale = everyone.std(0, correction=0).clamp(min=1e-6)
    going = torch.stack([x.mean(0) for x in forgotten]) / scale
    staying = torch.stack([x.mean(0) for x in retained.values()]) / scale
    near = torch.cdist(staying, going).amin(1).argsort(stable=True)[:count]
    return [list(retained)[i] for i in near.tolist()]


def hard_shots(
    shots: Sequence[Shot], statistics: Float[Tensor, "n f"], count: int, rng: np.random.Generator
) -> list[Shot]:
    """`HARD_VIEWS` views of each of the `count` nearest retained subjects."""
    forgotten: dict[int, list[Tensor]] = {}
    for shot, x in zip(shots, statistics, strict=True):
        if shot.place >= 0:
            forgotten.setdefault(shot.place, []).append(x)
    subjects = retained_subjects(shots)
    retained = {s: torch.stack([statistics[i] for i in places]) for s, places in subjects.items()}
    near = nearest_subjects([torch.stack(x) for x in forgotten.values()], retained, count)
    drawn = [shots[subjects[s][k % len(subjects[s])]] for s in near for k in range(HARD_VIEWS)]
    return [replace(shot.seen_again(rng), hard=True) for shot in drawn]
