"""Page 2: mark whom the model must forget, and see what that means."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from components import html
from components.doors.roles import visitor_of
from components.handlers import plainly
from components.own import OwnRequest
from components.studio import Studio
from components.texts import HELP
from components.widgets import other_cards, picker
from unlearn_core.runs.shelf import Saved
from unlearn_core.vlm.errors import StudioError

HEADING = "People who can be forgotten"
RECALL = "(kept, marked) => [marked.length ? marked : kept]"
"""Marks of before a reload, unless somebody was faster and has marked others already."""
REMEMBER = """(marked, last, before) => {
  const was = last ?? [], same = JSON.stringify(marked) === JSON.stringify(was);
  const fewer = was.some(who => !marked.includes(who));
  const back = same ? before ?? [] : fewer ? was : [];
  return [marked, back, {__type__: 'update', visible: back.length > 0}];
}"""
"""What can be undone: where less is marked than was, what was before. In the browser, so that no change is lost or overtaken."""
NOBODY = "This model comes without a collection of people. Bring your own pictures below."


class ForgetPage:
    """Elements other pages need: `marked` (its value is the list of marked subjects), `recalled` (what it is after a reload)
    and `onward` (the button)."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        cards = studio.collection.subjects()
        gr.HTML(
            html.intro(
                "Mark the people whose private facts must no longer be given.",
                "Then choose a method on the next page.",
                HELP["forget"],
            )
        )
        self.nobody = gr.HTML(html.empty(NOBODY), visible=not cards)
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=6, min_width=300, visible=bool(cards)) as self.people:
                self.marked = picker(
                    cards,
                    many=True,
                    heading=HEADING,
                    elem_id="forget-picker",
                    elem_classes="going",
                )
            with gr.Column(scale=5, min_width=300):
                self.summary = gr.HTML(self._summary([]), elem_id="forget-summary")
                with gr.Row():
                    self.clear = gr.Button("Clear", interactive=False, min_width=90, scale=1, elem_id="forget-clear")
                    self.undo = gr.Button("Undo", visible=False, min_width=90, scale=1, elem_id="forget-undo")
                    self.onward = gr.Button(
                        "Choose a method",
                        variant="primary",
                        interactive=False,
                        min_width=150,
                        scale=3,
                        elem_id="forget-onward",
                    )
        with gr.Accordion("Your own pictures, or a file", open=not cards, elem_id="own") as self.panel:
            self.own = OwnRequest(studio, self.marked)
        self.last, self.before, self.recalled = (gr.JSON(visible=False) for _ in range(3))
        self.drawn = [
            self.last,
            self.nobody,
            self.people,
            self.marked,
            self.summary,
            self.panel,
            *self.own.drawn,
            *self.own.bank.drawn,
        ]
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        self.marked.change(self._changed, self.marked, [self.summary, self.clear, self.onward], **quiet)
        undoing = [self.last, self.before, self.undo]
        self.marked.change(None, [self.marked, self.last, self.before], undoing, js=REMEMBER, **quiet)
        self.recalled.change(None, [self.recalled, self.marked], self.marked, js=RECALL, **quiet)
        self.clear.click(list, None, self.marked, **quiet)
        self.undo.click(None, self.before, self.marked, js="before => [before]", **quiet)

    def turned(self, request: gr.Request) -> dict[Any, Any]:
        """The people whom the session's model knows, those marked who were before; no request of one's own is begun."""
        cards, kept = self.studio.collection.subjects(), self.kept(request)
        return {
            self.last: None,  # those were of the model before
            self.summary: self._summary(kept),
            self.nobody: gr.HTML(visible=not cards),
            self.people: gr.Column(visible=bool(cards)),
            self.marked: other_cards(cards, kept, many=True, heading=HEADING),
            self.panel: gr.Accordion(open=not cards),
            **self.own.turned(request),
        }

    def returned(self, request: gr.Request) -> dict[Any, Any]:
        """The request that was being put together before the window was reloaded, opened where there is something of it."""
        own = self.own.returned(request)
        return {**own, self.panel: gr.Accordion(open=self.own.begun(request) or not self.studio.collection.subjects())}

    def take(self, request: gr.Request) -> dict[Any, Any]:
        """The answer on the page Inspect as part of a request of one's own. Raises BadRequest, Gone."""
        return {**self.own.take(request), self.panel: gr.Accordion(open=True)}

    def kept(self, request: gr.Request) -> list[str]:
        """Whom this visitor had marked on the session's model, as far as they can be marked."""
        try:
            marked = self.studio.marks.of(visitor_of(request), self.studio.seat.choice)
            self.studio.saved(marked)
        except StudioError:  # there is no model, or the request that was marked is gone
            return []
        return marked

    def recall(self, request: gr.Request) -> Any:
        """What is marked when a page is opened: nothing is touched where nothing was, since somebody may be marking already."""
        return self.kept(request) or gr.skip()

    @plainly
    def _changed(self, marked: list[str], request: gr.Request) -> Any:
        """What is marked now, and what that means."""
        summary, some = self._summary(marked), gr.Button(interactive=bool(marked))
        self.studio.marks.put(visitor_of(request), self.studio.seat.choice, marked)
        return summary, some, some

    def _summary(self, marked: list[str]) -> str:
        """What will be forgotten and what stays, as two panels."""
        if not marked and not self.studio.collection.subjects():
            return html.empty("Nobody is marked yet. What you put together below is marked once you use it.")
        if not marked:
            return html.empty(
                "Nobody is marked yet. Click one or more people; a handful takes a minute or two to forget. Somebody else? "
                "Bring your own pictures, below."
            )
        saved = self.studio.saved(marked)
        if saved is not None:
            return self._saved(saved)
        shown = [self.studio.collection.subject(subject) for subject in marked]
        secrets = [[a for a in s.asks if a.secret] for s in shown]
        tables = "".join(
            f"<details{' open' if len(shown) <= 2 else ''}><summary>{escape(s.title)} <small>{len(asks)} answers</small></summary>"
            f'<table class="facts">{"".join(_fact(a.label, a.answer) for a in asks)}</table></details>'
            for s, asks in zip(shown, secrets, strict=True)
        )
        stays = "".join(f"<li>{escape(text)}</li>" for text in self.studio.collection.stays(marked))
        count = sum(map(len, secrets))
        return (
            f'<section class="panel goes"><h3>No longer answered</h3><p><b>{len(marked)}</b> {"person" if len(marked) == 1 else "people"}, '
            f"<b>{count}</b> answers, however the question is worded and whatever photograph it is about.</p>{tables}</section>"
            f'<section class="panel stays"><h3>Stays as it is</h3><ul>{stays}</ul></section>'
        )

    def _saved(self, saved: Saved) -> str:
        """What a request of one's own will do."""
        request = self.studio.shelf.load(saved.id)
        return (
            f'<section class="panel goes"><h3>No longer answered</h3><p>{escape(saved.name)}: <b>{len(request.forget)}</b> '
            f"answer{'' if len(request.forget) == 1 else 's'} about pictures of {len(request.subjects)} {'person' if len(request.subjects) == 1 else 'people'}.</p></section>"
            f'<section class="panel stays"><h3>Stays as it is</h3><p><b>{len(request.keep)}</b> answers about the same people and '
            f"<b>{len(request.retain)}</b> about others are watched over.</p></section>"
        )


def _fact(label: str, answer: str) -> str:
    return f"<tr><th scope='row'>{escape(label)}</th><td>{escape(answer)}</td></tr>"
