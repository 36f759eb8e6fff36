"""Page 3: choose a method, run it, and watch what it does to what must go and what must stay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from components import figures, fits, html
from components.bin import Bin
from components.explained import explained, methods
from components.form import Form, draw
from components.handlers import plainly
from components.studio import Studio
from components.texts import HELP
from components.widgets import clickable, picked
from unlearn_core.evaluation.progress import Job, Progress, aside, retold
from unlearn_core.methods import ALL_METHODS
from unlearn_core.runs import Run, RunState
from unlearn_core.vlm.errors import BadRequest, RunNotFound

POLL = 1.0
"""Seconds between two looks at a run that is going."""
POINTS = 300
"""Most points of a curve; longer fits are thinned out for drawing."""
LISTED = 12
FIRST = "cagul"


class UnlearnPage:
    """Elements other pages need: `onward` (the button), `timer` and `watched` (the id of the run that is shown)."""

    def __init__(self, studio: Studio, marked: gr.HTML) -> None:
        self.studio = studio
        gr.HTML(
            html.intro(
                "Run a method on the people you marked.",
                "Watch what is still answered; then compare before and after.",
                HELP["unlearn"],
            )
        )
        self.watched = gr.Textbox(visible="hidden", show_label=False)  # in the browser, where the address follows it
        self.seen, self.armed = gr.State(""), gr.State(False)
        self.method, self.like = gr.State(FIRST), gr.State("")
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=5, min_width=300):
                self.who = gr.HTML(self._who([]), elem_id="unlearn-who")
                self.instead = gr.Button(
                    "Use the people who are marked instead", visible=False, elem_id="unlearn-instead"
                )
                self.methods = clickable(fits.methods(FIRST), elem_id="unlearn-methods")
                self.groups: dict[type[Any], gr.Group] = {}
                self.forms: dict[type[Any], Form] = {}
                for name, method in ALL_METHODS.items():
                    if method.config in self.forms:
                        continue
                    with gr.Group(visible=name == FIRST) as group:
                        self.forms[method.config] = draw(method.config, f"option-{name}")
                    self.groups[method.config] = group
                gr.HTML("<p class='legend'>[paper]: as the paper has it. [ours]: our own choice.</p>")
                explained("Formulas of the methods", methods(), "unlearn-explained")
                self.start = gr.Button("Start", variant="primary", interactive=False, elem_id="unlearn-start")
            with gr.Column(scale=6, min_width=300):
                self.progress = gr.HTML(
                    html.empty("No run is going. Choose a method and press Start."), elem_id="unlearn-progress"
                )
                with gr.Row():  # above what grows, so that nothing is pushed away under the mouse
                    self.cancel = gr.Button("Cancel", visible=False, elem_id="unlearn-cancel")
                    self.delete = gr.Button("Delete this run", visible=False, elem_id="unlearn-delete")
                    self.onward = gr.Button(
                        "Compare before and after", variant="primary", visible=False, elem_id="unlearn-onward"
                    )
                with gr.Column(visible=False) as self.charts:
                    self.probes = gr.Plot(show_label=False, elem_id="unlearn-probes")
                    self.losses = gr.Plot(show_label=False, elem_id="unlearn-losses")
                self.report = gr.HTML(elem_id="unlearn-report")
                self.bin = Bin(studio, "unlearn", studio.workspace, "run")
                self.runs = clickable(elem_id="unlearn-runs")
        self.timer = gr.Timer(POLL, active=False)
        self._wire(marked)

    def _wire(self, marked: gr.HTML) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        self.view = [
            self.watched,
            self.seen,
            self.armed,
            self.timer,
            self.progress,
            self.charts,
            self.probes,
            self.losses,
        ]
        self.view += [self.report, self.cancel, self.delete, self.onward, self.runs]
        about = [self.who, self.start, self.like, self.instead]
        gr.on([marked.change, self.instead.click], self._marked, marked, about, **quiet)
        self.methods.select(self._choose, None, [self.method, self.methods, *self.groups.values()], **quiet)
        values = [c for form in self.forms.values() for c in form.components]
        self.like_another = [*about, self.method, self.methods, *self.groups.values(), *values]
        self.asked = [marked, self.like, self.method, *values]
        self.begin_at(self.start.click)
        self.timer.tick(self._tick, [self.watched, self.seen], self.view, queue=False, **quiet)
        self.cancel.click(self._cancel, self.watched, self.cancel, **quiet)
        self.delete.click(self._delete, [self.watched, self.armed], [*self.view, *self.bin.drawn], **quiet)
        self.bin.undo.click(self._undo, self.bin.gone, [*self.view, *self.bin.drawn], **quiet)
        self.runs.select(self._open, None, self.view, **quiet)

    def begin_at(self, event: Any) -> None:
        """Start a run with what is marked and chosen, whenever this event occurs."""
        event(self._start, self.asked, [self.start, *self.view], show_progress="hidden", api_visibility="private")

    # -- events -------------------------------------------------------------------------------------------------------

    def latest(self) -> dict[Any, Any]:
        """The run that is going, else the latest one. What a new page is attached to."""
        runs = self.studio.workspace.runs()
        run = self.studio.worker.active() or next(iter(runs), None)
        return self.show(run.id if run else "")

    @plainly
    def _marked(self, marked: list[str]) -> Any:
        return self._who(marked), gr.Button(interactive=bool(marked)), "", gr.Button(visible=False)

    @plainly
    def again(self, run_id: str) -> Any:
        """Ready to start a run like another one: its request, its method, and its options to be changed."""
        run = self.studio.workspace.run(run_id)
        if run.info.method not in ALL_METHODS:
            raise BadRequest("This run is of a method that this version does not know.")
        kind, options = ALL_METHODS[run.info.method].config, run.config()
        form = self.forms[kind]
        return {
            self.who: html.note(f"{run.info.title} (the request of {self.studio.title(run)})", "forget"),
            self.start: gr.Button(interactive=True),
            self.like: run_id,
            self.instead: gr.Button(visible=True),
            self.method: run.info.method,
            self.methods: fits.methods(run.info.method),
            **{group: gr.Group(visible=k is kind) for k, group in self.groups.items()},
            **{c: options[name] for name, c in zip(form.names, form.components, strict=True) if name in options},
        }

    @plainly
    def _choose(self, event: gr.EventData) -> Any:
        name = picked(event) if picked(event) in ALL_METHODS else FIRST
        return name, fits.methods(name), *(gr.Group(visible=k is ALL_METHODS[name].config) for k in self.groups)

    @plainly
    def _start(self, marked: list[str], like: str, name: str, *values: Any) -> Iterator[Any]:
        config = self._config(name, list(values))
        if not marked and not like:
            raise BadRequest("Nobody is marked to be forgotten. Please mark at least one person on the page before.")
        ready = {self.start: gr.Button("Start", interactive=True)}
        yield {
            self.start: gr.Button("Preparing the pictures …", interactive=False),
            self.onward: gr.Button(visible=False),
        }
        began = time.monotonic()

        def told(p: Progress) -> Any:
            return {self.progress: html.underway(p.done, p.total, "pictures drawn", time.monotonic() - began)}

        try:
            run = yield from retold(aside(self._made(marked, like, name, config)), told)  # also if the page is closed
        except Exception:
            yield {**ready, **self.latest()}
            raise
        yield {**ready, **self.show(run.id)}

    def _made(self, marked: list[str], like: str, name: str, config: Any) -> Job[Run]:
        """A run of the request that is marked, or of another run's, begun."""
        if like:
            other = self.studio.workspace.run(like)
            request, title = other.request(), other.info.title
        else:
            request, title = (yield from self.studio.request(marked)), self.studio.request_title(marked)
        return self.studio.worker.start(self.studio.vlm, request, ALL_METHODS[name], config, title)

    def _config(self, name: str, values: list[Any]) -> Any:
        """The config of the chosen method, from the values of all forms."""
        for kind, form in self.forms.items():
            own, values = values[: len(form.names)], values[len(form.names) :]
            if name in ALL_METHODS and kind is ALL_METHODS[name].config:
                return form.config(own)
        raise BadRequest("Please choose a method.")

    @plainly
    def _tick(self, watched: str, seen: str) -> Any:
        try:
            return self.show(watched, seen)
        except RunNotFound:  # somebody deleted it
            return self.latest()

    @plainly
    def _cancel(self, watched: str) -> Any:
        self.studio.worker.cancel(watched)
        return gr.Button("Cancelling after this step …", interactive=False)

    @plainly
    def _delete(self, watched: str, armed: bool) -> Any:
        """The first press asks, the second deletes."""
        if not armed:
            return {self.armed: True, self.delete: gr.Button("Delete it with its pictures and its result?")}
        return {**self.bin.discard(watched), **self.latest()}

    @plainly
    def _undo(self, gone: str) -> Any:
        """Brings back what was deleted last, and shows it."""
        return {**self.bin.restore(gone), **self.show(gone)}

    @plainly
    def _open(self, event: gr.EventData) -> Any:
        return self.show(picked(event))

    # -- what is shown ------------------------------------------------------------------------------------------------

    def show(self, run_id: str, seen: str = "") -> dict[Any, Any]:
        """The right side for one run; nothing where nothing changed since `seen`. Raises RunNotFound, RunDamaged."""
        if not run_id:
            return self._nothing()
        run = self.studio.workspace.run(run_id)
        status, steps = run.status, run.events()
        ahead = self.studio.worker.ahead(run_id)
        listed = self._list(run_id)  # where other runs go on, too, while this one waits
        now = f"{run_id} {status.state} {ahead} {len(steps)} {hash(listed)}"
        if now == seen:
            return {self.seen: seen}
        done, over = status.state is RunState.DONE, status.state.over
        shown = {
            self.watched: run_id,
            self.seen: now,
            self.armed: False,
            self.timer: gr.Timer(active=not over),
            self.progress: fits.progress(run, status.state, status.message, steps, ahead),
            self.charts: gr.Column(visible=bool(steps)),
            self.report: fits.report(run.report()) if done else "",
            self.cancel: gr.Button("Cancel", visible=not over, interactive=True),
            self.delete: gr.Button("Delete this run", visible=over),
            self.onward: gr.Button(visible=done and self.studio.fits(run)),
            self.runs: listed,
        }
        if steps:
            thin = steps[:: max(1, len(steps) // POINTS)]
            shown |= {self.probes: figures.probes(steps), self.losses: figures.losses(thin)}
        return shown

    def _nothing(self) -> dict[Any, Any]:
        return {
            self.watched: "",
            self.timer: gr.Timer(active=False),
            self.progress: html.empty("No run yet. Mark people, choose a method and press Start."),
            self.charts: gr.Column(visible=False),
            self.report: "",
            self.delete: gr.Button(visible=False),
            self.onward: gr.Button(visible=False),
            self.runs: "",
        }

    def _who(self, marked: list[str]) -> str:
        if not marked:
            return html.note("Nobody is marked yet. Go back to Forget and mark at least one person.")
        return html.note(self.studio.request_title(marked), "forget")

    def _list(self, chosen: str) -> str:
        rows = "".join(fits.listed(run, run.id == chosen) for run in self.studio.workspace.runs()[:LISTED])
        return f'<h4>Recent runs</h4><div class="runs">{rows}</div>' if rows else ""
