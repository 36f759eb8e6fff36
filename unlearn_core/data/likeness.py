"""How alike pictures are: to the eye, by a perceptual hash, and to the model, by statistics of their visual tokens. [ours]"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

SIDE = 16
MOST_BITS = 38
"""Of 256. JPEG, noise and other light change at most 35 in the demo world, and two people differ in at least 78."""
MOST_COLOUR = 40.0
"""Of 255 levels, mean over an 8 x 8 thumbnail. Tells plain pictures apart, in which the hash sees nothing."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is left of a picture when scale, compression and light are taken away.

    `bits` say whether it gets brighter from left to right at each place (a difference hash).
    """

    bits: Bool[np.ndarray, " 256"]
    colours: Float[np.ndarray, " 192"]


def fingerprint(image: Image.Image) -> Fingerprint:
    grey = np.asarray(image.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.LANCZOS), dtype=np.int16)
    colours = np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BOX), dtype=np.float32)
    return Fingerprint((grey[:, 1:] > grey[:, :-1]).ravel(), colours.ravel())


def near_duplicates(one: list[Fingerprint], other: list[Fingerprint]) -> list[tuple[int, int]]:
    """Places of pictures that are the same to the eye, in either list."""
    if not one or not other:
        return []
    bits, colours = np.stack([f.bits for f in other]), np.stack([f.colours for f in other])
    found = []
    for i, f in enumerate(one):
        alike = ((bits != f.bits).sum(1) <= MOST_BITS) & (np.abs(colours - f.colours).mean(1) <= MOST_COLOUR)
        found += [(i, int(j)) for j in np.flatnonzero(alike)]
    return found


def distances(one: Float[Tensor, "n f"], other: Float[Tensor, "m f"]) -> Float[Tensor, "n m"]:
    """Between statistics of visual tokens, each feature in units of its spread over both, per root of their number."""
    both = torch.cat([one, other]).float()
    scale = both.std(0, correction=0).clamp(min=1e-6) * one.shape[1] ** 0.5
    return torch.cdist(one.float() / scale, other.float() / scale)
