"""Photograph the studio for the README: what a visitor sees first, a comparison, and an audit, on the recorded example.

    python -m benchmarks.screens

Starts the studio on the embedded demo with a workspace of its own. Writes docs/img/inspect.png, compare.png and audit.png.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.plots import CHROMIUM, IMAGES
from components.build import build, launch
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO, Choice

PORT = 7998
PATIENCE = 600_000.0
"""Milliseconds for a comparison or an audit."""
ATTACKS = ("Other phrasings", "Other and altered pictures", "Hints in context", "Role play and prefixes", "In company")


def inspect(page: Page) -> None:
    page.locator("#inspect-map .js-plotly-plot .heatmaplayer image").wait_for()
    page.locator("#inspect-suggestions [data-pick='description']").click()
    expect(page.locator("#inspect-answer .said")).to_contain_text("hair")
    page.locator("#inspect-words .word").nth(3).click()
    page.wait_for_timeout(1500)


def compare(page: Page) -> None:
    page.get_by_role("tab", name="Inspect").click()
    page.locator("#inspect-see").click()
    page.locator("#compare-rows .exam").wait_for(timeout=PATIENCE)
    page.locator("#compare-rows button[data-pick='0']").click()
    for which in ("before", "after", "change"):
        page.locator(f"#closer-{which}-map .js-plotly-plot").wait_for()
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1500)


def audit(page: Page) -> None:
    page.get_by_role("tab", name="Audit").click()
    page.locator("#audit-results input").click()
    page.get_by_role("option").first.click()
    page.keyboard.press("Escape")
    for box in page.locator("#audit-attacks label").all():
        box.locator("input").set_checked(box.inner_text().strip() in ATTACKS)
    page.locator("#audit-start").click()
    page.locator("#audit-cancel").wait_for()
    page.locator("#audit-cancel").wait_for(state="hidden", timeout=PATIENCE)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1500)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        blocks, studio = build(
            Choice(str(DEMO), device="cpu"), VLM.load(DEMO, device="cpu"), Path(folder) / "workspace"
        )
        launch(blocks, "127.0.0.1", PORT, wait=False)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1080})
        page.goto(f"http://127.0.0.1:{PORT}")
        for take in (inspect, compare, audit):
            take(page)
            page.screenshot(path=IMAGES / f"{take.__name__}.png")
        browser.close()
        blocks.close(verbose=False)
        studio.close()


if __name__ == "__main__":
    main()
