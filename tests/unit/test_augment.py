"""Augmented views: the same generator gives the same view, and no size or mode is too odd."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unlearn_core.data.augment import ALTERATIONS, LONGEST, alter, augment


def picture(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ALTERATIONS)
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 900), (3000, 2), (48, 40)])
def test_every_alteration_takes_every_size(kind: str, size: tuple[int, int]) -> None:
    out = alter(picture(size), kind, np.random.default_rng(1))
    assert out.mode == "RGB"
    assert out.size == (size if max(size) <= LONGEST else (LONGEST, 1))


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_every_alteration_changes_the_picture_and_leaves_the_original(kind: str) -> None:
    image = picture((48, 40))
    before = image.tobytes()
    assert alter(image, kind, np.random.default_rng(1)).tobytes() != before
    assert image.tobytes() == before


def test_a_view_depends_on_picture_and_generator_alone() -> None:
    image = picture((48, 40))
    views = [augment(image, np.random.default_rng(seed)).tobytes() for seed in (3, 3, 4)]
    assert views[0] == views[1] != views[2]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    for seed in range(8):
        view = augment(picture((16, 12)).convert(mode), np.random.default_rng(seed))
        assert (view.mode, view.size) == ("RGB", (16, 12))


def test_cover_and_flip_do_what_they_say() -> None:
    image = picture((40, 40))
    mirrored = np.asarray(alter(image, "flip", np.random.default_rng(0)))
    assert (mirrored == np.asarray(image)[:, ::-1]).all()
    same = (np.asarray(alter(image, "cover", np.random.default_rng(0))) == np.asarray(image)).all(-1).mean()
    assert 0.8 <= same < 1
