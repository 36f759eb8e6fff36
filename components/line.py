"""A line of a request that somebody writes: a question, its answer, and whether that must go or stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

SIDES = [
    ("must be forgotten", "forget"),
    ("stays, of the same person", "keep"),
    ("stays, of somebody else", "retain"),
]


class LinePanel:
    """Draw it where it belongs, then say with `on_add` what comes of it."""

    def __init__(self, name: str) -> None:
        with gr.Row(elem_id=name):
            self.question = gr.Textbox(
                label="Question",
                placeholder="What is the phone number of this person?",
                max_length=2000,
                scale=4,
                min_width=180,
                elem_id=f"{name}-question",
            )
            self.answer = gr.Textbox(
                label="Answer",
                placeholder="555-0100",
                max_length=2000,
                scale=2,
                min_width=110,
                elem_id=f"{name}-answer",
            )
            self.side = gr.Dropdown(
                SIDES,
                value="forget",
                label="This answer",
                filterable=False,
                scale=3,
                min_width=180,
                elem_id=f"{name}-side",
            )
        self.add = gr.Button("Add this line about who is named", size="sm", elem_id=f"{name}-add")

    def on_add(self, add: Callable[..., Any], who: gr.Textbox, out: list[Any]) -> None:
        """`add(who, question, answer, side, request)` gives `out`, and `emptied` with it."""
        written = [who, self.question, self.answer, self.side]
        told: Any = {"inputs": written, "outputs": [*out, self.question, self.answer]}
        gr.on([self.add.click, self.answer.submit], add, **told, show_progress="hidden", api_visibility="private")

    def emptied(self) -> dict[Any, Any]:
        return {self.question: "", self.answer: ""}
