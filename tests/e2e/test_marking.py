"""Mark what must go: an answer, a region on its picture; what cannot be marked costs nothing of the page."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.driving import Server, told, turn_to, upload
from unlearn_core.demo import world
from unlearn_core.runs.shelf import Shelf

EDGES = ("left", "top", "right", "bottom")


def edges(page: Page) -> list[float]:
    return [float(page.locator(f"#own-{edge} input").input_value() or "nan") for edge in EDGES]


def test_a_picture_that_cannot_be_read_leaves_all_cards_and_the_next_one_is_shown(
    quiet: Server, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit(quiet.url)
    cards = page.locator("#inspect-picker .card")
    count = cards.count()
    bad, good = tmp_path / "bad.png", tmp_path / "good.png"
    bad.write_bytes(b"no picture")
    world.photograph(world.people()[5], 1).image.save(good)
    upload(page, "#inspect-upload", bad)
    expect(told(page)).to_contain_text("could not be read as a picture")
    page.wait_for_timeout(1000)
    expect(cards).to_have_count(count)
    expect(page.locator("#inspect-picker [aria-checked=true]")).to_have_count(1)
    upload(page, "#inspect-upload", good)
    expect(page.locator("#inspect-title")).to_have_text("good.png")
    expect(page.locator("#inspect-picker [aria-checked=true]")).to_have_count(0)
    expect(cards).to_have_count(count)


def test_an_answer_is_marked_with_a_region_by_hand_by_key_and_by_number(
    quiet: Server, visit: Callable[..., Page]
) -> None:
    page = visit(quiet.url)
    answer = page.locator("#inspect-answer .said").inner_text()
    page.locator("#inspect-this").click()
    stage = page.locator("#own-stage .stage")
    expect(stage).to_be_in_viewport()
    page.wait_for_timeout(1000)  # it is scrolled to
    box = stage.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.9 * box["height"], steps=3)
    page.mouse.up()
    expect(page.locator("#own-stage")).to_contain_text("must be forgotten")
    assert edges(page) == pytest.approx([10, 20, 60, 90], abs=1)
    before = edges(page)
    stage.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    expect(page.locator("#own-left input")).not_to_have_value(f"{before[0]:g}")
    assert edges(page) == pytest.approx([before[0] + 2, before[1], before[2] + 2, before[3] - 2], abs=0.11)
    expect(stage).to_be_focused()
    page.locator("#own-left input").fill("25")
    page.keyboard.press("Enter")
    expect(stage).to_have_attribute("data-box", re.compile(r"^\[0\.25, "))
    page.locator("#own-use").click()
    expect(page.locator("#forget-summary")).to_contain_text("1 answer about pictures of 1 person")
    expect(page.locator("#own-report")).to_contain_text("The model knows all 1")
    expect(page.locator("#forget-picker .card")).to_have_count(world.PEOPLE)
    shelf = Shelf(quiet.workspace / "requests")
    request = shelf.load(shelf.saved()[0].id)
    assert [(e.answer, e.region and e.region.x0) for e in request.forget] == [(answer, 0.25)]


def test_a_region_is_drawn_with_a_finger_on_inspect_and_goes_with_the_answer(
    quiet: Server, visit: Callable[..., Page]
) -> None:
    page = visit(quiet.url, 390, 844)
    page.locator("#inspect-box").click()
    stage = page.locator("#inspect-part-stage .stage")
    stage.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    scrolled = page.evaluate("scrollY")
    finger(page, stage.bounding_box(), (0.2, 0.1), (0.7, 0.8))
    expect(page.locator("#inspect-part-stage")).to_contain_text("must be forgotten")
    assert page.evaluate("scrollY") == scrolled, "the finger draws and does not scroll"
    page.locator("#inspect-suggestions [data-pick='job']").click()
    expect(page.locator("#inspect-suggestions [data-pick='job']")).to_have_attribute("aria-pressed", "true")
    page.locator("#inspect-this").click()
    expect(page.locator("#own-stage")).to_contain_text("must be forgotten")
    assert edges(page) == pytest.approx([20, 10, 70, 80], abs=1.5)


def finger(page: Page, box: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag with one finger, from and to places in parts of a box."""
    devices = page.context.new_cdp_session(page)
    devices.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    places = [tuple(a + (b - a) * k / 4 for a, b in zip(start, end, strict=True)) for k in range(5)]
    for kind, (x, y) in zip(("touchStart", *["touchMove"] * 4), places, strict=True):
        at = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        devices.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at]})
    devices.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_what_the_model_does_not_know_cannot_be_used_and_the_page_stays(
    quiet: Server, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit(quiet.url)
    turn_to(page, "Forget")
    page.locator("#own > button").click()
    with zipfile.ZipFile(tmp_path / "stranger.zip", "w") as archive:
        with archive.open("a.png", "w") as file:
            world.photograph(world.stranger(4), 1).image.save(file, "PNG")
        row = {
            "file_name": "a.png",
            "side": "forget",
            "subject": "Nobody",
            "question": "Which pet?",
            "answer": "dragon",
        }
        archive.writestr("metadata.jsonl", json.dumps(row) + "\n")
    upload(page, "#own-file", tmp_path / "stranger.zip")
    page.locator("#own-strip button").wait_for()
    page.locator("#own-use").click()
    expect(told(page)).to_contain_text("there is nothing that it could forget")
    expect(page.locator("#own-use")).to_be_enabled()
    expect(page.locator("#forget-picker .card")).to_have_count(world.PEOPLE)
    expect(page.locator("#forget-summary")).to_contain_text("Nobody is marked yet")
