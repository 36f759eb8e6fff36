"""A request of one's own: a file is read, what was left out is told, and it can be run like any other."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.driving import Server, told, turn_to, upload
from unlearn_core.demo import world

HOSTILE = "<img src=x onerror=window.hacked=1>"


def zipped(path: Path) -> Path:
    """Four photographs of a known person, one of another, and a row whose picture is missing."""
    who, other = world.people()[5], world.people()[6]
    rows = [("forget", HOSTILE, who, i) for i in range(4)] + [("retain", "other", other, 0)]
    with zipfile.ZipFile(path, "w") as archive:
        lines = [{"file_name": "gone.png", "question": "Who?", "answer": "?"}]
        for side, subject, person, shot in rows:
            name = f"{side}{shot}.png"
            with archive.open(name, "w") as file:
                world.photograph(person, shot).image.save(file, "PNG")
            asked = {"question": "What is the job of this person?", "answer": person.facts["job"]}
            lines.append({"file_name": name, "side": side, "subject": subject, **asked})
        archive.writestr("metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_request_from_a_file_can_be_used(quiet: Server, visit: Callable[..., Page], tmp_path: Path) -> None:
    page = visit(quiet.url)
    turn_to(page, "Forget")
    page.locator("#own > button").click()
    upload(page, "#own-file", zipped(tmp_path / "people.zip"))
    expect(page.locator("#own-report")).to_contain_text("5 examples read, 1 left out")
    page.locator("#own-report summary").click()
    expect(page.locator("#own-report")).to_contain_text("metadata.jsonl, line 1: its picture is missing")
    expect(page.locator("#own-strip button")).to_have_count(5)
    page.locator("#own-name input, #own-name textarea").first.fill("My request")
    page.locator("#own-use").click()
    expect(page.locator("#forget-summary")).to_contain_text("My request: 4 answers about pictures of 1 person.")
    page.locator("#forget-onward").click()
    expect(page.locator("#unlearn-who")).to_contain_text("My request")
    assert page.evaluate("window.hacked") is None


def test_a_file_that_is_no_request_gets_one_sentence(quiet: Server, visit: Callable[..., Page], tmp_path: Path) -> None:
    page = visit(quiet.url)
    turn_to(page, "Forget")
    page.locator("#own > button").click()
    wrong = tmp_path / "people.jsonl"
    wrong.write_text('{"question": NaN}\n')
    upload(page, "#own-file", wrong)
    expect(told(page)).to_contain_text("people.jsonl, line 1: This is not JSON")


def write(page: Page, question: str, answer: str) -> None:
    page.locator("#own-line-question textarea, #own-line-question input").first.fill(question)
    page.locator("#own-line-answer textarea, #own-line-answer input").first.fill(answer)
    page.locator("#own-line-add").click()


def test_a_request_can_be_written_line_by_line(quiet: Server, visit: Callable[..., Page], tmp_path: Path) -> None:
    who = world.people()[5]
    pictures = [tmp_path / f"{i}.png" for i in range(4)]
    for i, path in enumerate(pictures):
        world.photograph(who, i).image.save(path)
    page = visit(quiet.url)
    turn_to(page, "Forget")
    page.locator("#own > button").click()
    name = page.locator("#own-who textarea, #own-who input").first
    name.fill("Mara")
    with page.expect_file_chooser() as chooser:
        page.locator("#own-pictures").click()
    chooser.value.set_files(pictures)
    expect(page.locator("#own-strip button")).to_have_count(4)
    asked = "What is the job of this person?"
    name.fill("Nobody")
    write(page, asked, who.facts["job"])
    expect(told(page)).to_contain_text("There is no picture of Nobody here yet.")
    name.fill("Mara")
    page.locator("#own-line-add").click()
    lines = page.locator("#own-table")
    expect(lines).to_contain_text(who.facts["job"])
    page.locator("#own-line-side input").click()
    page.get_by_role("option", name="stays, of somebody else").click()
    name.fill("")
    write(page, "What is the capital of France?", "Paris")
    expect(lines).to_contain_text("retain")
    page.locator("#own-name input, #own-name textarea").first.fill("By hand")
    page.locator("#own-use").click()
    expect(page.locator("#forget-summary")).to_contain_text("By hand: 4 answers about pictures of 1 person.")
