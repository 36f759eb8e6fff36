"""A run that is going: it survives a reload of the page and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.driving import WAIT, Server, mark, start, turn_to
from unlearn_core.runs import RunState, Workspace

LONG = 5000
"""Steps; far more than the test waits for."""


def test_a_reloaded_page_finds_its_run_and_can_cancel_it(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server.url)
    mark(page, "p03")
    start(page, "cagul", LONG)
    expect(page.locator("#unlearn-progress")).to_contain_text("running", timeout=3 * WAIT)
    expect(page.locator("#unlearn-progress")).to_contain_text("left", timeout=3 * WAIT)
    page.reload()
    page.locator("#inspect-answer .said").wait_for()
    turn_to(page, "Unlearn")
    doing = page.locator("#unlearn-progress .doing")
    expect(doing).to_contain_text("left")
    first = doing.inner_text()
    expect(doing).not_to_have_text(first)
    page.locator("#unlearn-cancel").click()
    expect(page.locator("#unlearn-progress")).to_contain_text("cancelled", timeout=3 * WAIT)
    expect(page.locator("#unlearn-cancel")).to_be_hidden()
    expect(page.locator("#unlearn-onward")).to_be_hidden()
    page.locator("#unlearn-delete").click()
    expect(page.locator("#unlearn-delete")).to_contain_text("Delete it")
    page.locator("#unlearn-delete").click()
    expect(page.locator("#unlearn-progress")).not_to_contain_text("cancelled")


def test_an_option_out_of_range_is_refused_and_the_baselines_stay_unfolded(
    server: Server, visit: Callable[..., Page]
) -> None:
    page = visit(server.url)
    mark(page, "p03")
    turn_to(page, "Unlearn")
    baselines = page.locator("#unlearn-methods .baselines")
    baselines.locator("summary").first.click()
    for method in ("gd", "cvf"):
        page.locator(f"#unlearn-methods [data-pick='{method}']").click()
        expect(page.locator(f"#unlearn-methods [data-pick='{method}']")).to_have_attribute("aria-checked", "true")
    expect(baselines).to_have_attribute("open", "")
    start(page, "cagul", 0)
    expect(page.get_by_test_id("toast-body").last).to_contain_text("Steps: 0 is outside the range from 1 to 5000.")
    expect(page.locator("#unlearn-start")).to_be_enabled()


def test_stopping_the_studio_pauses_the_run_that_is_going(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server.url)
    mark(page, "p03")
    start(page, "cagul", LONG)
    expect(page.locator("#unlearn-progress")).to_contain_text("running", timeout=3 * WAIT)
    expect(page.locator("#unlearn-progress")).to_contain_text("left", timeout=3 * WAIT)
    page.close()
    server.stop()
    assert server.process.returncode == 0
    states = [run.state for run in Workspace(server.workspace).runs()]
    assert states == [RunState.PAUSED]
