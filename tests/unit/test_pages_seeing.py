"""What page 1 draws of an answer: right numbers, escaped texts, bounded memory, and files that read back."""

from __future__ import annotations

import io
import itertools
import re
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace as Namespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components import answers, figures, looking
from components.boxing import Boxed, boxed
from components.deeper import file_of
from components.gallery import Shown
from components.looking import EVERYTHING, GRADIENT, KINDS, RELATIVE, Choice, Looked, Maps, heat, look, prepare
from components.session import Desk, Gone
from unlearn_core.attention import Faithfulness, Word, drawing
from unlearn_core.data.region import Region
from unlearn_core.vlm import VLM, Answer, Rows, Tile

Picture = Callable[..., Image.Image]
HOSTILE = "<img src=x onerror=alert(1)>"
CROPPED = Tile(4, 4, torch.arange(16), (0.25, 0, 0.75, 1))
FINER = Tile(2, 3, torch.arange(16, 22), (-0.1, 0, 1.1, 1), "tile")


def looked_with(looks: torch.Tensor, image: Image.Image, *tiles: Tile, text: str = HOSTILE) -> Looked:
    """An answer of as many words as `looks` (layers, heads, words, visual tokens) has."""
    layers, heads, count, _ = looks.shape
    share = torch.full((layers, heads, count), 0.1)
    rows = Rows(looks, looks, ("",) * count, tiles, share, share)
    said = Answer(text, tuple(range(count)), (text,) * count, (-0.1,) * count, rows)
    return Looked(Shown("x", "x", image), "Who?", said, tuple(Word(text, (i,)) for i in range(count)))


@pytest.fixture(scope="module")
def looked(picture: Picture) -> Looked:
    looks = torch.rand(2, 3, 4, 22, generator=torch.Generator().manual_seed(0)) / 44
    looks[..., 7] = 0.5  # a sink
    return looked_with(looks, picture(1, (90, 60)), CROPPED, FINER)


# -- memory -----------------------------------------------------------------------------------------------------------


def test_maps_stay_within_their_bytes_and_the_one_used_longest_ago_goes_first() -> None:
    maps = Maps(limit=3000)
    for name in "abc":
        maps.put(name, torch.zeros(250))
    assert maps.nbytes() == 3000
    maps.get("a")
    maps.put("d", torch.zeros(250))
    assert [name in maps for name in "abcd"] == [True, False, True, True]
    assert maps.nbytes() == 3000
    maps.put("e", torch.zeros(10_000))
    assert "e" in maps, "the newest stays, however large it is"
    assert maps.nbytes() == 40_000


def test_sessions_stay_within_their_bytes_and_leave_nothing_behind() -> None:
    class Thing:
        def nbytes(self) -> int:
            return 100

    desk = Desk(limit=300)
    for session in "abcd":
        desk.put(session, "looked", Thing())
        desk.put(session, "closer", "tells no size")
        if session == "c":
            desk.get("a", "looked", Thing)
    assert (len(desk), desk.nbytes()) == (3, 300)
    with pytest.raises(Gone):
        desk.get("b", "looked", Thing)
    desk.clear("a")
    assert (len(desk), desk.nbytes()) == (2, 200)


def test_what_is_asked_again_of_a_picture_finds_its_generic_map(sharp_vlm: VLM, picture: Picture) -> None:
    shown, choice = Shown("x", "x", picture(1)), Choice(kind=RELATIVE)
    first = look(sharp_vlm, shown, "Who is this?", "m")
    with pytest.raises(KeyError):
        heat(first, choice)
    deque(prepare(sharp_vlm, first, choice), maxlen=0)
    again = look(sharp_vlm, shown, "What is the job?", "m", first)
    assert again.maps.get(RELATIVE) is first.maps.get(RELATIVE)
    assert RELATIVE not in look(sharp_vlm, shown, "Who is this?", "other", first).maps
    assert first.nbytes() > look(sharp_vlm, shown, "Who is this?", "m").nbytes() > 0


