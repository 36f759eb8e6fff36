"""Which model a browser session works with, that sessions do not get into each other's way, and that memory is given back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.context import LocalContext
from huggingface_hub import constants

from components.seats import LoadingCancelled, NoModel, Seat, Seats
from components.studio import Studio
from tests.hub_server import NAME, HubServer, Trouble
from unlearn_core.vlm.errors import ModelNotFound
from unlearn_core.vlm.hub import Hub
from unlearn_core.vlm.loading import Choice, load

WAIT = 30.0
Parameters = list["weakref.ref[Any]"]


@pytest.fixture
def first(tiny_folder: Path) -> Choice:
    return Choice(str(tiny_folder), device="cpu")


@pytest.fixture
def second(tiny_folder: Path) -> Choice:
    return Choice(str(tiny_folder), device="cpu", dtype="bfloat16")


def loaded(seats: Seats, choice: Choice) -> Seat:
    return seats.load(choice).seat.result(WAIT)


def parameters(seat: Seat) -> Parameters:
    return [weakref.ref(p) for p in seat.vlm.model.parameters()]


def alive(parameters: Parameters) -> int:
    return sum(p() is not None for p in parameters)


def test_a_session_keeps_its_model_until_it_takes_another_and_memory_is_given_back(
    first: Choice, second: Choice
) -> None:
    seats = Seats(Seat(first, load(first)))
    old = parameters(seats.of(None))
    assert seats.of("ann") is seats.of("bob")
    seats.take("ann", loaded(seats, second))
    assert seats.of("ann").choice == second
    assert seats.of("bob").choice == first
    assert seats.of("a new window").choice == second
    assert alive(old) == len(old), "bob still uses it"

    seats.take("bob", loaded(seats, second))
    assert seats.of("bob") is seats.of("ann"), "what was chosen twice is loaded once"
    assert alive(old) == 0

    new = parameters(seats.of("ann"))
    seats.give_up("ann")
    seats.leave("a new window")
    with pytest.raises(NoModel, match="press Load"):
        seats.of("ann")
    assert alive(new) == len(new), "bob still uses it"
    seats.give_up("bob")
    assert alive(new) == 0
    with pytest.raises(NoModel):
        seats.of("a new window")
    seats.take("bob", loaded(seats, first))
    assert seats.of("a new window").choice == first
    with pytest.raises(NoModel):
        seats.of("ann")


def test_who_works_with_a_model_keeps_it(first: Choice, second: Choice) -> None:
    seats = Seats(Seat(first, load(first)))
    run = seats.of("ann").vlm
    old = [weakref.ref(p) for p in run.model.parameters()]
    seats.take("ann", loaded(seats, second))
    assert alive(old) == len(old)
    del run
    gc.collect()
    assert alive(old) == 0


@pytest.fixture
def as_session() -> Iterator[Callable[[str], None]]:
    """Answer requests of a session, as Gradio does."""
    before = LocalContext.request.set(None)
    yield lambda name: LocalContext.request.set(SimpleNamespace(session_hash=name))  # pyright: ignore
    LocalContext.request.reset(before)


def test_pages_see_the_model_of_the_session_they_answer(
    first: Choice, second: Choice, tmp_path: Path, as_session: Callable[[str], None]
) -> None:
    studio = Studio(Seats(Seat(first, load(first))), tmp_path)
    for name in ("ann", "bob"):
        as_session(name)
        assert studio.vlm.model.dtype.itemsize == 4
        studio.desk.put(name, "looked", "a picture")
    studio.turn_to("ann", loaded(studio.seats, second))
    assert studio.vlm.model.dtype.itemsize == 4, "this is bob"
    assert studio.desk.find("bob", "looked", str) is not None
    assert studio.desk.find("ann", "looked", str) is None, "what was seen with another model is let go"
    as_session("ann")
    assert studio.vlm.model.dtype.itemsize == 2


def test_a_load_can_be_cancelled_or_fail_and_the_next_one_works(
    first: Choice, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    server = HubServer(tiny_folder)
    seats = Seats(Seat(first, load(first)), Hub(server.url, tmp_path / "cache"))
    server.trouble["model.safetensors"] = Trouble(pause=0.5)
    loading, waiting = seats.load(Choice(NAME)), seats.load(Choice(NAME))
    waiting.stop.set()
    while loading.now is None:
        assert not loading.seat.done()
    loading.stop.set()
    for cancelled in (loading, waiting):
        with pytest.raises(LoadingCancelled):
            cancelled.seat.result(WAIT)
    with pytest.raises(ModelNotFound):
        loaded(seats, Choice("people/unknown"))
    assert loaded(seats, Choice(NAME)).vlm.name == NAME
    server.close()
