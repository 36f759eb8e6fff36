"""What greets people: pages that everybody can use (axe-core finds nothing serious in light or dark, nothing moves for who
asks for that), that explain themselves, and one button that shows the whole thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Page, expect

from tests.e2e.driving import WAIT, Server, mark, turn_to

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RUN = """async () => {
  const kinds = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
  const { violations } = await axe.run(document, { runOnly: kinds, resultTypes: ['violations'] });
  return violations.filter(v => ['serious', 'critical'].includes(v.impact)).map(v => ({
    rule: v.id, nodes: v.nodes.map(n => `${n.target.join(' ')}: ${n.failureSummary}`) }));
}"""
MOVES = """() => document.getAnimations().filter(a => a.playState === 'running' && a.effect.getTiming().duration > 1)
  .map(a => (a.effect.target.id || a.effect.target.className) + ' ' + (a.animationName || a.transitionProperty))"""
PAGES = ("Inspect", "Forget", "Unlearn", "Compare", "Audit", "Export", "Runs")


def found(page: Page) -> list[Any]:
    return page.evaluate(RUN)


def test_axe_finds_nothing_serious_and_nothing_moves_for_who_asks_for_less_motion(
    quiet: Server, visit: Callable[..., Page]
) -> None:
    page = visit(quiet.url)
    page.emulate_media(reduced_motion="reduce")  # colours that still fade are not those that people read
    page.locator("#inspect-map .js-plotly-plot").wait_for()
    page.evaluate(AXE)
    mark(page, "p01")
    wrong = {}
    for name in PAGES:
        turn_to(page, name)
        assert page.evaluate(MOVES) == [], name
        expect(page.locator(".intro:visible")).to_have_count(1)
        for scheme in ("light", "dark"):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", scheme == "dark")
            page.wait_for_timeout(500)
            page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')")
            if here := found(page):
                wrong[f"{name}, {scheme}"] = here
    assert not wrong


def test_one_button_forgets_for_real_and_every_page_has_help(quiet: Server, visit: Callable[..., Page]) -> None:
    page = visit(quiet.url)
    for name in PAGES:
        turn_to(page, name)
        expect(page.locator(".help p:visible")).to_have_count(0)
        page.locator(".help summary:visible").click()
        expect(page.locator(".help p:visible")).not_to_have_count(0)
    for name, of in (("Unlearn", "methods"), ("Compare", "metrics"), ("Audit", "attacks")):
        turn_to(page, name)
        page.locator(f"#{name.lower()}-explained > button").click()
        expect(page.locator(f"#{name.lower()}-explained .katex:visible").first, of).to_be_visible()
    turn_to(page, "Inspect")
    who = page.locator("#inspect-title h3").inner_text()
    page.locator("#inspect-tour").click()
    expect(page.locator("#unlearn-runs .listed")).to_contain_text(who, timeout=4 * WAIT)
    expect(page.locator("#forget-picker [aria-checked=true]")).to_have_count(1)
    expect(page.get_by_role("tab", name="Unlearn")).to_have_attribute("aria-selected", "true")
    page.locator("#unlearn-cancel").click()
    expect(page.locator("#unlearn-progress")).to_contain_text("cancelled", timeout=3 * WAIT)
