"""Which model each browser session works with. A model lives as long as a session, a page's request or a run refers to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event, Lock, Thread
from weakref import WeakValueDictionary

from components.gallery import Collection, collection_for
from unlearn_core.bundle import Manifest
from unlearn_core.methods import Module
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import StudioError
from unlearn_core.vlm.freeing import give_back
from unlearn_core.vlm.hub import Downloaded, Hub
from unlearn_core.vlm.loading import Choice, load


class NoModel(StudioError):
    """A session gave its model back and has not loaded another."""


class LoadingCancelled(StudioError):
    """Somebody changed their mind while a model was loaded."""


@dataclass(eq=False)
class Seat:
    """A loaded model and what belongs to it; sessions that chose the same share it.

    Args:
        manifests: bundles that were checked against this model, by name.
        modules: what was read from such bundles, latest used last.
        retain_only: a model to measure forgetting against, by its folder.
    """

    choice: Choice
    vlm: VLM
    collection: Collection = field(init=False)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    modules: OrderedDict[str, Module] = field(default_factory=OrderedDict)
    retain_only: dict[str, VLM] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.collection = collection_for(self.vlm)

    def gold(self, folder: str) -> VLM:
        """The retain-only model in a folder, loaded like the seat's own. One is kept; another takes its place."""
        if folder not in self.retain_only:
            self.retain_only.clear()
            self.retain_only[folder] = load(replace(self.choice, model=folder, revision=None))
        return self.retain_only[folder]


@dataclass(eq=False)
class Loading:
    """A model on its way: how far its download is, and a way to stop it."""

    now: Downloaded | None = None
    stop: Event = field(default_factory=Event)
    seat: Future[Seat] = field(default_factory=Future)

    def tell(self, now: Downloaded) -> None:
        """Raises LoadingCancelled if nobody wants the model any more."""
        self.now = now
        self.check()

    def check(self) -> None:
        if self.stop.is_set():
            raise LoadingCancelled("Loading was cancelled. What was downloaded is kept.")


class Seats:
    """A session works with one model from its first request on, whatever other sessions load, until it loads another.

    A new session begins with the model that was loaded last.

    Args:
        seat: what the first session begins with.
        hub: None for the one that the environment names.
    """

    def __init__(self, seat: Seat, hub: Hub | None = None) -> None:
        self.hub = hub
        self._newest: Seat | None = seat
        self._taken: dict[str, Seat | None] = {}
        self._alive: WeakValueDictionary[Choice, Seat] = WeakValueDictionary({seat.choice: seat})
        self._lock = Lock()
        self._one_at_a_time = Lock()

    def of(self, session: str | None) -> Seat:
        """What a session works with; None is nobody in particular. Raises NoModel."""
        with self._lock:
            if session is not None and self._newest is not None:
                self._taken.setdefault(session, self._newest)
            seat = self._newest if session is None else self._taken.get(session)
        if seat is None:
            raise NoModel("No model is loaded. Please choose one under Model, at the top of the page, and press Load.")
        return seat

    def load(self, choice: Choice) -> Loading:
        """Begin to load a model; one that is loaded already is shared. Loads go one after another."""
        loading = Loading()
        # A daemon, so that the studio can end while a large model is on its way.
        Thread(target=self._run, args=(choice, loading), name="loading", daemon=True).start()
        return loading

    def take(self, session: str | None, seat: Seat) -> None:
        """From now on the session works with this model; if nobody else needs the one before, its memory is given back."""
        with self._changing():
            self._taken[str(session)] = self._newest = seat

    def give_up(self, session: str | None) -> None:
        """The session works with no model; new sessions neither, unless somebody still uses the newest."""
        with self._changing():
            self._taken[str(session)] = None
            if self._newest not in self._taken.values():
                self._newest = None

    def leave(self, session: str | None) -> None:
        """The session is over."""
        with self._changing():
            self._taken.pop(str(session), None)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Inside, who works with what may change; afterwards the memory of models that nobody uses any more is given back."""
        with self._lock:
            before = self._used()
            yield
            used = self._used()
            unused = before - used or any(id(seat) not in used for seat in self._alive.values())
        if unused:
            give_back()

    def _used(self) -> set[int]:
        """By identity, so that nothing is kept alive by it."""
        return {id(seat) for seat in (self._newest, *self._taken.values()) if seat is not None}

    def _run(self, choice: Choice, loading: Loading) -> None:
        with self._one_at_a_time:
            try:
                loading.seat.set_result(self._load(choice, loading))
            except BaseException as error:  # whoever waits for the model is told
                loading.seat.set_exception(error)

    def _load(self, choice: Choice, loading: Loading) -> Seat:
        loading.check()
        seat = self._alive.get(choice)
        if seat is None:
            seat = Seat(choice, load(choice, self.hub, loading.tell))
            with self._lock:
                self._alive[choice] = seat
        loading.check()
        return seat
