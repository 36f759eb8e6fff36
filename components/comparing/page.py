"""Page 4: the same questions to the model before and to one or two results, side by side."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

import gradio as gr

from components import html
from components.comparing import figures, tables
from components.comparing.closer import Closer
from components.comparing.lines import lines_of
from components.comparing.listing import Listing
from components.comparing.sides import B, Done, Sides, points
from components.explained import explained, metrics
from components.figures import nothing
from components.handlers import plainly
from components.studio import BUNDLE, Studio
from components.texts import HELP
from unlearn_core.comparison import RETAIN_ONLY, Comparison, set_side_by_side

NOBODY = ""
"""Stands for no B."""
FIRST = "Press Compare first."
BEGIN = "Choose a result and press Compare: the same questions are asked before and after."

_BEGUN = "() => [{__type__: 'update', interactive: false}, {__type__: 'update', visible: true}]"
"""What can be pressed from the click on, also while somebody else's comparison is waited for."""

_SAVE_CHART = """() => {
  const chart = document.querySelector('#%s .js-plotly-plot');
  if (chart) window.Plotly.downloadImage(chart, {format: 'png', filename: '%s', width: chart.clientWidth, height: chart.clientHeight, scale: 2});
}"""
"""The chart as it is drawn, twice as large."""


class ComparePage:
    """Elements other pages need: `result` (the choice of A) and `other` (of B)."""

    def __init__(self, studio: Studio, marked: gr.HTML) -> None:
        self.studio = studio
        gr.HTML(
            html.intro(
                "Put the answers before and after side by side.",
                "What must go should no longer be answered, and all else should stay.",
                HELP["compare"],
            )
        )
        with gr.Row(elem_classes="bar-row"):
            self._choices()
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=6, min_width=300):
                self.progress = gr.HTML(html.empty(BEGIN), elem_id="compare-progress")
                self.summary = gr.HTML(elem_id="compare-summary")
                explained("What the numbers mean", metrics(), "compare-explained")
                with gr.Tabs(overflow_behavior="wrap"):
                    with gr.Tab("Questions"):
                        self.listing = Listing(studio)
                    with gr.Tab("Chart"):
                        self.bars = gr.Plot(nothing(FIRST, 120), show_label=False, elem_id="compare-bars")
                        self._chart_saver("compare-bars")
                    with gr.Tab("Every result"):
                        self.scatter = gr.Plot(
                            figures.scatter(points(studio)), show_label=False, elem_id="compare-scatter"
                        )
                        self._chart_saver("compare-scatter")
            with gr.Column(scale=5, min_width=300, elem_classes="closer"):
                self.closer = Closer(studio)
        self._wire(marked)

    def _choices(self) -> None:
        lists: Any = {"scale": 3, "min_width": 220, "filterable": False}
        self.result = gr.Dropdown(
            [], label="A", info="A finished run or an imported bundle.", elem_id="compare-result", **lists
        )
        self.other = gr.Dropdown(
            [("none", NOBODY)],
            value=NOBODY,
            label="B",
            info="Another one to set beside it.",
            elem_id="compare-other",
            **lists,
        )
        self.about = gr.Dropdown(
            self._people(),
            label="About",
            info="Whom it was made to forget: a bundle does not tell.",
            multiselect=True,
            visible=False,
            scale=3,
            min_width=220,
            elem_id="compare-about",
        )
        self.gold = gr.Textbox(
            label="Retain-only model",
            info="Folder of a model that was never taught it, if there is one.",
            visible=self._asks_for_gold(),
            scale=3,
            min_width=220,
            elem_id="compare-gold",
        )
        with gr.Column(scale=2, min_width=240):
            self.thorough = gr.Checkbox(
                label="Thorough: more of everything", container=False, elem_id="compare-thorough"
            )
            self.start = gr.Button("Compare", variant="primary", interactive=False, elem_id="compare-start")
            self.cancel = gr.Button("Cancel", visible=False, elem_id="compare-cancel")

    @staticmethod
    def _chart_saver(chart: str) -> None:
        button = gr.Button("Save this chart (PNG)", size="sm", elem_id=f"{chart}-save")
        button.click(None, None, None, js=_SAVE_CHART % (chart, chart))

    def _wire(self, marked: gr.HTML) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        chosen = [self.result, self.other, self.about, self.gold]
        self.result.change(self._chosen, [self.result, self.about, marked], [self.about, self.start], **quiet)
        running = [self.progress, self.start, self.cancel]
        shown = [self.summary, self.bars, self.scatter, *self.listing.drawn]
        self.drawn = [*chosen, self.progress, *shown]
        self.asked, self.told = [*chosen, self.thorough], [*running, *shown]
        self.begin_at(self.start.click)
        self.listing.wire()
        self.closer.wire(chosen, self.listing.rows)

    def begin_at(self, event: Any) -> None:
        """Compare what is chosen, whenever this event occurs."""
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        # One at a time: two that ask the same run would write to the same file of answers.
        once: Any = {"concurrency_id": "compare", "concurrency_limit": 1}
        # Who waits for somebody else's sees the place in the queue.
        place: Any = {**quiet, "show_progress": "minimal", "show_progress_on": self.progress}
        event(None, None, [self.start, self.cancel], js=_BEGUN, **quiet)
        begin = event(self._run, self.asked, self.told, **place, **once)
        self.cancel.click(self._cancelled, None, self.told, cancels=[begin], queue=False, **quiet)

    def _people(self) -> list[tuple[str, str]]:
        return [(c.label, c.id) for c in self.studio.collection.subjects()]

    def _asks_for_gold(self) -> bool:
        """A collection either brings a retain-only model or has none."""
        return not self.studio.collection.subjects()

    def turned(self, chosen: str | None) -> dict[Any, Any]:
        """Results on the model that the session has taken, and whom they can be about; what was compared before is let go."""
        return {
            self.result: self.refresh(chosen),
            self.other: self._other(NOBODY),
            self.about: gr.Dropdown(choices=self._people(), value=[]),
            self.gold: gr.Textbox("", visible=self._asks_for_gold()),
            self.progress: html.empty(BEGIN),
            self.scatter: figures.scatter(points(self.studio)),
            **self._cleared(),
        }

    # -- choosing -----------------------------------------------------------------------------------------------------

    @plainly
    def refresh(self, chosen: str | None) -> Any:
        """The results there are now; the choice stays, or falls on the newest."""
        results = self.studio.results()
        refs = [ref for _, ref in results]
        return gr.Dropdown(choices=results, value=chosen if chosen in refs else next(iter(refs), None))

    def show(self, run_id: str) -> dict[Any, Any]:
        """A run chosen to be compared. Raises BadRequest for one that cannot be, RunNotFound, RunDamaged."""
        return {self.result: self.refresh(self.studio.linked(run_id))}

    @plainly
    def reopened(self, other: str | None) -> Any:
        """What else may have changed while another page was open: the choices for B, and the chart of all runs. B itself is
        left alone where it can be: after a reload, it may just have come back."""
        there = other in [ref for _, ref in self._others()]
        choices = gr.Dropdown(choices=self._others()) if there else self._other(NOBODY)
        return {self.other: choices, self.scatter: figures.scatter(points(self.studio))}

    def _other(self, chosen: str | None) -> gr.Dropdown:
        others = self._others()
        return gr.Dropdown(choices=others, value=chosen if chosen in [ref for _, ref in others] else NOBODY)

    def _others(self) -> list[tuple[str, str]]:
        return [("none", NOBODY), *self.studio.results()]

    @plainly
    def _chosen(self, result: str | None, about: list[str] | None, marked: list[str]) -> Any:
        people = [ref for _, ref in self._people()]
        whom = [who for who in about or marked if who in people]
        asks = bool(people) and (result or "").startswith(BUNDLE) and not self.studio.subjects(result)
        return gr.Dropdown(value=whom, visible=asks), gr.Button(interactive=bool(result))

    # -- comparing ----------------------------------------------------------------------------------------------------

    @plainly
    def _run(
        self,
        result: str | None,
        other: str | None,
        about: list[str] | None,
        gold: str | None,
        thorough: bool,
        request: gr.Request,
    ) -> Iterator[Any]:
        sides = Sides.chosen(result, other, about, gold)
        yield {
            self.start: gr.Button(interactive=False),
            self.cancel: gr.Button(visible=True),
            self.progress: html.working("Drawing up the questions …"),
            **self._cleared(),
        }
        ready = {self.start: gr.Button(interactive=True), self.cancel: gr.Button(visible=False)}
        try:
            found = yield from self._answers(sides, thorough)
        except Exception:
            yield {**ready, self.progress: html.empty(BEGIN)}
            raise
        done = Done(sides, found, lines_of(found))
        self.studio.desk.put(request.session_hash, "comparison", done)
        yield {**ready, **self._told(done)}

    def _told(self, done: Done) -> dict[Any, Any]:
        return {
            self.progress: self._verdict(done),
            self.summary: tables.summary(done.comparison),
            self.bars: figures.bars(done.comparison),
            self.scatter: figures.scatter(points(self.studio, done.sides)),
            **self.listing.show(done),
        }

    def returned(self, request: gr.Request) -> dict[Any, Any]:
        """The comparison that there was before the window was reloaded, if there was one."""
        done = self.studio.desk.find(request.session_hash, "comparison", Done)
        if done is None:
            return {}
        sides = done.sides
        chosen = {self.result: self.refresh(sides.a), self.other: self._other(sides.b), self.gold: sides.folder}
        return {**chosen, self.about: gr.Dropdown(value=list(sides.about)), **self._told(done)}

    def _answers(self, sides: Sides, thorough: bool) -> Generator[Any, None, Comparison]:
        """What all models say; shows how far it is meanwhile. Raises Stopped if an operator ended it, and others."""
        began = time.monotonic()
        suite = self.studio.suite(sides.a, list(sides.about), thorough=thorough)
        models = sides.compared(self.studio), suite, sides.gold(self.studio)
        asked = set_side_by_side(self.studio.vlm, *models)
        job = self.studio.comparisons.follow(self.studio.label(sides.a), asked)
        while True:
            try:
                progress = next(job)
            except StopIteration as end:
                return end.value
            done, total = progress.done, progress.total
            yield {self.progress: html.underway(done, total, "answers", time.monotonic() - began)}

    def _cleared(self) -> dict[Any, Any]:
        return {self.summary: "", self.bars: nothing(FIRST, 120), **self.listing.cleared()}

    @plainly
    def _cancelled(self) -> Any:
        return {
            self.progress: html.empty("Cancelled. What was answered is kept; press Compare to go on."),
            self.start: gr.Button(interactive=True),
            self.cancel: gr.Button(visible=False),
            **self._cleared(),
        }

    def _verdict(self, done: Done) -> str:
        """What was asked of whom, in plain sentences."""
        changed = sum(line.changed for line in done.lines)
        said = [f"{name}: {self.studio.label(ref)}." for name, ref in done.sides.results.items()]
        said.append(f"{len(done.lines)} questions; A answers {changed} otherwise than before.")
        about = set(done.sides.subjects(self.studio))
        if not about or not about <= {who for _, who in self._people()}:
            said.append("Asked on the request's own pictures and altered views of them: please try others, too.")
        if done.sides.b is not None and set(self.studio.subjects(done.sides.b)) not in (set(), about):
            said.append(f"{B} was made to forget others: the questions are about those whom A was to forget.")
        if RETAIN_ONLY not in done.comparison.names:
            said.append("There is no retain-only model for these people to measure against.")
        return html.note(" ".join(said))