# -- maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_map_is_made_once_and_drawn(kind: str, sharp_vlm: VLM, picture: Picture) -> None:
    found = look(sharp_vlm, Shown("x", "x", picture(1, (48, 32))), "Who is this?")
    choice = Choice(words=(0,), layers=(1,), heads=(0, 2), kind=kind, place=(0.5, 0.5)).of(found)
    deque(prepare(sharp_vlm, found, choice), maxlen=0)
    assert list(prepare(sharp_vlm, found, choice)) == []
    low, high = looking.scale(found, choice)
    drawn = heat(found, choice)
    assert drawn.isnan().any(), "the processor cuts off both sides"
    assert low <= drawn.nan_to_num(0).min()
    assert drawn.nan_to_num(0).max() <= high
    assert (low < 0) == KINDS[kind].signed
    figure: Any = answers.heat_map(found, choice)
    assert (figure.data[0].zmin, figure.data[0].zmax) == pytest.approx((low, high), abs=1e-5)
    if kind == GRADIENT:
        assert drawn.nan_to_num(0).max() > 0


def test_hidden_sinks_are_clear_and_their_share_is_said(looked: Looked) -> None:
    shown, hidden = heat(looked), heat(looked, replace(EVERYTHING, hide=True))
    assert float(shown.nan_to_num(0).max()) > 10 * float(hidden.nan_to_num(0).max())
    mean = looked.answer.rows.answer.mean((0, 1, 2)) if looked.answer.rows else torch.zeros(0)
    assert f"{float(mean[7] / mean.sum()):.0%} of what falls" in answers.note(looked, EVERYTHING)


def test_words_that_looked_at_a_place_come_in_order(picture: Picture) -> None:
    looks = torch.full((1, 1, 3, 16), 0.001)
    looks[0, 0, :, 5] = torch.tensor([0.1, 0.3, 0.2])
    found = looked_with(looks, picture(1), Tile(4, 4, torch.arange(16), (0, 0, 1, 1)))
    said = answers.note(found, Choice(place=(0.3, 0.3)))
    assert re.findall(r'data-pick="(\d)"', said) == ["1", "2", "0"]
    assert re.findall(r"([\d.]+)%</small>", said) == ["30.00", "20.00", "10.00"]
    assert "Click a place" in answers.note(found, Choice(place=(2.0, 0.3)))


def test_nothing_that_a_model_said_becomes_markup(looked: Looked) -> None:
    choice = Choice(words=(1,), place=(0.5, 0.5))
    pages = [answers.words(looked, choice), answers.note(looked, choice), answers.head_grid(looked, choice)]
    drawn = [answers.part_bars(looked, choice), answers.share_lines(looked, choice), answers.heat_map(looked, choice)]
    for text in [*pages, *(str(figure.to_json()) for figure in drawn), file_of(looked, choice, "svg").decode()]:
        assert "<img src=x" not in text.replace("\\u003c", "<")


def test_a_word_tells_how_its_attention_is_shared_out(picture: Picture) -> None:
    looks = torch.full((1, 1, 1, 16), 0.5 / 16)
    page = answers.words(looked_with(looks, picture(1), CROPPED), EVERYTHING)
    assert "50% on the picture, 10% on the question, 10% on the answer before it, 30% on the rest" in page


def test_a_region_on_inspect_is_of_the_picture_that_is_shown(picture: Picture) -> None:
    studio, one, other = Namespace(desk=Desk()), Shown("a", "a", picture(1)), Shown("a", "a", picture(1))
    studio.desk.put("s", "boxed", Boxed(one, Region(0, 0, 0.5, 1)))
    found = [boxed(studio, session, shown) for session, shown in (("s", one), ("s", other), ("t", one))]  # type: ignore[arg-type]
    assert found == [Region(0, 0, 0.5, 1), None, None]


def test_clicks_choose_words_and_heads() -> None:
    one = answers.pick_word(EVERYTHING, "2", False)
    both = answers.pick_word(one, "0", True)
    assert (one.words, both.words) == ((2,), (0, 2))
    assert answers.pick_word(both, "2", True).words == (0,)
    assert answers.pick_word(both, answers.WHOLE, False).words == answers.pick_word(both, HOSTILE, False).words == ()
    head = answers.pick_head(EVERYTHING, "1,3")
    assert (head.layers, head.heads) == ((1,), (3,))
    assert answers.pick_head(head, "1,3") == answers.pick_head(EVERYTHING, HOSTILE) == EVERYTHING


def test_what_an_answer_does_not_have_is_not_chosen(looked: Looked) -> None:
    assert Choice((0, 9), (1, 2), (2, 3)).of(looked) == Choice((0,), (1,), (2,))


def test_a_small_map_stands_for_its_layer_and_head(looked: Looked) -> None:
    page = answers.head_grid(looked, Choice(layers=(1,), heads=(2,)))
    assert re.findall(r'data-pick="([\d,]+)"', page) == ["0,0", "0,1", "0,2", "1,0", "1,1", "1,2"]
    assert re.findall(r'data-pick="([\d,]+)"[^>]*aria-pressed="true"', page) == ["1,2"]


