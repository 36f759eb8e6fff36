"""What a window held comes back to that window alone, for a minute, and is let go then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from components import returning
from components.doors.visits import Visitor
from components.returning import GRACE, Returning
from components.session import Desk
from unlearn_core.accounts import Role
from unlearn_core.vlm.loading import Choice

VERA, OTTO = (Visitor(name, Role.VIEWER, name) for name in ("vera", "otto"))
HERE, THERE = Choice(model="here"), Choice(model="there")
Waits = list[tuple[float, Callable[[], None]]]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waits() -> Waits:
    return []


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def windows(desk: Desk, clock: Clock, waits: Waits) -> Returning:
    made = Returning(desk, clock, lambda seconds, call: waits.append((seconds, call)))
    assert not made.came(VERA, "w", "first", HERE)
    desk.put("first", "looked", "a picture")
    desk.put("first", "closer", "something that is made again")
    return made


def test_a_window_that_is_reloaded_has_what_it_held(desk: Desk, windows: Returning, waits: Waits) -> None:
    assert windows.came(VERA, "w", "second", HERE)
    assert desk.find("second", "looked", str) == "a picture"
    assert desk.find("second", "closer", str) is None
    windows.left("first")
    assert desk.find("first", "looked", str) is None
    assert waits == []
    assert windows.came(VERA, "w", "third", HERE), "and once more"


@pytest.mark.parametrize(
    ("visitor", "word", "choice"), [(OTTO, "w", HERE), (VERA, "v", HERE), (VERA, "", HERE), (VERA, "w", THERE)]
)
def test_nobody_else_and_no_other_window_or_model_has_it(
    desk: Desk, windows: Returning, visitor: Visitor, word: str, choice: Choice
) -> None:
    assert not windows.came(visitor, word, "second", choice)
    assert desk.find("second", "looked", str) is None


def test_what_was_seen_with_a_model_that_was_taken_later_does_not_come_back(desk: Desk, windows: Returning) -> None:
    windows.turned("first")
    desk.put("first", "looked", "seen with another model")
    assert not windows.came(VERA, "w", "second", HERE)
    assert desk.find("second", "looked", str) is None


def test_what_was_held_waits_a_minute_and_is_let_go(desk: Desk, windows: Returning, clock: Clock, waits: Waits) -> None:
    windows.left("first")
    clock.now = GRACE / 2
    windows.came(OTTO, "o", "other", HERE)
    desk.put("other", "looked", "another picture")
    windows.left("other")
    assert desk.find("first", "looked", str) == "a picture"
    (seconds, call), clock.now = waits.pop(), GRACE
    assert seconds == GRACE
    call()
    assert desk.find("first", "looked", str) is None
    assert desk.find("other", "looked", str) == "another picture"
    assert not windows.came(VERA, "w", "second", HERE)
    (seconds, call), clock.now = waits.pop(), 1.5 * GRACE
    assert seconds == GRACE / 2
    call()
    assert len(desk) == 0
    assert waits == []


def test_a_program_that_calls_has_no_window_and_its_drawer_goes_at_once(desk: Desk, windows: Returning) -> None:
    desk.put("program", "looked", "a picture")
    windows.left("program")
    assert desk.find("program", "looked", str) is None


def test_the_window_opened_longest_ago_is_forgotten_first(
    windows: Returning, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returning, "WINDOWS", 2)
    for name in ("a", "b"):
        windows.came(OTTO, name, name, HERE)
        desk.put(name, "looked", name)
    assert not windows.came(VERA, "w", "second", HERE)
    assert windows.came(OTTO, "b", "again", HERE)
