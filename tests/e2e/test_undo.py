"""What was taken back comes back: marks, and runs and requests that were deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.driving import MODEL, Server, mark, turn_to
from tests.e2e.stored import request_about, store
from unlearn_core.demo import world
from unlearn_core.runs import Run, Workspace
from unlearn_core.runs.shelf import Shelf
from unlearn_core.vlm import VLM

WHO = "p07"
TITLE = f"Forget {world.person(WHO).name}"


@pytest.fixture(scope="module")
def kept(quiet: Server) -> list[Run]:
    """Two finished runs, the older one first."""
    vlm = VLM.load(MODEL, device="cpu")
    return [store(quiet.workspace, request_about(WHO), vlm, title) for title in (TITLE, "Another one")]


def test_marks_come_back(quiet: Server, visit: Callable[..., Page]) -> None:
    page = visit(quiet.url)
    mark(page, "p01", "p02", "p03")
    expect(page.locator("#forget-undo")).to_be_hidden()
    chosen = page.locator("#forget-picker [aria-checked=true]")
    for taken_back in ("#forget-picker [data-pick='p02']", "#forget-clear"):
        page.locator(taken_back).click()
        page.locator("#forget-undo").click()
        expect(chosen).to_have_count(3)
        expect(page.locator("#forget-undo")).to_be_hidden()
        expect(page.locator("#forget-summary")).to_contain_text("3 people")


def test_a_deleted_run_comes_back(quiet: Server, kept: list[Run], visit: Callable[..., Page]) -> None:
    page = visit(quiet.url)
    turn_to(page, "Runs")
    row = page.locator("#runs-table tr", has_text=TITLE)
    row.get_by_role("button").click()
    page.locator("#runs-delete").click()
    page.locator("#runs-delete").filter(has_text="Delete it").click()
    expect(row).to_have_count(0)
    expect(page.locator("#runs-deleted")).to_contain_text("gone for good")
    assert kept[0].id not in Workspace(quiet.workspace).ids()
    page.locator("#runs-undo").click()
    expect(row).to_have_count(1)
    expect(page.locator("#runs-one")).to_be_visible()
    expect(page.locator("#runs-undo")).to_be_hidden()
    assert kept[0].id in Workspace(quiet.workspace).ids()


def test_a_deleted_request_comes_back_and_is_no_longer_marked(quiet: Server, visit: Callable[..., Page]) -> None:
    shelf = Shelf(quiet.workspace / "requests")
    page = visit(quiet.url)
    name = "Private facts of <b>somebody</b>"
    shelf.save(replace(request_about(WHO), name=name))
    turn_to(page, "Forget")
    page.locator("#own > button").click()
    expect(page.locator("#own-delete")).to_be_hidden()
    page.locator("#own-saved input").click()
    page.get_by_role("option", name=name).click()
    expect(page.locator("#own-strip button")).to_have_count(1)
    page.locator("#own-use").click()
    expect(page.locator("#forget-summary")).to_contain_text(name)
    page.locator("#own-saved input").click()
    page.get_by_role("option", name=name).first.click()
    marked = shelf.saved()[0].id
    page.locator("#own-delete").click()
    page.locator("#own-delete").filter(has_text="Delete it").click()
    expect(page.locator("#own-deleted")).to_contain_text("The request is deleted")
    expect(page.locator("#own-strip button")).to_have_count(0)
    expect(page.locator("#own-delete")).to_be_hidden()
    expect(page.locator("#forget-summary")).to_contain_text("Nobody is marked yet")
    expect(page.locator("#forget-picker .card")).to_have_count(world.PEOPLE)
    assert marked not in [saved.id for saved in shelf.saved()]
    page.locator("#own-undo").click()
    expect(page.locator("#own-saved input")).to_have_value(name)
    expect(page.locator("#own-strip button")).to_have_count(1)
    expect(page.locator("#own-undo")).to_be_hidden()
    assert marked in [saved.id for saved in shelf.saved()]
