"""The panel at the top: which model, where and how; what it would need; load it, cancel, give it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import torch

from components import ahead, html
from components.handlers import plainly
from components.studio import Studio
from unlearn_core.vlm.errors import BadRequest, NotEnoughMemory
from unlearn_core.vlm.loading import Choice, check
from unlearn_core.vlm.presets import PRESETS
from unlearn_core.vlm.quantize import CHOICES

NONE = "none"
STOP = "stop loading"
LOOK = 0.25
"""Seconds between two looks at a model that is being loaded."""
HINT = "Choose a preset, or give the path of a folder or a hub id. Nothing is downloaded before Load is pressed."


class ModelPanel:
    """Elements other parts need: `turned`, whose value changes whenever the session has another model."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.turned = gr.State(0)
        with gr.Accordion("Model", open=False, elem_id="model-panel"):
            with gr.Row():
                self.model = gr.Dropdown(
                    [(f"{p.title}: {p.about}", p.model) for p in PRESETS],
                    value=studio.seat.choice.model,
                    allow_custom_value=True,
                    label="Model",
                    info="A preset, a folder on the machine of the studio, or a hub id such as owner/name.",
                    scale=4,
                    min_width=280,
                    elem_id="model-name",
                )
                self.revision = gr.Textbox(
                    label="Revision",
                    info="Branch, tag or commit.",
                    placeholder="main",
                    max_length=200,
                    **_narrow("revision"),
                )
            with gr.Row():
                self.device = _pick(
                    "Device", ["auto", "cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))], "device"
                )
                self.dtype = _pick("Precision", ["auto", "float32", "bfloat16", "float16"], "dtype")
                self.quantize = _pick("Quantise the language model", [NONE, *CHOICES], "quantize")
                several = torch.cuda.device_count() > 1
                self.spread = _pick("Lay over all GPUs", [NONE, "auto", "balanced"], "map", visible=several)
            with gr.Row():
                self.ask = gr.Button("Will it fit?", min_width=110, elem_id="model-check")
                self.load = gr.Button("Load", variant="primary", min_width=110, elem_id="model-load")
                self.cancel = gr.Button("Cancel", visible=False, min_width=110, elem_id="model-cancel")
                self.unload = gr.Button("Unload the present model", min_width=110, elem_id="model-unload")
            self.told = gr.HTML(html.empty(HINT), elem_id="model-told")
        self._wire()

    def _wire(self) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        fields = [self.model, self.revision, self.device, self.dtype, self.quantize, self.spread]
        buttons = [self.told, self.ask, self.load, self.cancel, self.unload]
        self.ask.click(self._check, fields, self.told, show_progress_on=self.told, api_visibility="private")
        self.load.click(self._load, [self.turned, *fields], [*buttons, self.turned], **quiet)
        self.cancel.click(self._cancel, None, None, queue=False, **quiet)
        self.unload.click(self._unload, self.turned, [self.told, self.turned], **quiet)

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def _check(self, *fields: Any) -> str:
        return ahead.preflight(check(_choice(*fields), self.studio.seats.hub))

    @plainly
    def _load(
        self,
        turned: int,
        model: str | None,
        revision: str | None,
        device: str,
        dtype: str,
        quantize: str,
        spread: str,
        request: gr.Request,
    ) -> Iterator[Any]:
        loading = self.studio.seats.load(_choice(model, revision, device, dtype, quantize, spread))
        self.studio.desk.put(request.session_hash, STOP, loading.stop)
        try:
            while not (loading.seat.done() or loading.stop.is_set()):
                yield {self.told: ahead.download(loading.now), **self._busy(True)}
                try:
                    loading.seat.exception(LOOK)
                except TimeoutError:
                    continue
            loading.check()
            self.studio.turn_to(request.session_hash, loading.seat.result())
        except Exception as error:
            yield {self.told: html.empty(HINT), **self._busy(False)}
            if isinstance(error, NotEnoughMemory):
                raise NotEnoughMemory(f"{error} To make room, you can unload the present model first.") from error
            raise
        finally:
            loading.stop.set()  # also when the page is closed
        yield {self.told: html.note("Loaded.", "keep"), self.turned: turned + 1, **self._busy(False)}

    @plainly
    def _cancel(self, request: gr.Request) -> None:
        """The page follows at once; what still goes on behind it ends at its next step."""
        self.studio.desk.stop(request.session_hash, STOP)

    @plainly
    def _unload(self, turned: int, request: gr.Request) -> Any:
        self.studio.give_up(request.session_hash)
        return {self.told: html.note("Unloaded. Choose a model and press Load."), self.turned: turned + 1}

    def _busy(self, busy: bool) -> dict[Any, Any]:
        return {
            self.ask: gr.Button(interactive=not busy),
            self.load: gr.Button(interactive=not busy),
            self.unload: gr.Button(interactive=not busy),
            self.cancel: gr.Button(visible=busy),
        }


def _pick(label: str, choices: list[str], name: str, visible: bool = True) -> gr.Dropdown:
    return gr.Dropdown(choices, value=choices[0], label=label, filterable=False, visible=visible, **_narrow(name))


def _narrow(name: str) -> dict[str, Any]:
    return {"scale": 1, "min_width": 140, "elem_id": f"model-{name}"}


def _choice(model: str | None, revision: str | None, device: str, dtype: str, quantize: str, spread: str) -> Choice:
    """Raises BadRequest if no model is named."""
    name = (model or "").strip()
    if not name:
        raise BadRequest("Please choose a model, or give a folder or a hub id.")
    return Choice(
        model=name,
        revision=(revision or "").strip() or None,
        device=device,
        dtype=dtype,
        quantize=None if quantize == NONE else quantize,
        device_map=None if spread == NONE else spread,
    )
