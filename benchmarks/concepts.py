"""Draw the pictures of docs/concepts.md from the demo model. Measures nothing.

    python -m benchmarks.concepts

Writes docs/img/concept_tokens.png, concept_request.png and concept_chosen.png.
"""

from __future__ import annotations

import io

import torch
from PIL import Image, ImageDraw

from benchmarks.plots import FORGET, IMAGES, KEEP
from unlearn_core import VLM, Example, Prompt
from unlearn_core.attention import look
from unlearn_core.demo.request import forget_request
from unlearn_core.demo.world import person, photograph
from unlearn_core.methods.cagul.cache import Frozen
from unlearn_core.methods.cagul.config import CagulConfig
from unlearn_core.methods.cagul.layers import layers_of
from unlearn_core.vlm.loading import DEMO

WHO, QUESTION = "p07", "What is the job of this person?"
GRID, SIDE, GAP = 16, 384, 16
"""Visual tokens in a row of the demo model, pixels of a picture, and between two."""
CELL = SIDE // GRID


def row(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one height side by side on white."""
    whole = Image.new("RGB", (sum(p.width + GAP for p in pictures) - GAP, pictures[0].height), "white")
    at = 0
    for picture in pictures:
        whole.paste(picture, (at, 0))
        at += picture.width + GAP
    return whole


def gridded(picture: Image.Image) -> Image.Image:
    """The picture, cut where the vision tower cuts it."""
    out = picture.copy()
    draw = ImageDraw.Draw(out)
    for at in range(0, SIDE + 1, CELL):
        draw.line([(at, 0), (at, SIDE)], fill="white")
        draw.line([(0, at), (SIDE, at)], fill="white")
    return out


def chosen(vlm: VLM, picture: Image.Image) -> list[int]:
    """The visual tokens that CAGUL would rewrite for this picture and question."""
    config = CagulConfig()
    frozen = Frozen(vlm, layers_of(config.layer, vlm.layers), config.ratio, config.select)
    with torch.no_grad():
        return frozen.chosen([Example("one", picture, QUESTION, "")])[0].tolist()


def covered(picture: Image.Image, tokens: list[int]) -> Image.Image:
    """The picture with these visual tokens under a colour."""
    veil = Image.new("RGB", picture.size, FORGET)
    mask = Image.new("L", picture.size, 0)
    for token in tokens:
        x, y = token % GRID * CELL, token // GRID * CELL
        ImageDraw.Draw(mask).rectangle([x + 1, y + 1, x + CELL - 2, y + CELL - 2], fill=190)
    return Image.composite(veil, picture, mask)


def framed(picture: Image.Image, colour: str) -> Image.Image:
    out = Image.new("RGB", (140, 140), colour)
    out.paste(picture.resize((128, 128)), (6, 6))
    return out


def main() -> None:
    vlm = VLM.load(DEMO)
    shown = photograph(person(WHO), 1).image
    large = shown.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    seen = Image.open(io.BytesIO(look(vlm, Prompt(shown, QUESTION)).png())).convert("RGB")
    seen = seen.resize((seen.width * SIDE // seen.height, SIDE), Image.Resampling.LANCZOS)
    row([large, gridded(large), seen]).save(IMAGES / "concept_tokens.png")
    row([large, covered(gridded(large), chosen(vlm, shown))]).save(IMAGES / "concept_chosen.png")

    request = forget_request([WHO], pictures=3, retain_pictures=1)
    sides = ((request.forget, FORGET, 3), (request.retain, KEEP, 5))
    frames = [
        framed(image, colour)
        for side, colour, most in sides
        for image in list({id(e.image): e.image for e in side if e.image is not None}.values())[:most]
    ]
    row(frames).save(IMAGES / "concept_request.png")


if __name__ == "__main__":
    main()
