"""Marks that outlive a reload: whose they are, for how long, and how many. What an address may say."""

from __future__ import annotations

import pytest

from components import marks
from components.doors.visits import Visitor
from components.links import Link, read
from components.marks import LASTING, Marks
from unlearn_core.accounts import Role
from unlearn_core.vlm.loading import Choice

VERA, OTTO, TINA = (Visitor(name, Role.VIEWER, name) for name in ("vera", "otto", "tina"))
HERE, THERE = Choice(model="here"), Choice(model="there")


def test_marks_are_those_of_one_visitor_on_one_model() -> None:
    kept = Marks()
    kept.put(VERA, HERE, ["p01", "p02", "p01"])
    assert kept.of(VERA, HERE) == ["p01", "p02"]
    assert kept.of(OTTO, HERE) == []
    assert kept.of(VERA, THERE) == []
    kept.put(VERA, HERE, [])
    assert kept.of(VERA, HERE) == []
    assert len(kept) == 0


def test_marks_are_kept_for_an_hour_after_the_last_change() -> None:
    now = 0.0
    kept = Marks(lambda: now)
    kept.put(VERA, HERE, ["p01"])
    kept.put(OTTO, HERE, ["p01"])
    now = LASTING / 2
    kept.put(VERA, HERE, ["p02"])
    now = LASTING
    assert kept.of(OTTO, HERE) == []
    assert kept.of(VERA, HERE) == ["p02"]
    assert len(kept) == 1
    now = 1.5 * LASTING
    assert kept.of(VERA, HERE) == []
    assert len(kept) == 0


def test_of_many_visitors_those_of_long_ago_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "VISITORS", 2)
    kept = Marks()
    for visitor in (VERA, OTTO, VERA, TINA):
        kept.put(visitor, HERE, [visitor.key])
    assert [kept.of(visitor, HERE) for visitor in (VERA, OTTO, TINA)] == [["vera"], [], ["tina"]]


@pytest.mark.parametrize(
    ("search", "link"),
    [
        (None, Link()),
        ("", Link()),
        ("?at=runs", Link("runs")),
        ("?at=runs&run=20260101-000000-0123abcd", Link("runs", "20260101-000000-0123abcd")),
        ("?__theme=dark&run=%3Cb%3E&at=inspect&at=runs", Link("inspect", "<b>")),
        ("?at=" + "x" * 10**6, Link("x" * 196)),
    ],
)
def test_an_address_is_read_whatever_it_says(search: str | None, link: Link) -> None:
    assert read(search) == link
