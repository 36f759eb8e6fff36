"""The map of page 1: what it shows can be chosen, it can be asked which words looked at a place, and put to the test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from components import answers, figures, html
from components.handlers import plainly
from components.looking import EVERYTHING, KINDS, Choice, Looked, name_of, prepare, tokens_of, values
from components.studio import Studio
from components.widgets import adds, clickable, picked
from unlearn_core.attention import Scorer, faithfulness
from unlearn_core.vlm import Tile
from unlearn_core.vlm.errors import BadRequest

_WORK: Any = {"concurrency_id": "maps", "concurrency_limit": 1}
"""For events that take many passes of a model."""

STOP = "stop of a map"
"""Name of what ends the work on a map."""

_ON_MAP = """
const arrows = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'];
let moved = 0;
const hook = () => {
  const plot = document.querySelector('#inspect-map .js-plotly-plot');
  if (!plot || !plot.on || plot.dataset.hooked) return;
  plot.dataset.hooked = plot.tabIndex = 0;
  plot.setAttribute('role', 'application');
  plot.setAttribute('aria-label', 'Map on the picture. Arrow keys move to a place and tell which words looked at it.');
  plot.on('plotly_click', e => trigger('select', {x: e.points[0].x, y: e.points[0].y}));
  plot.addEventListener('keydown', e => {
    if (!arrows.includes(e.key)) return;
    e.preventDefault();
    moved = Date.now();
    trigger('select', {key: e.key});
  });
  if (Date.now() - moved < 3000) plot.focus({preventScroll: true});
};
setInterval(hook, 250);
"""
"""gr.Plot has no event for a click, and draws a new element each time: this finds it. The focus is given back to it."""


class Mapping:
    """Draw it where the map belongs, then `wire` it. `drawn` are the elements that `redraw` gives new values.

    Args:
        looked: finds what a browser session looks at.
    """

    def __init__(self, studio: Studio, looked: Callable[[gr.Request], Looked], start: Looked | None) -> None:
        self.studio, self.looked = studio, looked
        self.choice = gr.State(EVERYTHING)
        self.map = gr.Plot(answers.heat_map(start, EVERYTHING), show_label=False, elem_id="inspect-map")
        layers, heads = answers.shape(start)
        with gr.Row(elem_id="inspect-chosen"):
            self.kind = gr.Dropdown(
                [(kind.label, name) for name, kind in KINDS.items()],
                label="Map",
                scale=2,
                min_width=190,
                filterable=False,
                elem_id="inspect-kind",
            )
            self.layers = self._several("layer", layers)
            self.heads = self._several("head", heads)
        self.bridge = gr.HTML("", js_on_load=_ON_MAP, elem_id="inspect-bridge")
        self.note = clickable(answers.note(start, EVERYTHING), elem_id="inspect-note")
        with gr.Row(elem_id="inspect-work"):
            self.check = gr.Button("Is this map telling the truth?", size="sm", elem_id="inspect-check")
            self.stop = gr.Button("Stop", size="sm", visible=False, min_width=60, elem_id="inspect-stop")
        self.verdict = gr.HTML(visible=False, elem_id="inspect-verdict")
        self.falls = gr.Plot(show_label=False, visible=False, elem_id="inspect-falls")
        self.lines = gr.Plot(answers.share_lines(start, EVERYTHING), show_label=False, elem_id="inspect-lines")

    @staticmethod
    def _several(what: str, count: int) -> gr.Dropdown:
        return gr.Dropdown(
            answers.choices(what, count),
            value=[],
            multiselect=True,
            label=f"{what.capitalize()}s (none: all)",
            min_width=140,
            filterable=False,
            elem_id=f"inspect-{what}s",
        )

    @property
    def drawn(self) -> list[Any]:
        return [self.choice, self.map, self.kind, self.layers, self.heads, self.note, *self._checked, self.lines]

    @property
    def _checked(self) -> list[Any]:
        return [self.check, self.stop, self.verdict, self.falls]

    def wire(self, words: gr.HTML, heads: gr.HTML, more: list[Any], redraw: Callable[..., dict[Any, Any]]) -> None:
        """`words` and `heads` can be clicked too; `redraw(looked, choice, opened)` gives all that a new choice changes,
        `more` being its last input and outputs."""
        self._redraw = redraw
        opened, *out = more
        drawn: Any = {"outputs": [*self.drawn, *out], "show_progress": "hidden", "api_visibility": "private", **_WORK}
        seen = [self.choice, opened]
        words.select(self._word, seen, **drawn)
        heads.select(self._head, seen, **drawn)
        self.note.select(self._note, seen, **drawn)
        self.bridge.select(self._place, seen, **drawn)
        self.kind.select(self._kind, [*seen, self.kind], **drawn)  # `input` also comes when the focus leaves
        self.layers.input(self._layers, [*seen, self.layers], **drawn)
        self.heads.input(self._heads, [*seen, self.heads], **drawn)
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        self.check.click(self._check, self.choice, self._checked, **quiet, **_WORK)
        self.stop.click(self._stop, None, None, queue=False, **quiet)

    # -- what is drawn ------------------------------------------------------------------------------------------------

    def redraw(self, looked: Looked | None, choice: Choice) -> dict[Any, Any]:
        """The map of a choice whose parts are there, and all around it."""
        layers, heads = answers.shape(looked)
        return {
            self.choice: choice,
            self.map: answers.heat_map(looked, choice),
            self.kind: choice.kind,
            self.layers: self._chosen("layer", layers, choice.layers, choice.kind),
            self.heads: self._chosen("head", heads, choice.heads, choice.kind),
            self.note: answers.note(looked, choice),
            self.check: gr.Button(visible=looked is not None and looked.rows is not None),
            self.stop: gr.Button(visible=False),
            self.verdict: gr.HTML(visible=False),
            self.falls: gr.Plot(visible=False),
            self.lines: answers.share_lines(looked, choice),
        }

    @staticmethod
    def _chosen(what: str, count: int, chosen: tuple[int, ...], kind: str) -> gr.Dropdown:
        return gr.Dropdown(
            choices=answers.choices(what, count), value=[str(i) for i in chosen], interactive=KINDS[kind].heads
        )

    def _choose(self, request: gr.Request, opened: bool, before: Choice, choice: Choice) -> Iterator[Any]:
        """Make what the choice needs, telling how far it is, and draw it; once stopped, the one before."""
        looked, stop = self.looked(request), self.studio.desk.stoppable(request.session_hash, STOP)
        choice = choice.of(looked)
        if name_of(choice) is not None and looked.rows is None:
            raise BadRequest("There is no map of this answer: there was no picture to look at, or nothing was said.")
        for done, total in prepare(self.studio.model(looked.model), looked, choice):
            if stop.is_set():
                yield self._redraw(looked, before, opened)
                return
            yield {
                self.note: html.working(f"{KINDS[choice.kind].label}: {done} of {total}"),
                self.stop: gr.Button(visible=True),
            }
        self.studio.desk.put(request.session_hash, "looked", looked)
        yield self._redraw(looked, choice, opened)

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def _word(self, choice: Choice, opened: bool, request: gr.Request, event: gr.EventData) -> Any:
        yield from self._choose(request, opened, choice, answers.pick_word(choice, picked(event), adds(event)))

    @plainly
    def _head(self, choice: Choice, opened: bool, request: gr.Request, event: gr.EventData) -> Any:
        yield from self._choose(request, opened, choice, answers.pick_head(choice, picked(event)))

    @plainly
    def _note(self, choice: Choice, opened: bool, request: gr.Request, event: gr.EventData) -> Any:
        key = picked(event)
        if key == answers.SINKS:
            yield from self._choose(request, opened, choice, replace(choice, hide=not choice.hide))
        else:
            yield from self._choose(request, opened, choice, answers.pick_word(choice, key, adds(event)))

    @plainly
    def _kind(self, choice: Choice, opened: bool, kind: str, request: gr.Request) -> Any:
        yield from self._choose(request, opened, choice, replace(choice, kind=kind))

    @plainly
    def _layers(self, choice: Choice, opened: bool, layers: list[str], request: gr.Request) -> Any:
        yield from self._choose(request, opened, choice, replace(choice, layers=tuple(sorted(map(int, layers)))))

    @plainly
    def _heads(self, choice: Choice, opened: bool, heads: list[str], request: gr.Request) -> Any:
        yield from self._choose(request, opened, choice, replace(choice, heads=tuple(sorted(map(int, heads)))))

    @plainly
    def _place(self, choice: Choice, opened: bool, request: gr.Request, event: gr.EventData) -> Any:
        place = _moved(self.looked(request), choice.place, event)
        yield from self._choose(request, opened, choice, replace(choice, place=place))

    @plainly
    def _stop(self, request: gr.Request) -> None:
        """The work itself draws what is left of it, so that nothing it said before comes after that."""
        self.studio.desk.stop(request.session_hash, STOP)

    @plainly
    def _check(self, choice: Choice, request: gr.Request) -> Any:
        looked, stop = self.looked(request), self.studio.desk.stoppable(request.session_hash, STOP)
        if looked.rows is None:
            raise BadRequest("There is no map of this answer that could be checked.")
        score = Scorer.of(
            self.studio.model(looked.model), looked.prompt, looked.answer, tokens_of(looked, choice.words)
        )
        for found in faithfulness(score, values(looked, choice), looked.rows.tiles):
            if stop.is_set():
                yield {self.stop: gr.Button(visible=False), self.verdict: gr.HTML(visible=False)}
                return
            if found.done < found.total:
                yield {
                    self.stop: gr.Button(visible=True),
                    self.verdict: gr.HTML(html.working(f"{found.done} of {found.total} pictures"), visible=True),
                }
            else:
                yield {
                    self.check: gr.Button(visible=False),
                    self.stop: gr.Button(visible=False),
                    self.verdict: gr.HTML(answers.verdict(found), visible=True),
                    self.falls: gr.Plot(figures.falls(found.fractions, found.marked, found.random), visible=True),
                }


_STEPS = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}


def _moved(looked: Looked, place: tuple[float, float] | None, event: gr.EventData) -> tuple[float, float] | None:
    """The place that was clicked, or the next one that an arrow key leads to; the same place again is none.

    What the browser says is checked: it is any other input.
    """
    if looked.rows is None or looked.shown.image is None:
        return None
    tile = max(looked.rows.tiles, key=lambda t: t.rows * t.cols / ((t.box[2] - t.box[0]) * (t.box[3] - t.box[1])))
    step = _STEPS.get(str(getattr(event, "key", "")))
    if step is not None:
        x, y = place or (0.5, 0.5)
        width, height = (b - a for a, b in zip(tile.box[:2], tile.box[2:], strict=True))
        return _inside(x + step[0] * width / tile.cols), _inside(y + step[1] * height / tile.rows)
    at = [getattr(event, name, None) for name in ("x", "y")]
    pixels = [float(v) for v in at if isinstance(v, int | float) and math.isfinite(v)]
    if len(pixels) != 2:
        return place
    x, y = (_inside(v / side) for v, side in zip(pixels, looked.shown.image.size, strict=True))
    return None if place is not None and _cell(tile, x, y) == _cell(tile, *place) else (x, y)


def _inside(x: float) -> float:
    return min(max(x, 0.0), 1 - 1e-9)


def _cell(tile: Tile, x: float, y: float) -> tuple[int, int]:
    x0, y0, x1, y1 = tile.box
    return int((y - y0) / (y1 - y0) * tile.rows), int((x - x0) / (x1 - x0) * tile.cols)
