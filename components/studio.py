"""What all pages share: models, collections, the workspace with its runs, imported bundles, and what sessions hold."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from gradio.context import LocalContext

from components.comparing.going import Comparisons
from components.doors.blocks import ONLY_OPERATORS
from components.doors.roles import is_operator
from components.gallery import Collection
from components.marks import Marks
from components.returning import Returning
from components.seats import Seat, Seats
from components.session import Desk
from components.texts import moment, people
from unlearn_core import bundle
from unlearn_core.bundle import Manifest
from unlearn_core.data.example import ForgetRequest
from unlearn_core.evaluation.progress import Job, finish
from unlearn_core.evaluation.suite import Suite, suite_of
from unlearn_core.evaluation.suite.build import LIMIT
from unlearn_core.evaluation.suite.controls import without_controls
from unlearn_core.examination import EVALUATION, Finding, of_bundle, of_run
from unlearn_core.methods import Module
from unlearn_core.runs import Run, RunState, Worker, Workspace
from unlearn_core.runs.errands import Errands
from unlearn_core.runs.files import replacing, storing
from unlearn_core.runs.requests import request_name
from unlearn_core.runs.shelf import Saved, Shelf
from unlearn_core.runs.store import KEPT
from unlearn_core.runs.tracking import check_trackers
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest, StorageFailed, StudioError

log = logging.getLogger(__name__)

ORIGINAL = "original"
IN_ORDER = {"concurrency_id": "ask", "concurrency_limit": 1}
"""For events that ask a model one question."""
RUN, BUNDLE = "run:", "bundle:"
RECORDED = "recorded"
"""Name of the bundle that comes with a collection, where those that are imported have a digest."""
REQUEST = "request:"
"""Marks a saved request where otherwise subjects of the collection stand."""
QUICK = 24
"""Questions of a split, at most, in a comparison that is not thorough."""
IN_MEMORY = 3
"""Modules of imported bundles kept in memory, latest used first."""


class Studio:
    """References such as `run:ID` or `bundle:NAME` stand for results; pages and sessions hold these and no modules.

    Model and collection are those of the browser session whose request is being answered.
    """

    def __init__(self, seats: Seats, workspace: Path, trackers: Sequence[str] = ()) -> None:
        self.seats = seats
        self.desk, self.marks = Desk(), Marks()
        self.returning = Returning(self.desk)
        self.workspace = Workspace(workspace)
        self.worker = Worker(self.workspace, trackers=check_trackers(trackers))
        self.comparisons = Comparisons()
        self.errands = Errands(lambda: self.worker.active() is not None)
        self.shelf = Shelf(workspace / "requests")
        self._imported = workspace / "imported"
        self._lock = Lock()
        self.empty_bin()  # of a studio that was killed
        self._sweep()

    def close(self) -> None:
        """Pause the fit that is going and those that wait: they can be resumed, from the page Runs. What was deleted is gone."""
        self.errands.close()
        self.worker.close()
        self.empty_bin(older=0)

    def empty_bin(self, older: float = KEPT) -> None:
        """Runs and requests that were deleted go for good, those of at least `older` seconds. What the disk refuses to remove
        is tried again with the next change of the workspace, and at the next start."""
        for kept in (self.workspace, self.shelf):
            try:
                kept.empty_bin(older)
            except StorageFailed as error:
                log.warning("Something that was deleted could not be removed from the workspace yet. %s", error)

    def _sweep(self) -> None:
        """What killed programs left half written goes; a workspace that can only be looked at is no obstacle."""
        try:
            self.workspace.sweep()
        except StorageFailed as error:
            log.warning("What was left half written could not be removed from the workspace. %s", error)

    # -- the session's model ------------------------------------------------------------------------------------------

    @property
    def seat(self) -> Seat:
        """What the session works with. Raises NoModel."""
        request = LocalContext.request.get(None)
        return self.seats.of(None if request is None else request.session_hash)

    @property
    def vlm(self) -> VLM:
        return self.seat.vlm

    @property
    def collection(self) -> Collection:
        return self.seat.collection

    def turn_to(self, session: str | None, seat: Seat) -> None:
        """Another model for a session: what it holds of the one before is let go."""
        self.returning.turned(str(session))
        self.desk.clear(session)
        self.seats.take(session, seat)

    def give_up(self, session: str | None) -> None:
        """No model for a session."""
        self.returning.turned(str(session))
        self.desk.clear(session)
        self.seats.give_up(session)

    def leave(self, session: str | None) -> None:
        """A session is over."""
        self.returning.left(str(session))
        self.seats.leave(session)

    # -- results ------------------------------------------------------------------------------------------------------

    def models(self) -> list[tuple[str, str]]:
        """All that can be asked, as (label, reference): the original first, then every result."""
        return [("Original model", ORIGINAL), *self.results()]

    def results(self) -> list[tuple[str, str]]:
        """Finished runs on this model, newest first, then imported bundles, and the one that comes with the collection."""
        runs = [(self.title(run), ref) for ref, run in self.finished()]
        return runs + [(self._bundle_title(name, m), BUNDLE + name) for name, m in self._bundles().items()]

    def _bundle_title(self, name: str, manifest: Manifest) -> str:
        if name != RECORDED:
            return f"{manifest.title} (imported)"
        who = people([self.collection.name(s) for s in self.subjects(BUNDLE + name)])
        return f"Forget {who} · {manifest.method.upper()} · recorded example"

    def finished(self) -> list[tuple[str, Run]]:
        """Finished runs on this model with their references, newest first."""
        runs = self.workspace.runs()
        return [(RUN + run.id, run) for run in runs if run.state is RunState.DONE and self.fits(run)]

    def label(self, ref: str) -> str:
        """What the lists call a result."""
        return next((label for label, known in self.results() if known == ref), ref)

    def fits(self, run: Run) -> bool:
        """Whether the run was made on the model that is loaded."""
        return _same_model(run.info.model, self.vlm.name)

    def title(self, run: Run) -> str:
        """Whom and how, and the time, in the words of the page."""
        return f"{run.info.title} · {run.info.method.upper()} · {moment(run.info.created)}"

    @staticmethod
    def is_run(ref: str) -> bool:
        return ref.startswith(RUN)

    def run(self, ref: str) -> Run:
        """The run behind a reference. Raises BadRequest for anything else."""
        if not self.is_run(ref):
            raise BadRequest("Please choose a finished run.")
        return self.workspace.run(ref.removeprefix(RUN))

    def linked(self, run_id: str) -> str:
        """The reference of a finished run on this model. Raises BadRequest for another one, RunNotFound, RunDamaged."""
        run = self.workspace.run(run_id)
        if not self.fits(run):
            raise BadRequest(f"This run was made on another model. Please load it first: {run.info.model}")
        if run.state is not RunState.DONE:
            raise BadRequest("This run is not finished. The page Runs shows how far it is.")
        return RUN + run.id

    def subjects(self, ref: str | None) -> list[str]:
        """Whom a result was made to forget; a bundle does not tell, but for the one that comes with the collection."""
        recorded = self.collection.recorded() if ref == BUNDLE + RECORDED else None
        if recorded is not None:
            return [recorded.subject]
        return list(self.run(ref).info.subjects) if ref and self.is_run(ref) else []

    def model(self, ref: str | None) -> VLM:
        """The original model, or a result attached to it."""
        return self.vlm if ref in (None, ORIGINAL) else self.module(str(ref)).attach(self.vlm)

    def module(self, ref: str) -> Module:
        if ref.startswith(BUNDLE):
            return self._bundle(ref.removeprefix(BUNDLE))
        return self.worker.module(self.run(ref).id)

    # -- what is marked -----------------------------------------------------------------------------------------------

    def request(self, marked: list[str]) -> Job[ForgetRequest]:
        """The saved request that is marked, or one about the marked subjects of the collection."""
        saved = self.saved(marked)
        if saved is None:
            return (yield from self.collection.request(marked))
        return self.shelf.load(saved.id)

    def request_title(self, marked: list[str]) -> str:
        saved = self.saved(marked)
        return saved.name if saved is not None else f"Forget {people([self.collection.name(s) for s in marked])}"

    def saved(self, marked: list[str]) -> Saved | None:
        """The saved request that is marked, if one is. Raises BadRequest if it is gone, or not marked alone."""
        ref = next((m.removeprefix(REQUEST) for m in marked if m.startswith(REQUEST)), None)
        if ref is not None and len(marked) > 1:
            raise BadRequest(
                "A request of your own is marked, and people beside it. Please press Clear and choose again."
            )
        return None if ref is None else Saved(ref, request_name(self.shelf.path(ref)))

    # -- comparing ----------------------------------------------------------------------------------------------------

    def suite(self, ref: str, about: list[str], *, thorough: bool) -> Suite:
        """Questions about what a result was made to forget; `about` says whom where it is a bundle, which does not tell.

        Raises:
            BadRequest: neither is there.
        """
        about = about if self.is_run(ref) else self.subjects(ref) or about
        if not self.is_run(ref) and not self.collection.subjects():
            raise BadRequest(
                "A bundle does not tell whom it is about, and this model comes without a collection of people. "
                "Please ask all models a question of your own instead."
            )
        if not self.is_run(ref) and not about:
            raise BadRequest("Please choose at least one person that the questions are about; a bundle does not tell.")
        request = self.run(ref).request() if self.is_run(ref) else finish(self.collection.request(about))
        found = self.collection.suite(request, thorough=thorough)
        whole = found or suite_of(request, self.vlm, limit=LIMIT if thorough else QUICK)
        return whole if thorough else without_controls(whole)

    def gold(self, folder: str, subjects: Sequence[str]) -> VLM | None:
        """A model that was never taught about these subjects, loaded when it is first wanted: that of the collection, or
        the one in a folder, which only operators may name.

        Raises:
            BadRequest: there is no such folder, or it is a viewer who names one. Others as for loading any model.
        """
        known = self.collection.retain_only(subjects)
        path = str(known) if known is not None else folder.strip()
        if not path:
            return None
        if known is None and not is_operator(LocalContext.request.get(None)):
            raise BadRequest(ONLY_OPERATORS)
        if not Path(path).is_dir():
            raise BadRequest("There is no such folder. Please give the folder of the retain-only model, or nothing.")
        return self.seat.gold(path)

    # -- bundles ------------------------------------------------------------------------------------------------------

    def bring(self, path: Path) -> str:
        """Check a bundle, keep a copy in the workspace, and return its reference. Raises BundleDamaged, BundleMismatch, StorageFailed."""
        manifest = bundle.verify(path, self.vlm)
        bundle.load(path, self.vlm)
        with path.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        with storing():
            self._imported.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("rb") as source, replacing(self._imported / f"{name}.zip") as kept:
            shutil.copyfileobj(source, kept)
        self.seat.manifests[name] = manifest
        return BUNDLE + name

    def finding(self, ref: str) -> Finding:
        """What is behind a reference, to be examined. Raises BadRequest, RunNotFound, RunNotReady, RunDamaged."""
        if self.is_run(ref):
            return of_run(self.run(ref))
        return of_bundle(self.manifest(ref), self.module(ref), self.examined(ref))

    def examined(self, ref: str) -> Path:
        """The folder for what is found out about a result; it need not be there yet. Raises BadRequest, RunNotFound."""
        if self.is_run(ref):
            return self.run(ref).folder / EVALUATION
        self.manifest(ref)
        return self._imported / f"{ref.removeprefix(BUNDLE)}.{EVALUATION}"

    def manifest(self, ref: str) -> Manifest:
        """What an imported bundle says of itself. Raises BadRequest."""
        found = self._bundles().get(ref.removeprefix(BUNDLE))
        if found is None:
            raise BadRequest("This bundle is no longer here. Please import it again.")
        return found

    def _bundles(self) -> dict[str, Manifest]:
        """Bundles that belong to this model. Each is read through once; what became damaged is left out."""
        found, seat = {}, self.seat
        for name, path in self._paths().items():
            try:
                if name not in seat.manifests:
                    seat.manifests[name] = bundle.verify(path, seat.vlm)
                found[name] = seat.manifests[name]
            except StudioError:
                continue
        return found

    def _paths(self) -> dict[str, Path]:
        """Files of bundles by name."""
        recorded = self.collection.recorded()
        imported = {path.stem: path for path in sorted(self._imported.glob("*.zip"))}
        return imported | ({} if recorded is None else {RECORDED: recorded.bundle})

    def _bundle(self, name: str) -> Module:
        self.manifest(name)
        seat = self.seat
        with self._lock:
            if name not in seat.modules:
                seat.modules[name] = bundle.load(self._paths()[name], seat.vlm)
            seat.modules.move_to_end(name)
            while len(seat.modules) > IN_MEMORY:
                seat.modules.popitem(last=False)
            return seat.modules[name]


def _same_model(one: str, other: str) -> bool:
    return one == other or (Path(one).exists() and Path(other).exists() and Path(one).samefile(other))
