"""The panel of page 4 that looks closer at one question: every answer, where every model looked, and what changed."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from components import answers, html
from components.comparing import closeup, files
from components.comparing.closeup import Closeup
from components.comparing.sides import A, B, Done, Sides
from components.gallery import WHO, Shown, brought
from components.handlers import plainly
from components.studio import IN_ORDER, Studio
from components.widgets import SAVE, clickable, picked
from unlearn_core.attention import drawing
from unlearn_core.comparison import BEFORE, RETAIN_ONLY
from unlearn_core.evaluation.suite import SPLITS
from unlearn_core.methods.seen import seen_through
from unlearn_core.vlm.errors import BadRequest

_SLOTS = {BEFORE: "before", A: "after", B: "b", RETAIN_ONLY: "retain-only"}
"""What the elements of each model are called."""
_CHANGES = {A: "change", B: "change-b"}
_INTO_VIEW = """() => {
  const box = document.querySelector('#closer-question').getBoundingClientRect();
  if (box.top < 0 || box.bottom > innerHeight) document.querySelector('#closer-hint').scrollIntoView({behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth', block: 'start'});
}"""
"""On a narrow page the answers are far below the question that was clicked."""


class Closer:
    """Draw it where it belongs on the page, then `wire` it to the choice of models and to the questions."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        gr.HTML("<h3>Look closer</h3>")
        hint = "Click a question, or bring a picture, to see where every model looks."
        self.hint = gr.HTML(html.empty(hint), elem_id="closer-hint")
        with gr.Row(elem_classes="ask"):
            self.question = gr.Textbox(
                label="Question",
                max_length=2000,
                scale=5,
                min_width=160,
                placeholder="Ask all models",
                elem_id="closer-question",
            )
            self.ask = gr.Button("Ask all", variant="primary", scale=1, min_width=90, elem_id="closer-ask")
        self.upload = gr.UploadButton("Bring a picture", file_types=["image"], size="sm", elem_id="closer-upload")
        self.columns: dict[str, gr.Column] = {}
        self.said: dict[str, gr.HTML] = {}
        self.maps: dict[str, gr.Plot] = {}
        self.changes: dict[str, gr.Plot] = {}
        with gr.Column(visible=False) as self.all:
            with gr.Row(elem_classes="models"):
                for name, slot in _SLOTS.items():
                    with gr.Column(min_width=100, visible=False) as self.columns[name]:
                        self.said[name] = gr.HTML(elem_id=f"closer-{slot}")
                        self.maps[name] = gr.Plot(show_label=False, elem_id=f"closer-{slot}-map")
            gr.HTML("<h4>Difference to before <small>teal: looked at more after, amber: less</small></h4>")
            with gr.Row(elem_classes="models"):
                for name, slot in _CHANGES.items():
                    self.changes[name] = gr.Plot(show_label=False, elem_id=f"closer-{slot}-map")
            self.save = clickable(
                f'<div class="picks"><div>{html.buttons([("png", "Save the maps (PNG)", "")])}</div></div>',
                elem_id="closer-save",
            )
            self.file = gr.HTML(elem_classes="taken", elem_id="closer-file")
            gr.HTML("<h4>What A did to the picture</h4>")
            self.method = gr.HTML(elem_id="closer-method")
            self.moved = gr.Plot(show_label=False, elem_id="closer-moved")

    def wire(self, chosen: list[Any], rows: gr.HTML) -> None:
        """`chosen` are the inputs that `Sides.chosen` reads."""
        drawn = [*self.columns.values(), *self.said.values(), *self.maps.values(), *self.changes.values()]
        out = [self.hint, self.question, self.all, *drawn, self.file, self.method, self.moved]
        quiet: Any = {
            "show_progress": "minimal",
            "show_progress_on": self.hint,
            "api_visibility": "private",
            **IN_ORDER,
        }
        rows.select(self._picked, None, out, **quiet).then(None, None, None, js=_INTO_VIEW)
        self.upload.upload(self._bring, [self.upload, self.question, *chosen], out, **quiet)
        gr.on([self.ask.click, self.question.submit], self._ask, [self.question, *chosen], out, **quiet)
        hidden: Any = {"show_progress": "hidden", "api_visibility": "private"}
        self.save.select(self._save, None, self.file, **hidden).then(None, None, None, js=SAVE % "closer-file")

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def _picked(self, request: gr.Request, event: gr.EventData) -> Any:
        done, place = self.studio.desk.get(request.session_hash, "comparison", Done), picked(event)
        if not place.isdigit() or int(place) >= len(done.lines):
            raise BadRequest("This question is no longer in the list. Please press Compare again.")
        line = done.lines[int(place)]
        shown = Shown(line.probe.example.id, SPLITS[line.split].title, line.probe.example.image)
        return self._look(shown, line.probe.question, done.sides, request)

    @plainly
    def _bring(
        self, path: str, question: str, a: str | None, b: str | None, about: list[str], folder: str, request: gr.Request
    ) -> Any:
        return self._look(brought(path), question or WHO, Sides.chosen(a, b, about, folder), request)

    @plainly
    def _ask(
        self, question: str, a: str | None, b: str | None, about: list[str], folder: str, request: gr.Request
    ) -> Any:
        shown = self.studio.desk.get(request.session_hash, "closer", Closeup).shown
        return self._look(shown, question, Sides.chosen(a, b, about, folder), request)

    @plainly
    def _save(self, request: gr.Request) -> Any:
        drawn = self.studio.desk.get(request.session_hash, "closer", Closeup).drawn()
        if not drawn:
            raise BadRequest("There is no map to save: there was no picture to look at, or nothing was said.")
        data = files.beside(drawn)
        return html.download("maps.png", drawing.uri(data, "image/png"), len(data))

    def _look(self, shown: Shown, question: str, sides: Sides, request: gr.Request) -> dict[Any, Any]:
        models = sides.models(self.studio)
        found = closeup.look(models, shown, question)
        self.studio.desk.put(request.session_hash, "closer", found)
        before = found.looked[BEFORE]
        seen = None if shown.image is None else seen_through(models[BEFORE], models[A], before.prompt)
        updates: dict[Any, Any] = {
            self.hint: f"<p><b>{escape(shown.title)}</b></p>",
            self.question: question,
            self.all: gr.Column(visible=True),
            self.file: "",
            self.method: html.note("There is no picture.") if seen is None else answers.method(seen),
            self.moved: answers.moved_map(before, seen),
        }
        for name, column in self.columns.items():
            updates[column] = gr.Column(visible=name in models)
            if name in models:
                updates |= {self.said[name]: closeup.said(name, found), self.maps[name]: closeup.heat_map(name, found)}
        for name, plot in self.changes.items():
            there = name in models
            updates[plot] = gr.Plot(closeup.change_map(name, found), visible=True) if there else gr.Plot(visible=False)
        return updates
