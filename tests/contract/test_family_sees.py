"""Every family is loaded as it lies on the hub, and sees pictures of all shapes and kinds where they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.contract.family import SQUARE, TALL, WIDE, Picture, outcome
from tests.contract.zoo import ZOO
from unlearn_core.vlm import VLM, Prompt, Tile
from unlearn_core.vlm.errors import BadImage
from unlearn_core.vlm.families import FAMILIES


def test_every_family_has_a_model_in_the_zoo() -> None:
    assert set(ZOO) - {"paligemma2"} == set(FAMILIES)


def test_checkpoints_in_the_older_layout_load_alike(
    vlm: VLM, folder: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    """As on the hub: a file for each part of the processor, those for pictures named after the torchvision kind."""
    older = Path(shutil.copytree(folder, tmp_path / "older"))
    whole = json.loads((older / "processor_config.json").read_text())
    cutter = whole.pop("image_processor")
    cutter["image_processor_type"] = cutter["image_processor_type"].removesuffix("Pil") + "Fast"
    (older / "processor_config.json").write_text(json.dumps(whole))
    (older / "preprocessor_config.json").write_text(json.dumps(cutter | {"processor_class": whole["processor_class"]}))
    (older / "video_preprocessor_config.json").write_text('{"video_processor_type": "Qwen2VLVideoProcessor"}')
    assert outcome(VLM.load(older, device="cpu"), prompts[:2]) == outcome(vlm, prompts[:2])


def test_there_are_as_many_places_as_tokens(vlm: VLM, prompts: list[Prompt]) -> None:
    batch = vlm.batch(prompts)
    tokens = vlm.tokens(batch)
    placed = [len(v) for v in batch.visual if len(v)]
    assert placed == ([len(t) for t in tokens] if vlm.family.in_sequence else [1] * len(tokens))
    assert all(t.shape[1] == vlm.width for t in tokens)
    for view in vlm.see(prompts):
        places = torch.cat([t.index for t in view.tiles]) if view.tiles else torch.zeros(0)
        assert len(places) == len(places.unique())
        assert len(places) <= len(view.tokens)
        assert all(len(t.index) == t.rows * t.cols for t in view.tiles)
        assert bool(view.tiles) == bool(len(view.tokens))


def test_pictures_are_seen_alike_alone_and_together(vlm: VLM, prompts: list[Prompt]) -> None:
    together, alone = vlm.see(prompts), vlm.see(prompts, batch_size=1)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.tokens, b.tokens, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [WIDE, TALL, SQUARE])
def test_a_token_lies_where_its_pixels_are(vlm: VLM, picture: Picture, size: tuple[int, int]) -> None:
    """The pixels under a cell move that cell's token most among the tokens of its tile."""
    base = picture(0, size)
    view = vlm.see([Prompt(base, "Who?")])[0]
    cells = [(tile, r, c) for tile in view.tiles for r in range(tile.rows) for c in range(tile.cols)]
    inside = [cell for cell in cells if all(-0.01 <= x <= 1.01 for x in cell[0].cell_box(cell[1], cell[2]))]
    assert len(inside) >= 0.5 * len(cells)
    with torch.no_grad():
        seen = vlm.encode([inverted(base, *cell) for cell in inside])
    moved = [(t - view.tokens).norm(dim=-1) for t in seen]
    hits = [int(m[tile.index].argmax()) == r * tile.cols + c for m, (tile, r, c) in zip(moved, inside, strict=True)]
    assert sum(hits) >= 0.9 * len(hits), f"{sum(hits)} of {len(hits)}"


def inverted(image: Image.Image, tile: Tile, row: int, col: int) -> Image.Image:
    """The picture with one cell in its opposite colours."""
    x0, y0, x1, y1 = tile.cell_box(row, col)
    w, h = image.size
    box = round(x0 * w), round(y0 * h), round(x1 * w), round(y1 * h)
    out = image.copy()
    out.paste(ImageOps.invert(image.crop(box)), box)
    return out


NARROW = [(1, 1), (1, 60), (60, 1), (2, 90), (400, 3), (3, 1000)]


@pytest.mark.parametrize("size", NARROW, ids=str)
def test_very_small_and_narrow_pictures_are_seen_or_refused(vlm: VLM, picture: Picture, size: tuple[int, int]) -> None:
    shown = [Prompt(picture(1, size), "Who?")]
    if vlm.family.model_type.startswith("qwen") and max(size) > 200 * min(size):
        with pytest.raises(BadImage, match=f"{size[0]} x {size[1]}"):
            vlm.see(shown)
        return
    view = vlm.see(shown)[0]
    assert len(view.tokens) == len(vlm.batch(shown).visual[0]) or not vlm.family.in_sequence
    assert torch.isfinite(view.tokens).all()
    assert max(int(t.index.max()) for t in view.tiles) < len(view.tokens)
    assert vlm.ask(shown, max_new_tokens=1)


def test_pictures_of_every_mode_are_seen_alike(vlm: VLM, picture: Picture) -> None:
    grey = picture(1, WIDE).convert("L")
    shown = {mode: grey.convert(mode) for mode in ("RGB", "L", "RGBA", "P", "CMYK", "LA", "1")}
    shown["I;16"] = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    assert all(image.mode == mode for mode, image in shown.items())
    tokens = {mode: vlm.encode([image])[0] for mode, image in shown.items()}
    assert torch.isfinite(tokens.pop("1")).all(), "of one bit there is only black and white"
    assert all(torch.equal(seen, tokens["RGB"]) for seen in tokens.values())
    assert len(vlm.ask([Prompt(image, "Who?") for image in shown.values()], max_new_tokens=1)) == len(shown)


def test_a_turned_photograph_is_seen_upright(vlm: VLM, picture: Picture) -> None:
    lying = picture(1, WIDE)
    lying.getexif()[0x0112] = 6
    upright = lying.transpose(Image.Transpose.ROTATE_270)
    ours, theirs = vlm.see([Prompt(lying, "Who?"), Prompt(upright, "Who?")])
    torch.testing.assert_close(ours.tokens, theirs.tokens)
    assert [(t.rows, t.cols, t.box) for t in ours.tiles] == [(t.rows, t.cols, t.box) for t in theirs.tiles]
