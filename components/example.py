"""What the page opens with: somebody who is forgotten already, before and after, with nothing left to wait for."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from components import html
from components.gallery import Card, Recorded
from components.studio import BUNDLE, RECORDED, Studio
from unlearn_core.vlm import Answer, Prompt

REF = BUNDLE + RECORDED
SIDE = 96
"""Pixels of the picture."""


class Example:
    """Elements other pages need: `see` (leads to the comparison) and `tour` (starts a run), `drawn` (what another model changes)."""

    def __init__(self, studio: Studio, cards: Sequence[Card]) -> None:
        self.studio = studio
        card = self._card()
        self.card = gr.HTML(card, visible=bool(card), elem_id="inspect-example")
        with gr.Row(elem_id="inspect-first"):
            self.see = gr.Button("Compare before and after", size="md", visible=bool(card), elem_id="inspect-see")
            self.tour = gr.Button(
                "See it happen: forget the person below", size="md", visible=bool(cards), elem_id="inspect-tour"
            )
        self.drawn = [self.card, self.see, self.tour]

    def turned(self) -> dict[Any, Any]:
        """For the model that the session has taken."""
        card, cards = self._card(), self.studio.collection.cards()
        return {
            self.card: gr.HTML(card, visible=bool(card)),
            self.see: gr.Button(visible=bool(card)),
            self.tour: gr.Button(visible=bool(cards)),
        }

    def _card(self) -> str:
        """Both answers are given now; nothing where the collection brings no such result, or it is for another model."""
        recorded = self.studio.collection.recorded()
        if recorded is None or REF not in [ref for _, ref in self.studio.results()]:
            return ""
        shown = self.studio.collection.subject(recorded.subject)
        ask = next(a for a in shown.asks if a.secret)
        prompt = Prompt(shown.image, ask.question)
        before, after = (self.studio.model(ref).ask([prompt])[0] for ref in (None, REF))
        picture = "" if shown.image is None else html.data_uri(shown.image, SIDE)
        return _markup(shown.title, picture, ask.question, before, after, recorded)


def _markup(who: str, picture: str, question: str, before: Answer, after: Answer, recorded: Recorded) -> str:
    return (
        f'<section class="example"><img src="{picture}" alt=""><div>'
        f"<h3>{escape(who)}, before and after forgetting</h3><p>{escape(question)}</p>"
        f'<p class="turn"><span><small>before</small><b>{escape(before.text)}</b></span>'
        f"<span><small>after</small><b>{escape(after.text)}</b></span></p>"
        f'<p class="legend">Recorded example: {escape(recorded.how)} Both answers were given on this machine and are not recorded.</p>'
        "</div></section>"
    )
