"""Tokens land on the pixels they come from; words on the tokens they come from."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unlearn_core.attention import (
    Word,
    difference,
    grid,
    image_share,
    picture_map,
    shared_scale,
    token_map,
    words,
)
from unlearn_core.attention.words import join
from unlearn_core.demo import build
from unlearn_core.vlm import VLM, Answer, Prompt, Rows, Tile, View
from unlearn_core.vlm.families import family_of

Picture = Callable[..., Image.Image]


def whole(rows: int, cols: int, box: tuple[float, float, float, float] = (0, 0, 1, 1), first: int = 0) -> Tile:
    return Tile(rows, cols, torch.arange(first, first + rows * cols), box)


def rows_of(layers: int = 2, heads: int = 3, tokens: int = 4, question: int = 5, side: int = 4) -> Rows:
    torch.manual_seed(0)
    answer, asked = (torch.rand(layers, heads, n, side * side).softmax(-1) * 0.8 for n in (tokens, question))
    share = torch.full((layers, heads, tokens), 0.1)
    return Rows(answer, asked, ("",) * question, (whole(side, side),), share, share / 2)


# -- geometry ---------------------------------------------------------------------------------------------------------


def seen(vlm: VLM, images: list[Image.Image]) -> list[View]:
    return vlm.see([Prompt(image, "Who?") for image in images])


def with_cell_changed(image: Image.Image, tile: Tile, cell: int) -> Image.Image:
    pixels = np.asarray(image).copy()
    width, height = image.size
    x0, y0, x1, y1 = tile.cell_box(*divmod(cell, tile.cols))
    area = slice(round(y0 * height), round(y1 * height)), slice(round(x0 * width), round(x1 * width))
    pixels[area] = 255 - pixels[area]
    return Image.fromarray(pixels)


def moved(vlm: VLM, image: Image.Image, cells: list[int]) -> list[int]:
    """For each cell of the picture's tile, the token that moves most when the pixels under this cell change."""
    (before,) = seen(vlm, [image])
    (tile,) = before.tiles
    after = seen(vlm, [with_cell_changed(image, tile, cell) for cell in cells])
    return [int((view.tokens - before.tokens).norm(dim=-1).argmax()) for view in after]


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (32, 48), (96, 64), (200, 150)])
def test_a_cell_changes_its_own_token_most_where_the_processor_crops(
    tiny_vlm: VLM, picture: Picture, size: tuple[int, int]
) -> None:
    image = picture(5, size)
    tile = seen(tiny_vlm, [image])[0].tiles[0]
    assert moved(tiny_vlm, image, list(range(16))) == tile.index.tolist()


def test_what_the_processor_cuts_off_is_neither_seen_nor_drawn(tiny_vlm: VLM, picture: Picture) -> None:
    pixels = np.asarray(picture(5, (48, 32))).copy()
    pixels[:, :8] = pixels[:, -8:] = 0
    before, after = seen(tiny_vlm, [picture(5, (48, 32)), Image.fromarray(pixels)])
    torch.testing.assert_close(before.tokens, after.tokens, atol=1e-6, rtol=0)  # threads may round differently
    drawn = picture_map(torch.ones(16), before.tiles, (48, 32))
    assert drawn[:, :8].isnan().all()
    assert drawn[:, -8:].isnan().all()
    assert (drawn[:, 8:-8] == 1).all()


@pytest.mark.parametrize("size", [(128, 128), (320, 200)])
def test_a_cell_changes_its_own_token_most_in_the_demo_geometry(picture: Picture, size: tuple[int, int]) -> None:
    processor = build.processor()
    vlm = VLM(build.model(processor, 0).eval(), processor, family_of("llava"), "random")
    cells = [0, 15, 240, 255, *range(7, 250, 23)]
    image = picture(5, size)
    assert seen(vlm, [image])[0].tiles[0].index.tolist() == list(range(256))
    assert moved(vlm, image, cells) == cells


