"""Looking closer at one answer: places, kinds of maps, the test of a map, heads, and files, without asking again."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect

from tests.e2e.driving import Server


def test_one_answer_is_seen_in_many_ways(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server.url)
    plot = page.locator("#inspect-map .js-plotly-plot")
    plot.locator(".heatmaplayer image").wait_for()
    page.wait_for_function("document.querySelector('#inspect-map .js-plotly-plot').dataset.hooked")
    plot.locator(".nsewdrag").first.click()
    expect(page.locator("#inspect-note [data-pick='0']")).to_contain_text("%")
    page.wait_for_function("document.querySelector('#inspect-map .js-plotly-plot').dataset.hooked")
    first = page.locator("#inspect-note").inner_text()
    plot.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#inspect-note")).not_to_have_text(first)

    page.locator("#inspect-check").click()
    expect(page.locator("#inspect-verdict b")).to_contain_text("%")
    page.locator("#inspect-falls .js-plotly-plot").wait_for()

    page.locator("#inspect-more .label-wrap").click()
    page.get_by_role("tab", name="Heads").click()
    head = page.locator("#inspect-heads-grid [data-pick='1,2']")
    head.click()
    expect(head).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#inspect-verdict")).to_be_hidden()  # it was said of another map

    page.get_by_role("tab", name="Save").click()
    with page.expect_download() as download:
        page.locator("#inspect-save [data-pick='npz']").click()
    with np.load(io.BytesIO(Path(download.value.path()).read_bytes()), allow_pickle=False) as data:
        assert (data["chosen_layers"].tolist(), data["chosen_heads"].tolist()) == ([1], [2])
        assert data["values"].shape == (256,)


def test_a_slow_map_can_be_stopped(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server.url)
    page.locator("#inspect-kind input").click()
    page.get_by_role("option", name="loss without each patch").click()
    page.locator("#inspect-stop").click()
    expect(page.locator("#inspect-kind input")).to_have_value("attention")
    expect(page.locator("#inspect-note")).to_contain_text("Click a place")
    expect(page.locator("#inspect-stop")).to_be_hidden()
