"""Put the pages together and say how they are served."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from components.compare import ComparePage
from components.export import ExportPage
from components.forget import ForgetPage
from components.inspect import InspectPage
from components.studio import RUN, Studio
from components.theme import STYLE, theme
from components.unlearn import UnlearnPage
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

TITLE = "VLM Unlearning Studio"
MAX_UPLOAD = "1gb"
QUIET: Any = {"show_progress": "hidden", "api_visibility": "private"}


def build(model: str | None, workspace: Path) -> gr.Blocks:
    """The whole app around one model; None is the embedded demo. Raises StudioError if the model cannot be loaded."""
    studio = Studio(VLM.load(model or DEMO), workspace)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as demo:
        gr.HTML(_header(studio), elem_id="header")
        with gr.Tabs(elem_id="steps", overflow_behavior="wrap") as tabs:
            with gr.Tab("Inspect", id="inspect") as inspect_tab:
                inspect = InspectPage(studio)
            with gr.Tab("Forget", id="forget"):
                forget = ForgetPage(studio)
            with gr.Tab("Unlearn", id="unlearn"):
                unlearn = UnlearnPage(studio, forget.marked)
            with gr.Tab("Compare", id="compare") as compare_tab:
                compare = ComparePage(studio, forget.marked)
            with gr.Tab("Export", id="export") as export_tab:
                export = ExportPage(studio)

        def go(page: str) -> gr.Tabs:
            return gr.Tabs(selected=page)

        # From page to page.
        inspect.forget.click(inspect.mark, forget.marked, [forget.marked, tabs], **QUIET)
        forget.onward.click(lambda: go("unlearn"), None, tabs, **QUIET)
        unlearn.onward.click(
            lambda run: (go("compare"), compare.refresh(RUN + run)), unlearn.watched, [tabs, compare.result], **QUIET
        )
        export.compare.click(
            lambda ref: (go("compare"), compare.refresh(ref)), export.brought, [tabs, compare.result], **QUIET
        )
        export.inspect.click(
            lambda ref: (go("inspect"), inspect.refresh(ref)), export.brought, [tabs, inspect.model], **QUIET
        )

        # Lists of results are drawn anew whenever their page is opened.
        for tab, page, choice in (
            (inspect_tab, inspect, inspect.model),
            (compare_tab, compare, compare.result),
            (export_tab, export, export.result),
        ):
            tab.select(page.refresh, choice, choice, **QUIET)

        def left(request: gr.Request) -> None:
            studio.desk.clear(request.session_hash)

        demo.load(inspect.load, None, inspect.model, **QUIET)
        demo.load(unlearn.load, None, unlearn.view, **QUIET)
        demo.unload(left)
    return demo


def launch(demo: gr.Blocks, host: str, port: int) -> None:
    """Serve until interrupted: nothing is shared, no history is kept, and no error text of the program reaches the page."""
    demo.queue(default_concurrency_limit=4, max_size=64)
    demo.launch(
        server_name=host,
        server_port=port,
        theme=theme(),
        css_paths=STYLE,
        share=False,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        show_error=False,
        enable_monitoring=False,
        max_file_size=MAX_UPLOAD,
    )


def _header(studio: Studio) -> str:
    name = escape(Path(studio.vlm.name).name)
    return f"<header><h1>{TITLE}</h1><p>model <b>{name}</b> · {studio.vlm.layers} layers · {escape(str(studio.vlm.device))}</p></header>"
