"""Page Compare: two runs and the retain-only model on the same questions, looked at from all sides."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.driving import MODEL, Server, share, turn_to
from tests.e2e.stored import quick_suite, request_about, store, write_down
from unlearn_core.data.example import REFUSAL
from unlearn_core.demo import world
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.suite import SPLITS, Side, Split
from unlearn_core.vlm import VLM
from unlearn_core.vlm.presets import RETAIN_ONLY

HOSTILE = "=1+1<img src=x onerror=window.hacked=1>"
FORGET = [split for split, about in SPLITS.items() if about.side is Side.FORGET]


def knows(split: Split, probe: Probe) -> tuple[str, float]:
    return probe.truth, -0.01


def forgot(split: Split, probe: Probe) -> tuple[str, float]:
    return (REFUSAL, -5.0) if split in FORGET else knows(split, probe)


def leaks_once(split: Split, probe: Probe) -> tuple[str, float]:
    """Refuses what must go but for one question, of which it says the truth in other words."""
    if split is Split.FORGET and probe.truth == world.person("p07").facts["job"]:
        return f"{HOSTILE} I think {probe.truth.upper()}", -9.0
    return forgot(split, probe)


def broken(split: Split, probe: Probe) -> tuple[str, float]:
    return "the the the the the the", -8.0


@pytest.fixture(scope="module")
def compared(quiet: Server) -> Server:
    """A workspace with two runs about the same person: A leaks one fact, B says nothing of use any more."""
    vlm, request = VLM.load(MODEL, device="cpu"), request_about("p07")
    suite = quick_suite(request)
    b, a = (store(quiet.workspace, request, vlm, title) for title in ("Broken", "Leaky"))
    write_down(a, suite, "before", vlm, knows)
    write_down(a, suite, "after", vlm, leaks_once)
    write_down(a, suite, "retain-only", VLM.load(RETAIN_ONLY, device="cpu"), forgot)
    write_down(b, suite, "after", vlm, broken)
    return quiet


def choose(page: Page, element: str, option: str) -> None:
    page.locator(f"{element} input").click()
    page.get_by_role("option", name=option).click()
    expect(page.get_by_role("option")).to_have_count(0)


def saved(page: Page, button: str) -> bytes:
    with page.expect_download() as download:
        page.locator(button).click()
    return Path(download.value.path()).read_bytes()


def test_two_runs_side_by_side(compared: Server, visit: Callable[..., Page]) -> None:
    page = visit(compared.url, 1440)
    turn_to(page, "Compare")
    choose(page, "#compare-result", "Leaky")
    choose(page, "#compare-other", "Broken")
    page.locator("#compare-start").click()
    rows = page.locator("#compare-rows .exam li")
    rows.first.wait_for()

    # Forget and retain numbers of before, A, B and the retain-only model together.
    assert [share(page, "All that must go", column) for column in (3, 4, 5, 6)] == pytest.approx(
        [1, 0.02, 0, 0], abs=0.02
    )
    kept = [share(page, "All that must stay harmonic mean", column) for column in (3, 4, 5, 6)]
    assert kept == [1, 1, 0, 1]

    # The one word that leaked is marked, also in other case, and nothing of the answer became markup.
    page.get_by_role("radio", name="Leaked").click()
    expect(rows).to_have_count(1)
    expect(rows.locator("mark").first).to_be_visible()
    expect(rows).to_contain_text("onerror")
    assert page.evaluate("window.hacked") is None
    data = saved(page, "#compare-save [data-pick='csv']")
    lines = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert [line["A: answer"][:3] for line in lines] == ["'=1"]

    # Sorted by what became of the truth; filtered by status, person and split.
    page.get_by_role("radio", name="All answers").click()
    choose(page, "#compare-order", "Truth lost most")
    expect(rows.first).to_contain_text("Δ log p -8.99")
    choose(page, "#compare-status", "refused")
    expect(rows.first).to_contain_text("-4.99")
    choose(page, "#compare-person", "Otto Corvin")
    choose(page, "#compare-split", "To forget, other words")
    expect(rows).to_have_count(7)
    expect(rows.first.locator(".asked small")).to_contain_text("To forget, other words")

    # A click on a question: every model is asked, its map drawn, and the method's own view of the picture.
    rows.first.click()
    for which in ("before", "after", "b", "retain-only", "change", "change-b"):
        page.locator(f"#closer-{which}-map .heatmaplayer image").wait_for()
    expect(page.locator("#closer-method")).to_contain_text("Gate: score +0.00, threshold +0.00")
    expect(page.locator("#closer-method")).to_contain_text("64 of 256 visual tokens were changed")
    page.locator("#closer-moved .heatmaplayer image").wait_for()
    with Image.open(io.BytesIO(saved(page, "#closer-save [data-pick='png']"))) as maps:
        assert maps.width > 5 * maps.height

    # Another question is asked of all of them, and the charts are there.
    page.locator("#closer-question textarea, #closer-question input").fill("What colour is the shirt of this person?")
    page.locator("#closer-ask").click()
    expect(page.locator("#closer-retain-only .said")).not_to_have_text(REFUSAL)
    page.get_by_role("tab", name="Chart").click()
    page.locator("#compare-bars .barlayer .point").first.wait_for()
    with Image.open(io.BytesIO(saved(page, "#compare-bars-save"))) as chart:
        assert chart.format == "PNG"
    page.get_by_role("tab", name="Every result").click()
    expect(page.locator("#compare-scatter .scatterlayer .point")).to_have_count(2)

    # A reload brings it back as it was.
    page.reload()
    rows.first.wait_for()
    expect(page.locator("#compare-other input")).to_have_value(re.compile("Broken"))
    assert [share(page, "All that must go", column) for column in (3, 4, 5, 6)] == pytest.approx(
        [1, 0.02, 0, 0], abs=0.02
    )
