"""Page Runs: all runs of the workspace, whoever started them, and what can be done with each."""

from __future__ import annotations

from typing import Any

import gradio as gr

from components import figures, fits, html
from components.bin import Bin
from components.handlers import plainly
from components.others import Others
from components.runs_table import STANDS, Listing, table
from components.studio import Studio
from components.texts import HELP
from components.widgets import clickable, picked
from unlearn_core.methods import ALL_METHODS
from unlearn_core.runs import Run, RunDamaged, RunState
from unlearn_core.vlm.errors import BadRequest, RunNotFound

POLL = 2.0
"""Seconds between two looks while the page is open."""
PAGE = 25
"""Runs shown at a time."""
POINTS = 300
"""Most points of a curve."""


class RunsPage:
    """Elements other pages need: `chosen` (the id of the run that is shown), `compare` and `again` (buttons), `timer`."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.listing = studio, Listing(studio.workspace)
        gr.HTML(
            html.intro(
                "All runs of this workspace, also those that the command line started.",
                "Choose one to watch it, to go on with it, or to use it again.",
                HELP["runs"],
            )
        )
        self.chosen = gr.Textbox(visible="hidden", show_label=False)  # in the browser, where the address follows it
        self.seen, self.armed = gr.State(""), gr.State(False)
        self.count, self.drawn = gr.State(PAGE), gr.State(0)
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=7, min_width=300):
                with gr.Row():
                    self.words = gr.Textbox(
                        label="Search",
                        placeholder="Name, note or method",
                        scale=3,
                        min_width=160,
                        elem_id="runs-search",
                    )
                    self.stands = gr.Dropdown(
                        list(STANDS),
                        value="All",
                        label="State",
                        filterable=False,
                        scale=1,
                        min_width=120,
                        elem_id="runs-state",
                    )
                self.bin = Bin(studio, "runs", studio.workspace, "run")
                self.others = Others(studio)
                self.rows = clickable(elem_id="runs-table")
                self.more = gr.Button("Show more", visible=False, elem_id="runs-more")
            with gr.Column(
                scale=5, min_width=300, visible=False, elem_classes="closer", elem_id="runs-one"
            ) as self.one:
                self.progress = gr.HTML(elem_id="runs-progress")
                with gr.Row():
                    self.compare = gr.Button("Compare before and after", variant="primary", elem_id="runs-compare")
                    self.again = gr.Button("Use again with other options", elem_id="runs-again")
                with gr.Row():
                    self.resume = gr.Button("Go on", variant="primary", min_width=90, elem_id="runs-resume")
                    self.pause = gr.Button("Pause", min_width=90, elem_id="runs-pause")
                    self.cancel = gr.Button("Cancel", min_width=90, elem_id="runs-cancel")
                    self.delete = gr.Button("Delete", min_width=90, elem_id="runs-delete")
                self.probes = gr.Plot(show_label=False, elem_id="runs-probes")
                self.losses = gr.Plot(show_label=False, elem_id="runs-losses")
                self.title = gr.Textbox(label="Name", max_length=200, elem_id="runs-title")
                self.note = gr.Textbox(label="Note", lines=2, max_lines=8, max_length=4000, elem_id="runs-note")
                self.save = gr.Button("Save name and note", elem_id="runs-save")
                self.report = gr.HTML(elem_id="runs-report")
        self.timer = gr.Timer(POLL, active=False)
        self._wire()

    def _wire(self) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        self.asked = asked = [self.words, self.stands, self.count, self.chosen]
        listed = [self.rows, self.more, self.count, self.drawn]
        buttons = [self.compare, self.again, self.resume, self.pause, self.cancel, self.delete]
        texts = [self.title, self.note]
        live = [self.chosen, self.seen, self.armed, self.one, self.progress, self.probes, self.losses, self.report]
        self.shown = [*live, *buttons]
        looked = [*listed, *self.shown, *self.others.drawn]
        self.view = [*looked, *texts, self.timer]
        gr.on(
            [self.words.input, self.stands.input], self._search, [self.words, self.stands, self.chosen], listed, **quiet
        )
        self.more.click(self._further, asked, listed, **quiet)
        self.rows.select(self._open, [self.words, self.stands, self.count], [*listed, *self.shown, *texts], **quiet)
        self.timer.tick(self._tick, [*asked, self.seen, self.drawn], looked, queue=False, **quiet)
        everything = [*listed, *self.shown]
        self.pause.click(self._pause, self.chosen, self.pause, **quiet)
        self.cancel.click(self._cancel, [*asked], everything, **quiet)
        self.resume.click(self._resume, [*asked], everything, **quiet)
        self.delete.click(self._delete, [*asked, self.armed], [*everything, *self.bin.drawn], **quiet)
        self.bin.undo.click(self._undo, [*asked, self.bin.gone], [*everything, *texts, *self.bin.drawn], **quiet)
        self.save.click(self._describe, [*asked, self.title, self.note], everything, **quiet)

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def refresh(self, words: str, stands: str, count: int, chosen: str) -> Any:
        """When the page is opened."""
        shown = {**self._listed(words, stands, count, chosen), **self._live(chosen), **self.others.look()}
        return {**shown, self.timer: gr.Timer(active=True)}

    def show(self, run_id: str) -> dict[Any, Any]:
        """When the page is opened for one run. Raises RunNotFound, RunDamaged."""
        return {**self._listed("", "All", PAGE, run_id), **self._found(run_id), self.timer: gr.Timer(active=True)}

    @staticmethod
    def left(event: gr.SelectData) -> Any:
        """When some page is opened: nobody looks at this one while another is."""
        return gr.skip() if event.value == "Runs" else gr.Timer(active=False)

    @plainly
    def _search(self, words: str, stands: str, chosen: str) -> Any:
        return self._listed(words, stands, PAGE, chosen)

    @plainly
    def _further(self, words: str, stands: str, count: int, chosen: str) -> Any:
        return self._listed(words, stands, count + PAGE, chosen)

    @plainly
    def _open(self, words: str, stands: str, count: int, event: gr.EventData) -> Any:
        return {**self._listed(words, stands, count, picked(event)), **self._found(picked(event))}

    @plainly
    def _tick(self, words: str, stands: str, count: int, chosen: str, seen: str, drawn: int) -> Any:
        """What changed since the last look. What was chosen while this one looked stays chosen."""
        listed = self._listed(words, stands, count, chosen)
        live: dict[Any, Any] = {}
        if chosen or seen:
            try:
                live = self._live(chosen, seen)
            except RunDamaged:  # said once, when it was chosen; not at every look
                live = self._nothing()
        if live.get(self.chosen) == chosen:
            del live[self.chosen]
        return {**({} if listed[self.drawn] == drawn else listed), **live, **self.others.look()}

    @plainly
    def _pause(self, chosen: str) -> Any:
        self.studio.worker.pause(chosen)
        return gr.Button("Pausing after this step …", interactive=False)

    @plainly
    def _cancel(self, *asked: Any) -> Any:
        self.studio.worker.cancel(asked[-1])
        shown = {**self._listed(*asked), **self._live(asked[-1])}
        if not self.studio.workspace.run(asked[-1]).status.state.over:  # one that only waited is over already
            shown[self.cancel] = gr.Button("Cancelling …", interactive=False)
        return shown

    @plainly
    def _resume(self, *asked: Any) -> Any:
        run = self.studio.workspace.run(asked[-1])
        if not self.studio.fits(run):
            raise BadRequest(f"This run was made on another model. Please load it first: {run.info.model}")
        if run.info.method not in ALL_METHODS:
            raise BadRequest("This run is of a method that this version does not know.")
        self.studio.worker.resume(run.id, self.studio.vlm, ALL_METHODS[run.info.method])
        return {**self._listed(*asked), **self._live(run.id)}

    @plainly
    def _delete(self, words: str, stands: str, count: int, chosen: str, armed: bool) -> Any:
        """The first press asks, the second deletes."""
        if not armed:
            return {self.armed: True, self.delete: gr.Button("Delete it with its pictures and its result?")}
        gone = self.bin.discard(chosen)
        return {**gone, **self._listed(words, stands, count, ""), **self._nothing()}

    @plainly
    def _undo(self, words: str, stands: str, count: int, chosen: str, gone: str) -> Any:
        """Brings back what was deleted last, and shows it."""
        return {**self.bin.restore(gone), **self._listed(words, stands, count, gone), **self._found(gone)}

    @plainly
    def _describe(self, words: str, stands: str, count: int, chosen: str, title: str, note: str) -> Any:
        self.studio.workspace.run(chosen).describe(title, note)
        return {**self._listed(words, stands, count, chosen), **self._live(chosen)}

    def _found(self, run_id: str) -> dict[Any, Any]:
        """One run, with its name and note to be changed. Raises RunNotFound, RunDamaged."""
        info = self.studio.workspace.run(run_id).info
        return {**self._live(run_id), self.title: info.title, self.note: info.note}

    # -- what is shown ------------------------------------------------------------------------------------------------

    def _listed(self, words: str, stands: str, count: int, chosen: str) -> dict[Any, Any]:
        found = self.listing.find(words, stands)
        left = len(found) - count
        rows = table(self.listing.rows(found[:count]), chosen)
        return {
            self.rows: rows,
            self.drawn: hash((rows, left)),
            self.more: gr.Button(f"Show more ({left})", visible=left > 0),
            self.count: count,
        }

    def _live(self, chosen: str, seen: str = "") -> dict[Any, Any]:
        """One run as it is now; nothing where nothing changed since `seen`."""
        try:
            run = self.studio.workspace.run(chosen)
            return self._one(run, seen)
        except RunNotFound:  # none is chosen, or somebody deleted it
            return self._nothing()

    def _one(self, run: Run, seen: str) -> dict[Any, Any]:
        status, steps = run.status, run.events()
        ahead = self.studio.worker.ahead(run.id)
        now = f"{run.id} {status.state} {ahead} {len(steps)} {run.info.title}"
        if now == seen:
            return {self.seen: seen}
        state, done = status.state, status.state is RunState.DONE
        shown = {
            self.chosen: run.id,
            self.seen: now,
            self.one: gr.Column(visible=True),
            self.progress: fits.progress(run, state, status.message, steps, ahead),
            self.report: fits.report(run.report()) if done else "",
            self.compare: gr.Button(visible=done and self.studio.fits(run)),
            self.again: gr.Button(visible=run.info.method in ALL_METHODS),
            self.resume: gr.Button(visible=state.resumable),
            self.pause: gr.Button("Pause", visible=not state.over, interactive=True),
            self.cancel: gr.Button("Cancel", visible=not state.over or state is RunState.PAUSED, interactive=True),
            self.probes: gr.Plot(figures.probes(steps), visible=True) if steps else gr.Plot(visible=False),
            self.losses: gr.Plot(visible=False),
        }
        if any(step.losses for step in steps):
            shown[self.losses] = gr.Plot(figures.losses(steps[:: max(1, len(steps) // POINTS)]), visible=True)
        if state.over or not seen.startswith(run.id):
            shown |= {self.armed: False, self.delete: gr.Button("Delete", visible=state.over)}
        return shown

    def _nothing(self) -> dict[Any, Any]:
        return {self.chosen: "", self.seen: "", self.armed: False, self.one: gr.Column(visible=False)}
