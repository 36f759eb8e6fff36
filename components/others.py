"""What visitors have going beside the runs, and a button that stops it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from components import html
from components.comparing.going import Going
from components.handlers import plainly
from components.studio import Studio


class Others:
    """`drawn` shows what `look` gives; nothing as long as nothing is going."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        with gr.Row(visible=False, elem_classes="undo") as self.row:
            self.note = gr.HTML(elem_id="runs-going")
            self.stop = gr.Button("Stop it", scale=0, min_width=90, elem_id="runs-stop")
        self.drawn = [self.row, self.note, self.stop]
        self.stop.click(self._stop, None, self.drawn, show_progress="hidden", api_visibility="private")

    def look(self) -> dict[Any, Any]:
        going = self.studio.comparisons.all()
        stopping = bool(going) and all(one.stop.is_set() for one in going)
        return {
            self.row: gr.Row(visible=bool(going)),
            self.note: html.note(" ".join(map(_said, going))),
            self.stop: gr.Button("Stopping …" if stopping else "Stop it", interactive=not stopping),
        }

    @plainly
    def _stop(self) -> Any:
        for one in self.studio.comparisons.all():
            one.stop.set()
        return self.look()


def _said(going: Going) -> str:
    far = going.progress
    return f"Somebody compares {going.title}{'' if far is None else f': {far.done} of {far.total} answers'}."
