"""The address follows the page and the run, so that a reload and a link come back to them; marks come back, too."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.driving import MODEL, Server, mark, told, turn_to, upload
from tests.e2e.stored import request_about, store
from unlearn_core.demo import world
from unlearn_core.runs import Run
from unlearn_core.vlm import VLM

WHO = "p07"
OLDER, NEWER = "The older one", "The newer one"
SHOWN = {
    "unlearn": "#unlearn-progress",
    "compare": "#compare-result",
    "audit": "#audit-results",
    "export": "#export-result",
    "runs": "#runs-progress",
}
"""Where each page shows the run that is chosen on it."""


@pytest.fixture(scope="module")
def kept(quiet: Server) -> list[Run]:
    """Two finished runs; the newer one is what pages choose by themselves."""
    vlm = VLM.load(MODEL, device="cpu")
    return [store(quiet.workspace, request_about(WHO), vlm, title) for title in (OLDER, NEWER)]


def shows(page: Page, at: str, title: str) -> None:
    where = page.locator(SHOWN[at])
    expect(where).to_be_visible()
    if at in ("compare", "export"):
        expect(where.locator("input")).to_have_value(re.compile(title))
    else:
        expect(where).to_contain_text(title)


def address(at: str, run: Run | None = None) -> re.Pattern[str]:
    """The whole of it: nothing else may stand there."""
    asked = f"?at={at}" + (f"&run={run.id}" if run else "") if at else ""
    return re.compile(rf"^http://127\.0\.0\.1:\d+/{re.escape(asked)}$")


@pytest.mark.parametrize("at", ["unlearn", "compare", "export"])  # the other two are opened by links below
def test_a_link_opens_its_page_with_its_run(
    at: str, quiet: Server, kept: list[Run], visit: Callable[..., Page]
) -> None:
    page = visit(quiet.url, at=f"?at={at}&run={kept[0].id}")
    shows(page, at, OLDER)
    expect(page).to_have_url(address(at, kept[0]))


def test_the_address_follows_the_page_and_the_run(quiet: Server, kept: list[Run], visit: Callable[..., Page]) -> None:
    page = visit(quiet.url)
    steps = page.evaluate("history.length")
    turn_to(page, "Forget")
    expect(page).to_have_url(address("forget"))
    turn_to(page, "Compare")
    expect(page).to_have_url(address("compare", kept[1]))
    turn_to(page, "Runs")
    expect(page).to_have_url(address("runs"))
    page.locator("#runs-table tr", has_text=OLDER).get_by_role("button").click()
    expect(page).to_have_url(address("runs", kept[0]))
    turn_to(page, "Inspect")
    expect(page).to_have_url(address(""))
    turn_to(page, "Runs")
    expect(page).to_have_url(address("runs", kept[0]))
    page.reload()
    shows(page, "runs", OLDER)
    assert page.evaluate("history.length") == steps, "pages that were turned are no steps to go back"


def test_back_and_forward_come_back_to_the_page(quiet: Server, kept: list[Run], visit: Callable[..., Page]) -> None:
    page = visit(quiet.url, at=f"?at=audit&run={kept[0].id}")
    shows(page, "audit", OLDER)
    turn_to(page, "Export")
    expect(page).to_have_url(address("export", kept[1]))
    page.goto(f"{quiet.url}/?at=runs&run={kept[0].id}")
    shows(page, "runs", OLDER)
    page.go_back()
    shows(page, "export", NEWER)
    page.go_forward()
    shows(page, "runs", OLDER)


@pytest.mark.parametrize("run", ["<img src=x onerror=window.hacked=1>", "../../etc/passwd"])
def test_a_run_that_is_not_there_is_told_and_the_page_opens(
    run: str, quiet: Server, visit: Callable[..., Page]
) -> None:
    page = visit(quiet.url, at=f"?at=runs&run={quote(run)}")
    expect(told(page)).to_contain_text(f"There is no run “{run}” here.")
    expect(page.locator("#runs-search")).to_be_visible()
    expect(page).to_have_url(address("runs"))
    assert page.evaluate("window.hacked") is None


def test_a_page_that_is_not_there_is_told_and_the_first_one_opens(quiet: Server, visit: Callable[..., Page]) -> None:
    page = visit(quiet.url, at="?at=%3Cb%3Eattic")
    expect(told(page)).to_contain_text("asks for a page “<b>attic”, which is not there")
    expect(page.locator("#inspect-answer .said")).to_be_visible()


def test_a_picture_and_a_request_that_is_begun_outlive_a_reload(
    quiet: Server, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit(quiet.url)
    world.photograph(world.person("p03"), 5).image.save(tmp_path / "mine.png")
    upload(page, "#inspect-upload", tmp_path / "mine.png")
    expect(page.locator("#inspect-title")).to_contain_text("mine.png")
    page.locator("#inspect-question textarea").fill("What is the job of this person?")
    page.locator("#inspect-ask").click()
    answer = world.person("p03").facts["job"]
    expect(page.locator("#inspect-answer .said")).to_contain_text(answer)
    page.locator("#inspect-this").click()
    expect(page.locator("#own-strip button")).to_have_count(1)
    page.reload()
    expect(page.locator("#own-strip button")).to_have_count(1)
    expect(page.locator("#own-table")).to_contain_text("What is the job of this person?")
    turn_to(page, "Inspect")
    expect(page.locator("#inspect-title")).to_contain_text("mine.png")
    expect(page.locator("#inspect-answer .said")).to_contain_text(answer)
    expect(page.locator("#inspect-picker [aria-checked=true]")).to_have_count(0)
    expect(page.locator("#inspect-picker .card")).not_to_have_count(0)
    page.locator("#inspect-words .word").first.click()
    expect(page.locator("#inspect-words .word").first).to_have_attribute("aria-pressed", "true")
    other = visit(quiet.url)
    expect(other.locator("#inspect-title")).not_to_contain_text("mine.png")


def test_marks_outlive_a_reload_and_nothing_of_them_is_in_the_browser(
    quiet: Server, visit: Callable[..., Page]
) -> None:
    page = visit(quiet.url)
    mark(page, "p01", WHO)
    expect(page.locator("#forget-summary")).to_contain_text("2 people")
    page.reload()
    expect(page.locator("#forget-picker [aria-checked=true]")).to_have_count(2)
    expect(page.locator("#forget-summary")).to_contain_text("2 people")
    expect(page.locator("#forget-picker .card")).to_have_count(world.PEOPLE)
    expect(page).to_have_url(address("forget"))
    stored = page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie, history.state, document.title])"
    )
    assert not any(word in stored for word in (WHO, *world.person(WHO).name.split()))
    other = visit(quiet.url, at="?at=forget")
    expect(other.locator("#forget-picker .card")).to_have_count(world.PEOPLE)
    expect(other.locator("#forget-picker [aria-checked=true]")).to_have_count(0)
    page.locator("#forget-clear").click()
    expect(page.locator("#forget-summary")).to_contain_text("Nobody is marked yet")
    page.reload()
    expect(page.locator("#forget-picker .card")).to_have_count(world.PEOPLE)
    expect(page.locator("#forget-picker [aria-checked=true]")).to_have_count(0)
