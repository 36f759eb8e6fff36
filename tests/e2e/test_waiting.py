"""Who must wait for others sees the place in the queue, and an operator can end what holds it up.

The studio is in this process, so that a test says how long the model takes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from benchmarks.visitor import Visitor
from components.build import build, launch
from components.comparing import page as comparing
from components.doors import GuardedBlocks
from components.doors.blocks import ONLY_OPERATORS
from components.studio import Studio
from tests.e2e.conftest import PASSWORD
from tests.e2e.driving import MODEL, WAIT, told, turn_to
from tests.e2e.stored import quick_suite, request_about, store, write_down
from tests.e2e.test_compare import forgot, knows
from tests.unit.tiny_method import until
from unlearn_core.accounts import Accounts, Role
from unlearn_core.evaluation.progress import Progress
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import Choice
from unlearn_core.vlm.presets import RETAIN_ONLY

HOLD = "Hold the model."
TITLE = "Forgets all"


@dataclass(frozen=True, eq=False)
class Place:
    """A studio with a viewer, Vera, and an operator, Otto."""

    url: str
    page: GuardedBlocks
    studio: Studio

    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return sum(len(q.queue) for q in self.page._queue.event_queue_per_concurrency_id.values())

    def asks(self, name: str) -> Thread:
        """A program of somebody who asks what holds the model."""
        visitor = Visitor(self.url)
        visitor.log_in(name, PASSWORD)
        thread = Thread(target=visitor.open().call, args=("ask", HOLD, None, "original"))
        thread.start()
        return thread


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    vlm, request, folder = VLM.load(MODEL, device="cpu"), request_about("p07"), tmp_path_factory.mktemp("place")
    users = Accounts({}).with_user("vera", Role.VIEWER, PASSWORD).with_user("otto", Role.OPERATOR, PASSWORD)
    run, suite = store(folder / "workspace", request, vlm, TITLE), quick_suite(request)
    write_down(run, suite, "before", vlm, knows)
    write_down(run, suite, "after", vlm, forgot)
    write_down(run, suite, "retain-only", VLM.load(RETAIN_ONLY, device="cpu"), forgot)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        (folder / "gradio").mkdir()
        page, studio = build(Choice(model=str(MODEL), device="cpu"), vlm, folder / "workspace")
        launch(page, "127.0.0.1", port, users, wait=False)
        yield Place(f"http://127.0.0.1:{port}", page, studio)
        page.close(verbose=False)
        studio.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """The first says that the model was asked what holds it, and it does not answer before the second is set."""
    asked, free = Event(), Event()
    answer = VLM.ask

    def ask(vlm: VLM, prompts: Any, *args: Any, **options: Any) -> Any:
        if prompts[0].question == HOLD:
            asked.set()
            free.wait(WAIT / 1000)
        return answer(vlm, prompts, *args, **options)

    monkeypatch.setattr(VLM, "ask", ask)
    yield asked, free
    free.set()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Comparisons do not end before it is set."""
    free, whole = Event(), comparing.set_side_by_side

    def job(*models: Any) -> Any:
        while not free.wait(0.05):
            yield Progress("asking", 1, 40)
        return (yield from whole(*models))

    monkeypatch.setattr(comparing, "set_side_by_side", job)
    yield free
    free.set()


def compare(page: Page) -> None:
    turn_to(page, "Compare")
    expect(page.locator("#compare-start")).to_be_enabled()
    page.locator("#compare-start").click()


def expect_place(element: Locator, text: str) -> None:
    """It stands there and is seen: neither hidden nor cut off by what it lies in."""
    place = element.locator(".progress-text")
    expect(place).to_contain_text(text)
    expect(place).to_be_visible()
    expect(place).to_be_in_viewport(ratio=1)


def test_a_question_that_waits_says_its_place(
    place: Place, held: tuple[Event, Event], visit: Callable[..., Page]
) -> None:
    asked, free = held
    page = visit(place.url, who="vera")
    first = place.asks("otto")
    assert asked.wait(WAIT / 1000)
    second = place.asks("vera")
    until(lambda: place.waiting() == 1)
    page.locator("#inspect-question textarea").fill("What colour is the shirt of this person?")
    page.locator("#inspect-ask").click()
    answer = page.locator("#inspect-answer")
    expect_place(answer, "queue: 2/2")
    free.set()
    for thread in (first, second):
        thread.join()
    expect(answer).not_to_contain_text("queue")
    expect(page.locator("#inspect-answer .said")).to_be_visible()


def test_a_comparison_that_waits_says_its_place_can_be_cancelled_and_an_operator_can_stop_what_is_before_it(
    place: Place, endless: Event, visit: Callable[..., Page]
) -> None:
    vera, otto = visit(place.url, who="vera"), visit(place.url, who="otto")
    compare(vera)
    expect(vera.locator("#compare-progress")).to_contain_text("1 of 40 answers")
    compare(otto)
    expect_place(otto.locator("#compare-progress"), "queue: 1/1")
    otto.locator("#compare-cancel").click()
    expect(otto.locator("#compare-progress")).to_contain_text("Cancelled")
    otto.locator("#compare-start").click()
    expect_place(otto.locator("#compare-progress"), "queue: 1/1")

    turn_to(vera, "Runs")
    expect(vera.locator("#runs-going")).to_contain_text(f"Somebody compares {TITLE}")
    vera.locator("#runs-stop").click()
    expect(told(vera)).to_contain_text(ONLY_OPERATORS)
    turn_to(otto, "Runs")
    expect(otto.locator("#runs-going")).to_contain_text("1 of 40 answers")
    otto.locator("#runs-stop").click()
    expect(told(vera)).to_contain_text("An operator stopped this comparison.")
    turn_to(vera, "Compare")
    expect(vera.locator("#compare-start")).to_be_enabled()

    endless.set()
    turn_to(otto, "Compare")
    expect(otto.locator("#compare-summary")).to_contain_text("100%")
    turn_to(otto, "Runs")
    expect(otto.locator("#runs-stop")).to_be_hidden()


def test_a_comparison_that_its_own_visitor_cancelled_is_not_going(
    place: Place, endless: Event, visit: Callable[..., Page]
) -> None:
    page = visit(place.url, who="vera")
    compare(page)
    expect(page.locator("#compare-progress")).to_contain_text("1 of 40 answers")
    assert len(place.studio.comparisons.all()) == 1
    page.locator("#compare-cancel").click()
    expect(page.locator("#compare-progress")).to_contain_text("Cancelled")
    until(lambda: not place.studio.comparisons.all())