@pytest.mark.parametrize(
    ("marked", "random", "whole", "says"),
    [
        (2.0, 0.1, 3.0, "matters more"),
        (0.5, 1.0, 3.0, "no more"),
        (0.01, 0.02, 0.03, "hardly depend"),
    ],
)
def test_the_verdict_says_what_was_found(marked: float, random: float, whole: float, says: str) -> None:
    found = Faithfulness(9, 9, -0.1, (0.1, 0.2, 0.3), (marked,) * 3, ((random, random),) * 3, whole)
    assert says in answers.verdict(found)


# -- colours ----------------------------------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes (2009), full deficiency, on linear RGB.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(stop: Any, matrix: Any) -> np.ndarray:
    """CIELAB of a colour as somebody sees whose eyes the matrix describes."""
    rgb = np.array([float(x) for x in str(stop).partition("(")[2].split(",")[:3]]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    f = np.cbrt(np.clip(np.array(xyz) @ np.clip(np.array(matrix) @ linear, 0, 1) / [0.9505, 1, 1.089], 0.0089, None))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", BLIND)
def test_scales_can_be_read_without_telling_all_colours(eyes: str) -> None:
    """Heat grows lighter all along; the two ends of a difference are far apart (2.3 is just noticeable)."""
    lightness = [lab(colour, BLIND[eyes])[0] for _, colour in figures.HEAT_SOLID]
    assert all(b > a - 0.5 for a, b in itertools.pairwise(lightness))
    assert lightness[-1] - lightness[0] > 60
    ends = [lab(figures.CHANGE[i][1], BLIND[eyes]) for i in (0, -1)]
    assert np.linalg.norm(ends[0] - ends[1]) > 40


# -- files ------------------------------------------------------------------------------------------------------------


def test_numbers_read_back_without_pickle(looked: Looked) -> None:
    choice = Choice(words=(1,), heads=(2,))
    with np.load(io.BytesIO(file_of(looked, choice, "npz")), allow_pickle=False) as data:
        assert looked.rows is not None
        np.testing.assert_allclose(data["values"], looked.rows.answer[:, 2, 1].mean(0))
        assert data["words"].tolist() == [HOSTILE] * 4
        assert (data["chosen_words"].tolist(), data["chosen_layers"].tolist()) == ([1], [])
        assert data["tile_1_tokens"].tolist() == [[16, 17, 18], [19, 20, 21]]
        assert data["tile_0_box"].tolist() == [0.25, 0, 0.75, 1]


def test_a_drawing_has_one_rectangle_for_each_patch_with_its_value(picture: Picture) -> None:
    looks = torch.arange(1.0, 17).view(1, 1, 1, 16) / 1000
    found = looked_with(looks, picture(1, (48, 32)), CROPPED)
    root = ET.fromstring(file_of(found, EVERYTHING, "svg"))
    cells = root.findall("{*}rect/{*}title/..")
    assert [float(cell[0].text or "nan") for cell in cells] == pytest.approx(looks.flatten().tolist(), rel=1e-4)
    assert (float(cells[0].attrib["x"]), float(cells[0].attrib["width"])) == (240, 120)
    assert [text.text for text in root.findall("{*}text")] == [
        "0",
        "0.008",
        "0.016",
        "share of attention: whole answer",
    ]


def test_a_picture_shows_the_map_where_it_is_and_the_photograph_elsewhere(picture: Picture) -> None:
    image = Image.new("RGB", (48, 32), "lime")
    found = looked_with(torch.ones(1, 1, 1, 16) / 16, image, CROPPED)
    with Image.open(io.BytesIO(file_of(found, EVERYTHING, "png"))) as drawn:
        assert drawn.width == drawing.SIDE
        assert drawn.getpixel((10, 10)) == drawn.getpixel((950, 10)) == (0, 255, 0)
        assert drawn.getpixel((480, 320)) != (0, 255, 0)


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (400, 3)])
def test_very_small_and_narrow_pictures_are_drawn(size: tuple[int, int], picture: Picture) -> None:
    found = looked_with(torch.rand(1, 2, 2, 22), picture(1, size), CROPPED, FINER)
    answers.heat_map(found, EVERYTHING)
    answers.head_grid(found, EVERYTHING)
    for kind in ("png", "svg", "npz"):
        assert file_of(found, EVERYTHING, kind)
