"""What the gate learns from and is measured on: pictures, augmented views, and hard negatives. All of it is our choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unlearn_core.data.augment import augment
from unlearn_core.data.example import ForgetRequest, distinct_images
from unlearn_core.methods.cagul.gate import Gate, calibrate, fit_gate
from unlearn_core.methods.cagul.roc import roc

MAX_NEGATIVES = 480
VIEWED = 96
"""About so many pictures of others are also seen in an augmented view."""
HELD_OUT = 3
"""Every third picture, with its views, calibrates the gate and is not fitted on."""
HARD_VIEWS = 8
"""Views of each retained subject that is among the nearest."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture for the gate.

    Args:
        image: of the request. subject: whom it shows, if that is known.
        place: of the subject among the forgotten ones, or -1 for everybody else.
        stranger: nobody whom the model knows.
        held_out: not fitted on.
        view: seed of the augmented view that is meant, or None for the picture as it is.
    """

    image: Image.Image
    subject: str | None
    place: int
    stranger: bool = False
    held_out: bool = False
    view: int | None = None

    def picture(self) -> Image.Image:
        """Views are made when they are needed: all of them at once could fill the memory."""
        return self.image if self.view is None else augment(self.image, np.random.default_rng(self.view))

    def seen_again(self, rng: np.random.Generator) -> Shot:
        """An augmented view, on the same side of the split."""
        return replace(self, view=int(rng.integers(2**32)))


def gate_shots(request: ForgetRequest, views: int, rng: np.random.Generator) -> list[Shot]:
    """Pictures of the forgotten with `views` views each, and of others; of these, about `VIEWED` with a view."""
    shots: list[Shot] = []
    for place, subject in enumerate(sorted({e.subject for e in request.forget}, key=lambda s: s or "")):
        images = distinct_images([e for e in (*request.forget, *request.keep) if e.subject == subject])
        own = [Shot(image, subject, place, held_out=_held_out(i)) for i, image in enumerate(images)]
        shots += [*own, *(shot.seen_again(rng) for shot in own for _ in range(views))]
    others = _others(request)
    if len(others) > MAX_NEGATIVES:
        others = [others[i] for i in sorted(rng.permutation(len(others))[:MAX_NEGATIVES])]
    strange = {id(image) for image in request.strangers}
    rest = [Shot(image, who, -1, id(image) in strange, _held_out(i)) for i, (image, who) in enumerate(others)]
    return [*shots, *rest, *(shot.seen_again(rng) for shot in rest[:: max(1, len(rest) // VIEWED)])]


def _held_out(i: int) -> bool:
    return i % HELD_OUT == HELD_OUT - 1


def _others(request: ForgetRequest) -> list[tuple[Image.Image, str | None]]:
    """Retained pictures with their subject, and strangers."""
    owner = {id(e.image): e.subject for e in request.retain}
    return [(i, owner[id(i)]) for i in distinct_images(request.retain)] + [(i, None) for i in request.strangers]


# -- hard negatives ---------------------------------------------------------------------------------------------------


def retained_subjects(shots: Sequence[Shot]) -> dict[str, list[int]]:
    """Places of the fitted pictures of each retained subject."""
    found: dict[str, list[int]] = {}
    for i, shot in enumerate(shots):
        if shot.place < 0 and shot.subject is not None and not shot.held_out and shot.view is None:
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
    """`HARD_VIEWS` views of each of the `count` nearest retained subjects, from pictures that are fitted on."""
    fitted: dict[int, list[Tensor]] = {}
    for shot, x in zip(shots, statistics, strict=True):
        if shot.place >= 0 and not shot.held_out:
            fitted.setdefault(shot.place, []).append(x)
    subjects = retained_subjects(shots)
    retained = {s: torch.stack([statistics[i] for i in places]) for s, places in subjects.items()}
    near = nearest_subjects([torch.stack(x) for x in fitted.values()], retained, count)
    return [shots[subjects[s][k % len(subjects[s])]].seen_again(rng) for s in near for k in range(HARD_VIEWS)]


# -- from pictures to a gate ------------------------------------------------------------------------------------------


def gate_from(
    shots: Sequence[Shot], statistics: Float[Tensor, "n f"], hidden: int, false_alarms: float, seed: int
) -> tuple[Gate, dict[str, Any]]:
    """Fit and calibrate a gate, and measure it on the pictures that were held out: the request's own, and views of them.

    False alarms are counted on retained pictures. Strangers teach the gate too, but one who looks like a forgotten person
    does not raise the threshold: nothing is known of strangers, so a false alarm on one takes no knowledge away.
    """
    place = torch.tensor([shot.place for shot in shots])
    held = torch.tensor([shot.held_out for shot in shots])
    view = torch.tensor([shot.view is not None for shot in shots])
    fitted = [statistics[(place == i) & ~held] for i in range(int(place.max()) + 1)]
    gate = fit_gate(fitted, statistics[(place < 0) & ~held], hidden, seed=seed)
    strange = torch.tensor([shot.stranger for shot in shots])
    going, staying = (place >= 0) & held, (place < 0) & held
    staying = staying & ~strange if (staying & ~strange).any() else staying
    judged = statistics[staying] if staying.any() else statistics[place < 0]
    report: dict[str, Any] = calibrate(gate, statistics[going], judged, false_alarms)
    own, views = statistics[going & ~view], statistics[going & view]
    measured = roc(gate, own, statistics[staying & ~view]).summary() if len(own) and staying.any() else {"auc": None}
    in_views = float((gate.margins(views) >= 0).float().mean()) if len(views) else None
    return gate, report | measured | {"caught_in_views": in_views}
