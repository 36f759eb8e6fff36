"""Mark a region on a picture: drag a box with mouse or finger, move it with the arrow keys, or write its edges down."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from components import html
from components.draft import Pictured
from unlearn_core.data.region import Region
from unlearn_core.vlm.errors import BadRequest

SHOWN = 640
"""Longest side of the picture that is marked, in pixels."""
EDGES = ("Left", "Top", "Right", "Bottom")

INTO_VIEW = """() => setTimeout(() => {
  const stage = document.querySelector('#own-stage .stage');
  if (stage) stage.scrollIntoView({behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth', block: 'center'});
}, 400)"""
"""Its page is turned to at the same time, and must be there first."""

_DRAG = """
const stage = () => element.querySelector('.stage');
const inside = v => Math.min(1, Math.max(0, v));
const place = e => { const r = stage().getBoundingClientRect(); return [inside((e.clientX - r.left) / r.width), inside((e.clientY - r.top) / r.height)]; };
const between = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
const draw = b => {
  const box = stage().querySelector('.box');
  box.hidden = false;
  box.style.cssText = `left:${b[0] * 100}%;top:${b[1] * 100}%;width:${(b[2] - b[0]) * 100}%;height:${(b[3] - b[1]) * 100}%`;
};
let from = null, waiting = null, now = null, focused = false;
element.addEventListener('pointerdown', e => {
  if (!e.target.closest('.stage') || e.button || !e.isPrimary) return;
  e.preventDefault();
  stage().focus({preventScroll: true});
  stage().setPointerCapture(e.pointerId);
  from = place(e);
});
element.addEventListener('pointermove', e => { if (from && e.isPrimary) draw(between(from, place(e))); });
element.addEventListener('pointercancel', () => { from = null; });
element.addEventListener('pointerup', e => {
  if (!from || !e.isPrimary) return;
  const box = between(from, place(e));
  from = null;
  if (box[2] - box[0] > .02 && box[3] - box[1] > .02) trigger('select', {box});
});
const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
element.addEventListener('keydown', e => {
  const step = steps[e.key];
  if (!step || !e.target.closest('.stage')) return;
  e.preventDefault();
  now = now || JSON.parse(stage().dataset.box) || [.25, .25, .75, .75];
  const [dx, dy] = step.map(v => v * .02), b = now;
  now = e.shiftKey
    ? [b[0], b[1], Math.max(b[0] + .04, inside(b[2] + dx)), Math.max(b[1] + .04, inside(b[3] + dy))]
    : b.map((v, i) => v + (i % 2 ? Math.max(-b[1], Math.min(1 - b[3], dy)) : Math.max(-b[0], Math.min(1 - b[2], dx))));
  draw(now);
  clearTimeout(waiting);
  waiting = setTimeout(() => { const box = now.map(inside); now = null; focused = true; trigger('select', {box}); }, 500);
});
watch('value', () => { if (focused && stage()) stage().focus({preventScroll: true}); focused = false; });
"""


class RegionPanel:
    """Draw it where the picture is to be marked; `show` gives new values for `drawn`. `place` is that of the picture.

    Args:
        name: begins the ids of its elements.
    """

    def __init__(self, name: str) -> None:
        self.place = gr.State(-1)
        with gr.Column(visible=False, elem_id=f"{name}-region") as self.panel:
            self.stage = gr.HTML(js_on_load=_DRAG, elem_id=f"{name}-stage")
            with gr.Row(elem_classes="edges"):
                self.edges = [
                    gr.Number(
                        label=f"{edge}, %",
                        minimum=0,
                        maximum=100,
                        precision=1,
                        min_width=70,
                        elem_id=f"{name}-{edge.lower()}",
                    )
                    for edge in EDGES
                ]
            with gr.Row():
                self.whole = gr.Button("The whole picture", min_width=120, elem_id=f"{name}-whole")
                self.done = gr.Button("Close", min_width=80, elem_id=f"{name}-close")

    @property
    def drawn(self) -> list[Any]:
        return [self.place, self.panel, self.stage, *self.edges]

    def show(self, place: int, pictured: Pictured | None) -> dict[Any, Any]:
        """One picture to mark, or none."""
        if pictured is None:
            return {self.place: -1, self.panel: gr.Column(visible=False), self.stage: ""}
        region = pictured.region
        numbers = [None] * len(EDGES) if region is None else [round(100 * x, 1) for x in region.box()]
        return {
            self.place: place,
            self.panel: gr.Column(visible=True),
            self.stage: stage(pictured),
            **dict(zip(self.edges, numbers, strict=True)),
        }


def stage(pictured: Pictured) -> str:
    """The picture with the region that is marked on it."""
    region, who, (wide, tall) = pictured.region, escape(pictured.who), pictured.image.size
    box, drawn = ("null", "hidden") if region is None else (str(region.box()), _style(region))
    says = (
        f"Drag a box around {who}, or use the arrow keys (with Shift to resize). Without a box the whole picture counts."
        if region is None
        else f"Inside the box is {who}, who must be forgotten. The rest of the picture stays."
    )
    return (
        f"<p>{says}</p>"
        f'<div class="stage" style="--aspect:{wide / tall:.4f}" tabindex="0" role="application" data-box="{box}" aria-label="Region of {who} on the picture. '
        'Arrow keys move the box, with Shift they resize it.">'
        f'<img src="{html.data_uri(pictured.image, SHOWN)}" alt="" draggable="false"><i class="box" {drawn}></i></div>'
    )


def _style(region: Region) -> str:
    left, top, right, bottom = (100 * x for x in region.box())
    return f'style="left:{left:.2f}%;top:{top:.2f}%;width:{right - left:.2f}%;height:{bottom - top:.2f}%"'


def dragged(event: gr.EventData) -> Region:
    """The box that was drawn. It comes from the browser, like any other input. Raises BadRequest."""
    return Region.of(getattr(event, "box", None))


def written(edges: tuple[float | None, ...]) -> Region | None:
    """The box whose edges were written down, in per cent; None while some are missing. Raises BadRequest."""
    known = [edge for edge in edges if edge is not None]
    if len(known) < len(EDGES):
        return None
    try:
        return Region.of([edge / 100 for edge in known])
    except BadRequest:
        raise BadRequest(
            "The edges make no box: left must be less than right, and top less than bottom, all from 0 to 100 %."
        ) from None
