"""Further views of an answer on page 1, folded away until they are wanted: shares, heads, the method, and files."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import shorten
from typing import Any

import gradio as gr
import numpy as np

from components import answers, figures, html
from components.handlers import plainly
from components.looking import KINDS, Choice, Looked, heat, scale, values
from components.studio import ORIGINAL, Studio
from components.widgets import SAVE, clickable, picked
from unlearn_core.attention import drawing
from unlearn_core.methods.seen import Seen, seen_through
from unlearn_core.vlm.errors import BadRequest

CAPTION = 80
"""Most characters of the words below a map that is saved."""
_FILES = {"png": "image/png", "svg": "image/svg+xml", "npz": "application/zip"}


class Deeper:
    """Draw it, then `wire` it. `redraw` gives new values for `drawn`, which `opened` tells to be seen at all."""

    def __init__(self, studio: Studio, looked: Callable[[gr.Request], Looked]) -> None:
        self.studio, self.looked = studio, looked
        self.opened = gr.State(False)
        with (
            gr.Accordion("More views of this answer", open=False, elem_id="inspect-more") as self.fold,
            gr.Tabs(overflow_behavior="wrap"),
        ):
            with gr.Tab("Shares", id="shares"):
                self.bars = gr.Plot(show_label=False, elem_id="inspect-bars")
            with gr.Tab("Heads", id="heads"):
                self.heads = clickable(elem_id="inspect-heads-grid")
            with gr.Tab("Method", id="method"):
                self.method = gr.HTML(elem_id="inspect-method")
                self.moved = gr.Plot(show_label=False, elem_id="inspect-moved")
            with gr.Tab("Save", id="save"):
                gr.HTML(
                    "<p>The map as it is shown now. The files show the picture and name the words of the answer.</p>"
                )
                kinds = [("png", "Picture (PNG)", ""), ("svg", "Drawing (SVG)", ""), ("npz", "Numbers (npz)", "")]
                self.save = clickable(
                    f'<div class="picks"><div>{html.buttons(kinds)}</div></div>', elem_id="inspect-save"
                )
                self.file = gr.HTML(elem_id="inspect-file")

    @property
    def drawn(self) -> list[Any]:
        return [self.bars, self.heads, self.method, self.moved, self.file]

    def wire(self, choice: gr.State) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        self.fold.expand(self._open, choice, [self.opened, *self.drawn], **quiet)
        self.fold.collapse(lambda: False, None, self.opened, **quiet)
        self.save.select(self._save, choice, self.file, **quiet).then(None, None, None, js=SAVE % "inspect-file")

    def redraw(self, looked: Looked | None, choice: Choice, opened: bool) -> dict[Any, Any]:
        """All further views of a choice; nothing while they are folded away. The file of another choice is let go."""
        if not opened:
            return {self.file: ""}
        seen = self._seen(looked)
        return {
            self.file: "",
            self.bars: answers.part_bars(looked, choice),
            self.heads: answers.head_grid(looked, choice),
            self.method: answers.method(seen),
            self.moved: answers.moved_map(looked, seen),
        }

    def _seen(self, looked: Looked | None) -> Seen | None:
        if looked is None or looked.model in ("", ORIGINAL) or looked.shown.image is None:
            return None
        return seen_through(self.studio.vlm, self.studio.model(looked.model), looked.prompt)

    @plainly
    def _open(self, choice: Choice, request: gr.Request) -> Any:
        return {self.opened: True, **self.redraw(self.looked(request), choice, True)}

    @plainly
    def _save(self, choice: Choice, request: gr.Request, event: gr.EventData) -> Any:
        kind = picked(event)
        if kind not in _FILES:
            raise BadRequest("A map can be saved as PNG, SVG or npz.")
        data = file_of(self.looked(request), choice, kind)
        return html.download(f"map.{kind}", drawing.uri(data, _FILES[kind]), len(data))


def file_of(looked: Looked, choice: Choice, kind: str) -> bytes:
    """The map of a choice as PNG, SVG or npz. Nothing is written to disk.

    Raises:
        BadRequest: the answer has no map.
    """
    rows, image = looked.rows, looked.shown.image
    if rows is None or image is None:
        raise BadRequest("There is no map to save: there was no picture to look at, or nothing was said.")
    if kind == "npz":
        return drawing.npz(_numbers(looked, choice))
    about = KINDS[choice.kind]
    stops = figures.CHANGE if about.signed else figures.HEAT
    words = " ".join(looked.words[i].text for i in choice.words) or "whole answer"
    unit = f"{about.unit}: {shorten(words, CAPTION, placeholder=' …')}"
    drawn = drawing.Drawn(image, heat(looked, choice), scale(looked, choice), stops, unit)
    return drawing.png(drawn) if kind == "png" else drawing.svg(drawn).encode()


def _numbers(looked: Looked, choice: Choice) -> dict[str, np.ndarray]:
    """The map on the visual tokens, where they lie, and what the words are."""
    rows = looked.rows
    assert rows is not None
    tiles = {f"tile_{i}_tokens": t.index.view(t.rows, t.cols).numpy() for i, t in enumerate(rows.tiles)}
    boxes = {f"tile_{i}_box": np.array(t.box) for i, t in enumerate(rows.tiles)}
    chosen = {"words": choice.words, "layers": choice.layers, "heads": choice.heads}
    return {
        "values": values(looked, choice).numpy(),
        "kind": np.array(choice.kind),
        "unit": np.array(KINDS[choice.kind].unit),
        "words": np.array([w.text for w in looked.words]),
        **{f"chosen_{name}": np.array(places, dtype=np.int64) for name, places in chosen.items()},
        **tiles,
        **boxes,
    }
