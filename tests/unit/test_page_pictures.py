"""Pictures of pages: what the comparison must see, and what it must not mind."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tests.e2e.pictures import compare
from tests.e2e.test_looks import QUALITY

SIZE = (640, 450)
LIGHT = {"ground": "#f6f8f9", "card": "#ffffff", "ink": "#16212a", "button": "#0f766e", "other": "#e2e8f0"}
DARK = {"ground": "#0d141a", "card": "#141d25", "ink": "#e6edf2", "button": "#0f766e", "other": "#24313c"}


def page(
    colours: dict[str, str],
    *,
    panel: int = 330,
    button: str | None = "button",
    second: str | None = "other",
    words: int = 0,
) -> Image.Image:
    """Two panels with lines of text and two buttons, drawn half as large as a page."""
    picture = Image.new("RGB", SIZE, colours["ground"])
    draw = ImageDraw.Draw(picture)
    for left in (20, panel):
        draw.rounded_rectangle((left, 60, left + 280, 400), 6, colours["card"])
        for line in range(14):
            draw.text((left + 10, 70 + 18 * line), f"{words or ''} a line of text that goes on {line}", colours["ink"])
    for left, kind in ((30, button), (120, second)):
        if kind is not None:
            draw.rounded_rectangle((left, 360, left + 75, 380), 4, colours[kind])
            draw.text((left + 10, 364), "Press", colours["ink"])
    return picture


def written_and_read(picture: Image.Image) -> Image.Image:
    """As those are that are kept."""
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=QUALITY)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
class TestPage:
    def test_the_same_page_is_alike(self, colours: dict[str, str]) -> None:
        found = compare(page(colours), page(colours))
        assert found.alike
        assert not found.blocks.any()

    def test_what_another_browser_draws_a_little_otherwise_is_alike(self, colours: dict[str, str]) -> None:
        before = page(colours)
        for after in (
            before.filter(ImageFilter.GaussianBlur(0.8)),
            ImageChops.offset(before, 1, 0),
            ImageChops.offset(before, 1, 1),
            written_and_read(before),
            page(colours, words=7),
        ):
            assert compare(before, after).alike

    def test_a_moved_panel_is_seen(self, colours: dict[str, str]) -> None:
        assert not compare(page(colours), page(colours, panel=350)).alike

    def test_a_lost_and_a_new_button_is_seen(self, colours: dict[str, str]) -> None:
        for lost in (page(colours, button=None), page(colours, second=None)):
            assert not compare(page(colours), lost).alike
            assert not compare(lost, page(colours)).alike

    def test_another_colour_is_seen(self, colours: dict[str, str]) -> None:
        assert not compare(page(colours), page({**colours, "button": "#b4480f"})).alike
        assert not compare(page(colours), page({**colours, "card": colours["other"]})).alike

    def test_what_is_added_below_is_seen_and_empty_ground_is_not(self, colours: dict[str, str]) -> None:
        before = page(colours)
        longer = Image.new("RGB", (SIZE[0], SIZE[1] + 40), colours["ground"])
        longer.paste(before)
        assert compare(before, longer).alike
        ImageDraw.Draw(longer).rectangle((20, 440, 620, 480), fill=colours["card"], outline=colours["ink"], width=3)
        assert not compare(before, longer).alike


def test_light_is_not_dark() -> None:
    assert not compare(page(LIGHT), page(DARK)).alike


def test_the_difference_is_shown_where_it_is() -> None:
    before, after = page(LIGHT), page(LIGHT, button=None)
    shown = compare(before, after).shown(before)
    assert shown.size == SIZE
    assert shown.getpixel((35, 370)) == before.getpixel((35, 370))
    assert shown.getpixel((400, 30)) != before.getpixel((400, 30))
