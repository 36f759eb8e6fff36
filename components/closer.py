"""The panel of page 4 that looks closer at one question: both answers, where both models looked, and the difference."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from components import answers, exam, figures, html
from components.gallery import WHO, Shown, brought
from components.handlers import plainly
from components.looking import Looked, heat, highest, look
from components.studio import IN_ORDER, Studio
from components.texts import kind_label
from components.widgets import picked
from unlearn_core.attention import difference
from unlearn_core.methods.seen import seen_through
from unlearn_core.vlm.errors import BadRequest

MAP = 330
"""Height of a map in pixels."""
_INTO_VIEW = """() => {
  const box = document.querySelector('#closer-question').getBoundingClientRect();
  if (box.top < 0 || box.bottom > innerHeight) document.querySelector('#closer-hint').scrollIntoView({behavior: 'smooth', block: 'start'});
}"""
"""On a narrow page the answers are far below the question that was clicked."""


class Closer:
    """Draw it where it belongs on the page, then `wire` it to the choice of a result and to the questions of the exam."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        gr.HTML("<h3>Look closer</h3>")
        hint = "Click the picture of a question, or bring one, to see where both models look."
        self.hint = gr.HTML(html.empty(hint), elem_id="closer-hint")
        with gr.Row(elem_classes="ask"):
            self.question = gr.Textbox(
                label="Question",
                max_length=2000,
                scale=5,
                min_width=160,
                placeholder="Ask both models",
                elem_id="closer-question",
            )
            self.ask = gr.Button("Ask both", variant="primary", scale=1, min_width=90, elem_id="closer-ask")
        self.upload = gr.UploadButton("Bring a picture", file_types=["image"], size="sm", elem_id="closer-upload")
        with gr.Column(visible=False) as self.maps:
            with gr.Row():
                with gr.Column(min_width=150):
                    self.before = gr.HTML(elem_id="closer-before")
                    self.before_map = gr.Plot(show_label=False, elem_id="closer-before-map")
                with gr.Column(min_width=150):
                    self.after = gr.HTML(elem_id="closer-after")
                    self.after_map = gr.Plot(show_label=False, elem_id="closer-after-map")
            gr.HTML("<h4>Difference <small>teal: looked at more after, amber: less</small></h4>")
            self.change_map = gr.Plot(show_label=False, elem_id="closer-change-map")
            gr.HTML("<h4>What the method did to the picture</h4>")
            self.method = gr.HTML(elem_id="closer-method")
            self.moved = gr.Plot(show_label=False, elem_id="closer-moved")

    def wire(self, result: gr.Dropdown, rows: gr.HTML) -> None:
        maps = [self.before_map, self.after_map, self.change_map, self.method, self.moved]
        out = [self.hint, self.question, self.maps, self.before, self.after, *maps]
        quiet: Any = {
            "show_progress": "minimal",
            "show_progress_on": self.hint,
            "api_visibility": "private",
            **IN_ORDER,
        }
        rows.select(self._picked, None, out, **quiet).then(None, None, None, js=_INTO_VIEW)
        self.upload.upload(self._bring, [self.upload, self.question, result], out, **quiet)
        gr.on([self.ask.click, self.question.submit], self._ask, [self.question, result], out, **quiet)

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def _picked(self, request: gr.Request, event: gr.EventData) -> Any:
        done, place = self.studio.desk.get(request.session_hash, "exam", exam.Exam), picked(event)
        if not place.isdigit() or int(place) >= len(done.rows):
            raise BadRequest("This question is no longer in the list. Please press Compare again.")
        example = done.rows[int(place)].example
        shown = Shown(example.id, kind_label(example.kind), example.image)
        return self._both(shown, example.question, done.result, request)

    @plainly
    def _bring(self, path: str, question: str, result: str | None, request: gr.Request) -> Any:
        return self._both(brought(path), question or WHO, result, request)

    @plainly
    def _ask(self, question: str, result: str | None, request: gr.Request) -> Any:
        return self._both(self.studio.desk.get(request.session_hash, "closer", Shown), question, result, request)

    def _both(self, shown: Shown, question: str, result: str | None, request: gr.Request) -> dict[Any, Any]:
        if not result:
            raise BadRequest("Please choose a result first.")
        self.studio.desk.put(request.session_hash, "closer", shown)
        unlearned = self.studio.model(result)
        before, after = look(self.studio.vlm, shown, question), look(unlearned, shown, question)
        seen = None if shown.image is None else seen_through(self.studio.vlm, unlearned, before.prompt)
        before_map, after_map, change_map = maps(before, after)
        return {
            self.hint: f"<p><b>{escape(shown.title)}</b></p>",
            self.question: question,
            self.maps: gr.Column(visible=True),
            self.before: _said("before", before),
            self.before_map: before_map,
            self.after: _said("after", after),
            self.after_map: after_map,
            self.change_map: change_map,
            self.method: html.note("There is no picture.") if seen is None else answers.method(seen),
            self.moved: answers.moved_map(before, seen),
        }


# -- markup and figures ---------------------------------------------------------------------------------------------------


def _said(when: str, looked: Looked) -> str:
    text = escape(looked.answer.text) or "<i>(nothing)</i>"
    return f'<div class="answer"><h4>{when}</h4><p class="said">{text}</p><p class="truth">probability {looked.answer.probability:.0%}</p></div>'


def maps(before: Looked, after: Looked) -> tuple[go.Figure, go.Figure, go.Figure]:
    """Where both models looked, on one colour scale, and the difference on a scale with 0 in the middle."""
    image = before.shown.image
    looked = [heat(x) if x.rows is not None else None for x in (before, after)]
    known = [m for m in looked if m is not None]
    if image is None or not known:
        empty = figures.nothing("No map: there was no picture to look at, or nothing was said.", 120)
        return empty, empty, empty
    scale = (0.0, highest(known))
    drawn = [
        figures.nothing("Nothing was said.", 120) if m is None else figures.heat_map(image, m, scale, MAP)
        for m in looked
    ]
    if len(known) < 2:
        return drawn[0], drawn[1], figures.nothing("No difference: one of the two said nothing.", 120)
    change = difference(known[1], known[0])
    if not change.nan_to_num(0).any():
        return drawn[0], drawn[1], figures.nothing("No difference: both looked at exactly the same places.", 120)
    return drawn[0], drawn[1], figures.change_map(image, change, highest([change.abs()]), MAP)
