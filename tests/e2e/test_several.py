"""Several people at one studio: what a viewer can do there, and what those are told who must wait."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from components.doors.blocks import ONLY_OPERATORS
from tests.e2e.conftest import PASSWORD
from tests.e2e.driving import MODEL, Server, mark, told, turn_to
from tests.e2e.stored import broken_off, quick_suite, request_about, store, write_down
from tests.e2e.test_compare import forgot, knows
from unlearn_core.accounts import Accounts, Role, write_accounts
from unlearn_core.runs import Workspace
from unlearn_core.vlm import VLM
from unlearn_core.vlm.presets import RETAIN_ONLY


@pytest.fixture(scope="module")
def shared(serve: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A studio with a viewer, Vera, and an operator, Otto, and a finished run whose answers are there already."""
    users = tmp_path_factory.mktemp("users") / "users.json"
    everybody = Accounts({}).with_user("vera", Role.VIEWER, PASSWORD).with_user("otto", Role.OPERATOR, PASSWORD)
    write_accounts(users, everybody)
    server = serve("--auth", str(users))
    vlm, request = VLM.load(MODEL, device="cpu"), request_about("p07")
    run, suite = store(server.workspace, request, vlm, "Forgets all"), quick_suite(request)
    write_down(run, suite, "before", vlm, knows)
    write_down(run, suite, "after", vlm, forgot)
    write_down(run, suite, "retain-only", VLM.load(RETAIN_ONLY, device="cpu"), forgot)
    return server


def refused(page: Page) -> None:
    expect(told(page)).to_contain_text(ONLY_OPERATORS)
    page.get_by_test_id("toast-close").last.click()
    expect(page.get_by_test_id("toast-body")).to_have_count(0)


def test_a_viewer_asks_and_compares_and_changes_nothing(shared: Server, visit: Callable[..., Page]) -> None:
    page = visit(shared.url, who="vera")
    page.locator("#inspect-question textarea").fill("What colour is the shirt of this person?")
    page.locator("#inspect-ask").click()
    expect(page.locator("#inspect-answer .said")).not_to_have_text("")

    turn_to(page, "Compare")
    expect(page.locator("#compare-result input")).to_have_value(re.compile("Forgets all"))
    page.locator("#compare-start").click()
    page.locator("#compare-rows .exam li").first.click()
    page.locator("#closer-after-map .heatmaplayer image").wait_for()
    expect(page.locator("#compare-summary")).to_contain_text("100%")

    page.locator("#compare-save [data-pick='csv']").click()
    refused(page)
    turn_to(page, "Export")
    page.locator("#export-make").click()
    refused(page)
    mark(page, "p07")
    turn_to(page, "Unlearn")
    page.locator("#unlearn-start").click()
    refused(page)
    turn_to(page, "Runs")
    page.locator("#runs-table button").first.click()
    page.locator("#runs-delete").click()
    refused(page)
    assert [run.info.title for run in Workspace(shared.workspace).runs()] == ["Forgets all"]


def test_a_fit_that_waits_says_how_many_go_before_it(shared: Server, visit: Callable[..., Page]) -> None:
    runs = [broken_off(shared.workspace, title, 5000) for title in ("First", "Second")]
    first, second = (visit(shared.url, who="otto", at=f"?at=runs&run={run.id}") for run in runs)
    for page in (first, second):
        page.locator("#runs-resume").click()
        expect(page.locator("#runs-cancel")).to_be_visible()
    progress = second.locator("#runs-progress")
    expect(progress).to_contain_text("1 run goes before it")
    first.locator("#runs-cancel").click()
    expect(progress).not_to_contain_text("goes before it")
    second.locator("#runs-cancel").click()
    expect(progress).to_contain_text("Cancelled")