def test_a_tokens_value_lands_on_the_pixels_of_its_cell(tiny_vlm: VLM, picture: Picture) -> None:
    image = picture(5, (96, 64))
    tiles = seen(tiny_vlm, [image])[0].tiles
    for cell in range(16):
        changed = np.asarray(with_cell_changed(image, tiles[0], cell)) != np.asarray(image)
        values = torch.zeros(16)
        values[tiles[0].index[cell]] = 1
        drawn = picture_map(values, tiles, image.size).nan_to_num(0) > 0
        assert np.array_equal(drawn.numpy(), changed.any(-1))


# -- maps -------------------------------------------------------------------------------------------------------------


def test_token_map_is_the_mean_of_what_is_chosen() -> None:
    rows = rows_of()
    torch.testing.assert_close(token_map(rows, [1, 3]), rows.answer[:, :, [1, 3]].mean((0, 1, 2)))
    torch.testing.assert_close(token_map(rows, [2], layers=[1], heads=[0, 2]), rows.answer[1, [0, 2], 2].mean(0))
    torch.testing.assert_close(token_map(rows, [4], of="question"), rows.question[:, :, 4].mean((0, 1)))
    torch.testing.assert_close(token_map(rows, range(4)).sum(), torch.tensor(0.8))


def test_token_map_does_not_average_nothing_or_what_is_not_there() -> None:
    for chosen in (([], None, None), ([0], [], None), ([0], None, [])):
        with pytest.raises(ValueError, match="at least one"):
            token_map(rows_of(), *chosen)
    with pytest.raises(IndexError):
        token_map(rows_of(), [4])


def test_image_share_is_what_falls_on_the_picture() -> None:
    share = image_share(rows_of())
    assert share.shape == (2, 3, 4)
    torch.testing.assert_close(share, torch.full((2, 3, 4), 0.8))
    assert image_share(rows_of(), of="question").shape == (2, 3, 5)


def test_image_share_stays_between_none_and_all(sharp_vlm: VLM, picture: Picture) -> None:
    (answer,) = sharp_vlm.ask([Prompt(picture(1), "Who is this?")], rows=True, max_new_tokens=6)
    assert answer.rows is not None
    share = image_share(answer.rows)
    assert share.shape == (2, 4, len(answer.ids))
    assert 0 <= share.min() <= share.max() <= 1 + 1e-5


def test_grid_follows_the_index_of_its_tile() -> None:
    values = torch.arange(10.0)
    tile = Tile(2, 3, torch.tensor([9, 8, 7, 0, 1, 2]), (0, 0, 1, 1))
    assert grid(values, tile).tolist() == [[9, 8, 7], [0, 1, 2]]


def test_picture_map_takes_the_nearest_cell() -> None:
    drawn = picture_map(torch.arange(4.0), [whole(2, 2)], (6, 4))
    assert drawn.tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2


def test_picture_map_averages_where_tiles_overlap() -> None:
    tiles = [whole(1, 1), whole(1, 2, (0.5, 0, 1, 1), first=1)]
    drawn = picture_map(torch.tensor([1.0, 3.0, 5.0]), tiles, (8, 1))
    assert drawn.tolist() == [[1, 1, 1, 1, 2, 2, 3, 3]]


def test_picture_map_leaves_out_what_lies_outside_the_picture() -> None:
    drawn = picture_map(torch.arange(16.0), [whole(4, 4, (-0.5, -0.5, 1.5, 1.5))], (2, 2))
    assert drawn.tolist() == [[5, 6], [9, 10]]


def test_picture_map_is_nan_where_nothing_was_seen() -> None:
    assert picture_map(torch.zeros(0), [], (3, 2)).isnan().all()
    drawn = picture_map(torch.ones(1), [whole(1, 1, (0.25, 0, 0.75, 1))], (4, 1))
    assert drawn.isnan().tolist() == [[True, False, False, True]]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 60), st.integers(1, 60))
