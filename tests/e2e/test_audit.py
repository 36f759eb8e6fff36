"""Audit: attacks on a finished run go on in the background, are kept with it, and end in a report that opens offline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.driving import MODEL, WAIT, Server, turn_to
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.demo import world
from unlearn_core.methods.cagul.config import CagulConfig
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import Gate
from unlearn_core.methods.cagul.module import CagulModule
from unlearn_core.runs import RunState, Workspace

WIDTH = json.loads((MODEL / "config.json").read_text())["text_config"]["hidden_size"]
NAME = "Otto <b>Corvin</b>"
QUICK = ("phrasings", "pairs")


def examples(person: str, subject: str, kind: str) -> tuple[Example, ...]:
    """Two private facts and one that can be seen, on one photograph; `subject` is nobody of the collection."""
    shown = world.photograph(world.person(person), 5)
    asked = [q for q in shown.questions if q.kind == kind][:2]
    return tuple(Example(f"{person}-{q.fact}", shown.image, q.text, q.answer, subject, kind) for q in asked)


@pytest.fixture(scope="module")
def run(quiet: Server) -> str:
    """A finished run that changed nothing: its gate opens for nobody. All that it was to forget is given away."""
    request = ForgetRequest(
        f"Forget {NAME}",
        examples("p07", NAME, "private"),
        (),
        (*examples("p08", "Somebody", "private"), *examples("p09", "Another", "private")),
    )
    run = Workspace(quiet.workspace).create("cagul", request.name, request, CagulConfig(), str(MODEL))
    gate = Gate(4 * WIDTH, 1, 0)
    gate.threshold += 1
    run.save(CagulModule(gate, TokenEncoder(WIDTH, 4), (0,), 0.5, "lowest"), {})
    run.set_state(RunState.DONE)
    return run.id


def choose(page: Page, attacks: tuple[str, ...]) -> None:
    turn_to(page, "Audit")
    page.locator("#audit-verdicts .audited").wait_for()
    for box in page.locator("#audit-attacks input").all():
        box.set_checked(box.get_attribute("name") in attacks)
    page.locator("#audit-level input[value=quick]").check()


def test_attacks_run_in_the_background_and_are_read_again_later(
    run: str, quiet: Server, visit: Callable[..., Page]
) -> None:
    page = visit(quiet.url)
    choose(page, ("phrasings", "noise"))
    page.locator("#audit-start").click()
    expect(page.locator("#audit-cancel")).to_be_visible()
    first = page.locator("#audit-verdicts li", has=page.get_by_role("heading", name="Other phrasings"))
    expect(first).to_contain_text("gives way", timeout=4 * WAIT)
    page.locator("#audit-cancel").click()
    expect(page.locator("#audit-cancel")).to_be_hidden()
    page.reload()
    turn_to(page, "Audit")
    expect(first).to_contain_text("of 2 facts")
    expect(first).to_contain_text("people who stay")
    expect(page.locator("#audit-verdicts h3")).to_contain_text(NAME)
    page.locator("#audit-verdicts .audited > details > summary").click()
    expect(page.locator("#audit-verdicts .limits")).to_contain_text("Removing the module")


def test_a_report_opens_offline_and_names_nobody(
    run: str, quiet: Server, visit: Callable[..., Page], browser: Browser, tmp_path: Path
) -> None:
    page = visit(quiet.url)
    choose(page, QUICK)
    page.locator("#audit-write").click()
    links = page.locator("#audit-files a[download]")
    expect(links).to_have_count(2, timeout=4 * WAIT)
    saved = []
    for i in range(2):
        with page.expect_download() as download:
            links.nth(i).click()
        saved.append(tmp_path / download.value.suggested_filename)
        download.value.save_as(saved[-1])
    report = next(path for path in saved if path.suffix == ".html")
    alone = browser.new_context(offline=True, java_script_enabled=False).new_page()
    alone.goto(report.as_uri())
    text = alone.locator("body").inner_text()
    assert "does not mean deleted" in text
    assert "Other phrasings" in text
    for path in saved:
        written = path.read_text(encoding="utf-8")
        assert "Otto" not in written
        assert "Corvin" not in written
    assert alone.pdf()[:4] == b"%PDF"
    alone.context.close()
