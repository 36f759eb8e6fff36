"""Page 1: ask a question about a picture and see where each word of the answer looked."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import gradio as gr

from components import answers, html
from components.boxing import Boxing
from components.deeper import Deeper
from components.example import Example
from components.gallery import UPLOAD, WHO, Shown, brought
from components.handlers import plainly
from components.looking import ATTENTION, EVERYTHING, KINDS, Choice, Looked, Maps, follow, look, prepare
from components.mapping import Mapping
from components.studio import IN_ORDER, ORIGINAL, Studio
from components.texts import HELP
from components.widgets import clickable, other_cards, picked, picker
from unlearn_core.vlm.errors import BadRequest

HEADING = "Pictures"


class InspectPage:
    """Elements other pages need: `forget` and `this` (the buttons), `example`, `model` (whom to ask)."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        cards = studio.collection.cards()
        self.start = self._start(cards[0].id) if cards else None
        self._draw(cards)
        self._wire()

    def _start(self, ref: str) -> Looked:
        shown = self.studio.collection.shown(ref)
        return look(self.studio.vlm, shown, shown.asks[0].question, ORIGINAL)

    # -- what is on the page ------------------------------------------------------------------------------------------

    def _draw(self, cards: Any) -> None:
        start, collection = self.start, self.studio.collection
        gr.HTML(
            html.intro(
                "Ask about a picture and see where each word of the answer looked.",
                "Then mark whom the model must forget.",
                HELP["inspect"],
            )
        )
        self.example = Example(self.studio, cards)
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=4, min_width=280):
                self.picker = picker(
                    cards,
                    [cards[0].id] if cards else [],
                    many=False,
                    heading=HEADING,
                    elem_id="inspect-picker",
                    visible=bool(cards),
                )
                self.upload = gr.UploadButton(
                    "Bring your own picture", file_types=["image"], elem_id="inspect-upload", size="md"
                )
                self.about = gr.HTML(html.note(collection.about), visible=not cards, elem_id="inspect-about")
            with gr.Column(scale=5, min_width=300):
                self.title = gr.HTML(answers.title(start.shown if start else None), elem_id="inspect-title")
                self.suggestions = clickable(answers.suggestions(start), elem_id="inspect-suggestions")
                with gr.Row(elem_classes="ask"):
                    self.question = gr.Textbox(
                        start.question if start else "",
                        label="Question",
                        lines=2,
                        max_lines=4,
                        max_length=2000,
                        scale=5,
                        placeholder="Ask anything about the picture",
                        elem_id="inspect-question",
                    )
                    self.ask = gr.Button("Ask", variant="primary", scale=1, min_width=72, elem_id="inspect-ask")
                self.model = gr.Dropdown(
                    [("Original model", ORIGINAL)],
                    value=ORIGINAL,
                    label="Model to ask",
                    elem_id="inspect-model",
                    filterable=False,
                    visible=False,
                )
                self.answer = gr.HTML(answers.said(start), elem_id="inspect-answer")
                self.words = clickable(answers.words(start, EVERYTHING), elem_id="inspect-words")
                with gr.Row():
                    self.another = gr.Button(
                        "Another photo", min_width=120, elem_id="inspect-another", interactive=bool(cards)
                    )
                    self.this = gr.Button(
                        "Forget this answer",
                        min_width=120,
                        elem_id="inspect-this",
                        interactive=answers.can_mark(start),
                    )
                    self.forget = gr.Button(
                        "Forget this person",
                        min_width=120,
                        elem_classes="forget",
                        elem_id="inspect-forget",
                        interactive=answers.can_forget(start),
                    )
                self.boxing = Boxing(self.studio, self._looked, start)
                self.deeper = Deeper(self.studio, self._looked)
            with gr.Column(scale=5, min_width=300):
                self.mapping = Mapping(self.studio, self._looked, start)

    def _wire(self) -> None:
        drawn = [self.words, *self.mapping.drawn, *self.deeper.drawn]
        out = [self.title, self.suggestions, self.question, self.answer, self.another, self.this, self.forget]
        out += [self.about, *self.boxing.drawn, *drawn]
        self.drawn = [*out, self.picker, self.model, *self.example.drawn]
        # One at a time and in order, so that the page always shows what was clicked last.
        quiet: Any = {
            "show_progress": "minimal",
            "show_progress_on": self.answer,
            "api_visibility": "private",
            **IN_ORDER,
        }
        asking = [self.question, self.model, self.mapping.choice, self.deeper.opened]
        self.picker.input(self._pick, [self.picker, *asking], out, **quiet)
        # The picker is an output only where it is surely given: one that is skipped after an error would lose its cards.
        bringing = self.upload.upload(self._bring, [self.upload, *asking], out, **quiet)
        bringing.then(self._brought, self.picker, self.picker, show_progress="hidden", api_visibility="private")
        self.another.click(self._another, asking, out, **quiet)
        self.suggestions.select(self._suggested, asking, out, **quiet)
        gr.on([self.ask.click, self.question.submit, self.model.input], self._ask, asking, out, **quiet)
        more = [self.deeper.opened, self.words, *self.deeper.drawn]
        self.mapping.wire(self.words, self.deeper.heads, more, self._drawn)
        self.deeper.wire(self.mapping.choice)
        self.boxing.wire()

    # -- events -------------------------------------------------------------------------------------------------------

    def load(self, request: gr.Request, returned: bool) -> Any:
        """Give a new browser session the example that the page opens with, unless it holds something, and the models there
        are."""
        if self.start is not None and not returned:
            self.studio.desk.put(request.session_hash, "looked", replace(self.start, maps=Maps()))
        return self.refresh(ORIGINAL)

    def turned(self, request: gr.Request) -> dict[Any, Any]:
        """Everything anew for the model that the session has taken."""
        cards = self.studio.collection.cards()
        chosen = [cards[0].id] if cards else []
        frame = {
            self.picker: other_cards(cards, chosen, many=False, heading=HEADING),
            self.model: self.refresh(ORIGINAL),
            **self.example.turned(),
        }
        if cards:
            shown = self.studio.collection.shown(cards[0].id)
            return frame | self._show(shown, shown.asks[0].question, ORIGINAL, EVERYTHING, True, request)
        return frame | {
            self.title: answers.title(None),
            self.suggestions: answers.suggestions(None),
            self.question: "",
            self.answer: answers.said(None),
            self.another: gr.Button(interactive=False),
            self.this: gr.Button(interactive=False),
            self.forget: gr.Button(interactive=False),
            self.about: gr.HTML(html.note(self.studio.collection.about), visible=True),
            **self.boxing.redraw(None, False),
            **self._drawn(None, EVERYTHING, True),
        }

    def returned(self, request: gr.Request) -> dict[Any, Any]:
        """What the window showed before it was reloaded."""
        cards, looked = self.studio.collection.cards(), self.studio.desk.find(request.session_hash, "looked", Looked)
        shown = [] if looked is None or looked.shown.ref == UPLOAD else [looked.shown.ref]
        frame = {self.picker: other_cards(cards, shown, many=False, heading=HEADING)}
        if looked is None:
            return frame
        choice = EVERYTHING.of(looked)
        about = {**self._about(looked, choice, True), **self.boxing.redraw(looked, False)}
        return {**frame, self.model: self.refresh(looked.model), **about}

    @plainly
    def refresh(self, chosen: str | None) -> Any:
        """The models there are now; the choice stays while it is there."""
        models = self.studio.models()
        there = chosen in [ref for _, ref in models]
        return gr.Dropdown(choices=models, value=chosen if there else ORIGINAL, visible=len(models) > 1)

    @plainly
    def _pick(
        self, chosen: list[str], question: str, model: str, choice: Choice, opened: bool, request: gr.Request
    ) -> Any:
        return self._turn_to(self.studio.collection.shown(str(chosen[0])), question, model, choice, opened, request)

    @plainly
    def _bring(self, path: str, question: str, model: str, choice: Choice, opened: bool, request: gr.Request) -> Any:
        return self._turn_to(brought(path), question or WHO, model, choice, opened, request)

    def _brought(self, chosen: list[str], request: gr.Request) -> list[str]:
        """Which card is chosen now: none, once a picture that was brought is shown."""
        looked = self.studio.desk.find(request.session_hash, "looked", Looked)
        return [] if looked is not None and looked.shown.ref == UPLOAD else chosen

    @plainly
    def _another(self, question: str, model: str, choice: Choice, opened: bool, request: gr.Request) -> Any:
        ref = self.studio.collection.another(self._looked(request).shown.ref)
        if ref is None:
            raise BadRequest("There is only one picture of this. Please choose another one.")
        return self._turn_to(self.studio.collection.shown(ref), question, model, choice, opened, request)

    @plainly
    def _suggested(
        self, question: str, model: str, choice: Choice, opened: bool, request: gr.Request, event: gr.EventData
    ) -> Any:
        shown = self._looked(request).shown
        ask = next((a for a in shown.asks if a.label == picked(event)), None)
        return self._show(shown, ask.question if ask else question, model, choice, opened, request)

    @plainly
    def _ask(self, question: str, model: str, choice: Choice, opened: bool, request: gr.Request) -> Any:
        return self._show(self._looked(request).shown, question, model, choice, opened, request)

    @plainly
    def mark(self, marked: list[str], request: gr.Request) -> Any:
        """Mark the person on the page, and turn to the next page."""
        subject = self._looked(request).shown.subject
        return [*marked, *({subject} - {*marked, None})], gr.Tabs(selected="forget")

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _looked(self, request: gr.Request) -> Looked:
        return self.studio.desk.get(request.session_hash, "looked", Looked)

    def _turn_to(
        self, shown: Shown, question: str, model: str, choice: Choice, opened: bool, request: gr.Request
    ) -> Any:
        before = self.studio.desk.find(request.session_hash, "looked", Looked)
        return self._show(shown, follow(before and before.shown, question, shown), model, choice, opened, request)

    def _show(
        self, shown: Shown, question: str, model: str, choice: Choice, opened: bool, request: gr.Request
    ) -> dict[Any, Any]:
        vlm, desk = self.studio.model(model), self.studio.desk
        before = desk.find(request.session_hash, "looked", Looked)
        looked = look(vlm, shown, question, model, before)
        # Another answer begins with its whole, and what is slow to make waits until it is asked for.
        kind = ATTENTION if KINDS[choice.kind].slow or looked.rows is None else choice.kind
        choice = replace(choice, words=(), place=None, kind=kind).of(looked)
        deque(prepare(vlm, looked, choice), maxlen=0)
        desk.put(request.session_hash, "looked", looked)
        again = before is not None and before.shown is shown
        return {**self._about(looked, choice, opened), **self.boxing.redraw(looked, again)}

    def _about(self, looked: Looked, choice: Choice, opened: bool) -> dict[Any, Any]:
        """Everything about an answer but for a region that is marked."""
        shown = looked.shown
        return {
            self.title: answers.title(shown),
            self.suggestions: answers.suggestions(looked),
            self.question: looked.question,
            self.answer: answers.said(looked),
            self.another: gr.Button(interactive=shown.ref != UPLOAD),
            self.this: gr.Button(interactive=answers.can_mark(looked)),
            self.forget: gr.Button(interactive=answers.can_forget(looked)),
            self.about: gr.HTML(html.note(self.studio.collection.about), visible=shown.ref == UPLOAD),
            **self._drawn(looked, choice, opened),
        }

    def _drawn(self, looked: Looked | None, choice: Choice, opened: bool) -> dict[Any, Any]:
        """Everything that another choice of words, layers, heads or kind of map changes."""
        return {
            self.words: answers.words(looked, choice),
            **self.mapping.redraw(looked, choice),
            **self.deeper.redraw(looked, choice, opened),
        }