def test_picture_map_covers_every_pixel_with_the_cell_it_lies_in(rows: int, cols: int, width: int, height: int) -> None:
    drawn = picture_map(torch.arange(float(rows * cols)), [whole(rows, cols)], (width, height))
    assert drawn.shape == (height, width)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cell = ((2 * y + 1) * rows // (2 * height)) * cols + (2 * x + 1) * cols // (2 * width)
    assert torch.equal(drawn.long(), cell)


def test_difference_is_after_minus_before() -> None:
    assert difference(torch.tensor([0.5, 0.1]), torch.tensor([0.2, 0.2])).tolist() == pytest.approx([0.3, -0.1])
    with pytest.raises(ValueError, match="shapes"):
        difference(torch.zeros(2, 2), torch.zeros(4))


def test_shared_scale_spans_all_maps() -> None:
    nan = float("nan")
    assert shared_scale(torch.tensor([[0.5, nan]]), torch.tensor([0.25, 2.0])) == (0.25, 2.0)
    for nothing in ((), (torch.tensor([nan]),), (torch.zeros(0),)):
        with pytest.raises(ValueError, match="no value"):
            shared_scale(*nothing)


def test_maps_of_the_demos_size_are_drawn_within_twenty_milliseconds() -> None:
    rows = rows_of(layers=4, heads=4, tokens=20, side=16)

    def draw() -> float:
        began = time.perf_counter()
        drawn = picture_map(token_map(rows, range(20)), rows.tiles, (128, 128))
        shared_scale(drawn, difference(drawn, drawn))
        return time.perf_counter() - began

    assert min(draw() for _ in range(20)) < 0.02


# -- words ------------------------------------------------------------------------------------------------------------


def texts(pieces: list[str]) -> list[str]:
    return [word.text for word in join(pieces)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        (["", ""], []),
        ([" "], []),
        ([" This", " is", " M", "ira", " O", "lden", "."], ["This", "is", "Mira", "Olden."]),
        (["baker"], ["baker"]),
        ([" 5", "5", "5", "-", "0", "1"], ["555-01"]),
        ([" a", " b", "a", " b", "a"], ["a", "ba", "ba"]),
        ([" a", ",", " b", " -", " c"], ["a,", "b", "-", "c"]),
        ([" ", "a", " ", "b"], ["a", "b"]),
        (["a ", "b"], ["a", "b"]),
        (["a\n", "\n", "b"], ["a", "b"]),
        ([" T", "arn", "", "ó", "w"], ["Tarnów"]),
        ([" Юр", "ий", " живёт"], ["Юрий", "живёт"]),
        ([" من", " هذا"], ["من", "هذا"]),
        (["这", "是", "面包", "师"], ["这", "是", "面包", "师"]),
        (["パン", "です", "。"], ["パン", "です。"]),
        ([" ", "", "", "👩", "\u200d", "🍳", " ok"], ["👩\u200d🍳", "ok"]),
    ],
)
def test_pieces_join_to_words(pieces: list[str], expected: list[str]) -> None:
    assert texts(pieces) == expected


def test_repeated_words_keep_their_own_places() -> None:
    assert join([" a", " b", "c", " a", " b", "c"]) == (
        Word("a", (0,)),
        Word("bc", (1, 2)),
        Word("a", (3,)),
        Word("bc", (4, 5)),
    )


def test_pieces_that_show_nothing_belong_to_what_follows() -> None:
    assert join(["", " a", "", "", "b", " ", "", "c", "", " "]) == (
        Word("ab", (0, 1, 2, 3, 4)),
        Word("c", (5, 6, 7, 8, 9)),
    )
    assert join(["a", "", " b"]) == (Word("a", (0,)), Word("b", (1, 2)))


@given(st.lists(st.text(" ab.é字👩\n", max_size=3), max_size=12))
def test_every_token_belongs_to_exactly_one_word(pieces: list[str]) -> None:
    found = join(pieces)
    if "".join(pieces).strip():
        assert [i for word in found for i in word.tokens] == list(range(len(pieces)))
    else:
        assert found == ()
    for word in found:
        assert word.text == "".join(pieces[i] for i in word.tokens).strip() != ""


def test_words_of_an_answer(tiny_vlm: VLM, picture: Picture) -> None:
    (answer,) = tiny_vlm.ask([Prompt(picture(1), "Who is this?")], max_new_tokens=12)
    assert [i for word in words(answer) for i in word.tokens] == list(range(len(answer.ids)))
    assert words(Answer("", (), (), ())) == ()
