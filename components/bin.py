"""What was just deleted, and a button that brings it back while that can be done."""

from __future__ import annotations

from threading import Timer
from typing import Any

import gradio as gr

from components import html
from components.studio import Studio
from components.texts import lasting
from unlearn_core.runs import Workspace
from unlearn_core.runs.shelf import Shelf
from unlearn_core.runs.store import KEPT


class Bin:
    """Draw it where what was deleted stood. `undo` is the button, `gone` the id of what it brings back.

    Args:
        kept: where it is kept. what: what it is called.
    """

    def __init__(self, studio: Studio, prefix: str, kept: Workspace | Shelf, what: str) -> None:
        self.studio, self.kept, self.what = studio, kept, what
        self.gone = gr.State("")
        with gr.Row(visible=False, elem_classes="undo") as self.row:
            self.note = gr.HTML(elem_id=f"{prefix}-deleted")
            self.undo = gr.Button("Undo", scale=0, min_width=90, elem_id=f"{prefix}-undo")
        self.drawn = [self.gone, self.row, self.note]

    def discard(self, name: str) -> dict[Any, Any]:
        """Raises RunNotFound, RunNotReady, BadRequest, StorageFailed."""
        self.kept.discard(name)
        last = Timer(KEPT, self.studio.empty_bin)
        last.daemon = True
        last.start()
        told = html.note(f"The {self.what} is deleted. In {lasting(KEPT)} it is gone for good.")
        return {self.gone: name, self.row: gr.Row(visible=True), self.note: told}

    def restore(self, gone: str) -> dict[Any, Any]:
        """Raises RunNotFound or BadRequest where it is gone for good, StorageFailed."""
        self.kept.restore(gone)
        return {self.gone: "", self.row: gr.Row(visible=False)}
