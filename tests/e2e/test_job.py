"""The whole job: look, mark, unlearn, compare, take the result away, and use it in a fresh studio."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.driving import WAIT, Server, mark, share, start, turn_to, upload

FIT = 500_000.0
"""Milliseconds for a fit; on two idle cores it takes less than a minute."""
STEPS = 25
"""Enough to be seen to forget. What the methods reach is tested without the page."""
PEOPLE = ("p07", "p20")


def compare(page: Page) -> list[str]:
    """Compare and return all questions with their answers as they are shown."""
    page.locator("#compare-start").click()
    page.locator("#compare-rows .exam").wait_for(timeout=8 * WAIT)
    return page.locator("#compare-rows .exam li").all_inner_texts()


def test_an_answer_is_there_at_once_and_every_word_has_its_map(quiet: Server, visit: Callable[..., Page]) -> None:
    page = visit(quiet.url)
    heat = page.locator("#inspect-map .js-plotly-plot .heatmaplayer image")
    heat.wait_for()
    page.locator("#inspect-picker [data-pick='p07@0']").click()
    expect(page.locator("#inspect-title")).to_have_text("Otto Corvin")
    page.locator("#inspect-suggestions [data-pick='description']").click()
    expect(page.locator("#inspect-answer .said")).to_contain_text("hair")
    words = page.locator("#inspect-words .word")
    assert words.count() > 5
    whole = heat.get_attribute("href") or heat.get_attribute("xlink:href")
    words.nth(2).click()
    expect(words.nth(2)).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(
        "old => { const i = document.querySelector('#inspect-map .heatmaplayer image');"
        " return i && (i.getAttribute('href') || i.getAttribute('xlink:href')) !== old; }",
        arg=whole,
    )
    page.locator("#inspect-question textarea").fill("What colour is the shirt of this person?")
    page.locator("#inspect-ask").click()
    expect(page.locator("#inspect-answer .said")).not_to_contain_text("hair")


def test_one_answer_is_seen_in_many_ways(quiet: Server, visit: Callable[..., Page]) -> None:
    page = visit(quiet.url)
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


def test_a_slow_map_can_be_stopped(quiet: Server, visit: Callable[..., Page]) -> None:
    page = visit(quiet.url)
    page.locator("#inspect-kind input").click()
    page.get_by_role("option", name="loss without each patch").click()
    page.locator("#inspect-stop").click()
    expect(page.locator("#inspect-kind input")).to_have_value("attention")
    expect(page.locator("#inspect-note")).to_contain_text("Click a place")
    expect(page.locator("#inspect-stop")).to_be_hidden()


def forget(page: Page) -> None:
    """From a picture on the first page to a run that is done."""
    page.locator(f"#inspect-picker [data-pick='{PEOPLE[0]}@0']").click()
    expect(page.locator("#inspect-title")).to_have_text("Otto Corvin")
    page.locator("#inspect-forget").click()
    expect(page.locator("#forget-picker [aria-checked=true]")).to_have_count(1)
    page.locator(f"#forget-picker [data-pick='{PEOPLE[1]}']").click()
    expect(page.locator("#forget-summary .goes")).to_contain_text("2 people")
    page.locator("#forget-onward").click()
    start(page, "cvf", STEPS)
    page.locator("#unlearn-onward").wait_for(timeout=FIT)
    expect(page.locator("#unlearn-progress")).to_contain_text("done")
    page.locator("#unlearn-onward").click()


def compare_and_look_closer(page: Page) -> list[str]:
    """What the comparison says. Facts must be gone and others kept."""
    rows, facts, others = compare(page), "To forget, other pictures", "Others"
    assert share(page, facts, 4) < share(page, facts, 3) / 2
    assert share(page, others, 4) > share(page, others, 3) - 0.1
    page.locator("#compare-rows button[data-pick='0']").click()
    for which in ("before", "after", "change"):
        page.locator(f"#closer-{which}-map .js-plotly-plot").wait_for()
    return rows


@pytest.fixture
def elsewhere(serve: Callable[[], Server]) -> Server:
    """A studio that learned nothing."""
    return serve()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_was_learned_is_taken_elsewhere(
    quiet: Server, elsewhere: Server, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit(quiet.url)
    forget(page)
    before = compare_and_look_closer(page)
    turn_to(page, "Export")
    page.locator("#export-make").click()
    page.locator("#export-download").wait_for()
    with page.expect_download() as download:
        page.locator("#export-download").click()
    bundle = tmp_path / download.value.suggested_filename
    download.value.save_as(bundle)

    page = visit(elsewhere.url)
    mark(page, *PEOPLE)
    turn_to(page, "Export")
    upload(page, "#import-upload", bundle)
    expect(page.locator("#import-told")).to_contain_text("Imported")
    page.locator("#import-compare").click()
    expect(page.locator("#compare-about")).to_contain_text("Otto Corvin")
    assert compare(page) == before
    page.close()
    elsewhere.stop()
    assert not any(elsewhere.temporary.iterdir()), "temporary files go with the studio"
