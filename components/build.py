"""Put the pages together and say how they are served."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from components import ahead, api, example
from components.auditing.page import AuditPage
from components.comparing.page import ComparePage
from components.doors import Doors, GuardedBlocks, Visits
from components.doors.roles import visitor_of
from components.export import ExportPage
from components.forget import ForgetPage
from components.handlers import attempted, plainly
from components.inspect import InspectPage
from components.links import HERE, Links
from components.model_panel import ModelPanel
from components.region import INTO_VIEW
from components.runs_page import RunsPage
from components.seats import NoModel, Seat, Seats
from components.studio import RUN, Studio
from components.theme import STYLE, theme
from components.unlearn import UnlearnPage
from unlearn_core.accounts import Accounts
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadOption
from unlearn_core.vlm.loading import Choice

TITLE = "VLM Unlearning Studio"
MAX_UPLOAD = 2**30
"""Bytes of one file."""
WINDOWS = 500
"""Most windows, and programs that call the endpoints, whose state is held; of more, those go that were quiet for longest."""
ABREAST = 4
"""Calls of one function that go at the same time, unless it is limited to fewer."""
QUIET: Any = {"show_progress": "hidden", "api_visibility": "private"}


def build(choice: Choice, vlm: VLM, workspace: Path, trackers: Sequence[str] = ()) -> tuple[GuardedBlocks, Studio]:
    """The whole app, and what must be closed when it ends; `vlm` is what was chosen to begin with."""
    studio = Studio(Seats(Seat(choice, vlm)), workspace, trackers)
    first = studio.seat.choice
    with GuardedBlocks(
        Visits(), title=TITLE, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True
    ) as demo:
        header = gr.HTML(_header(vlm), elem_id="header")
        panel = ModelPanel(studio)
        with gr.Tabs(elem_id="steps", overflow_behavior="wrap") as tabs:
            with gr.Tab("Inspect", id="inspect") as inspect_tab:
                inspect = InspectPage(studio)
            with gr.Tab("Forget", id="forget") as forget_tab:
                forget = ForgetPage(studio)
            with gr.Tab("Unlearn", id="unlearn"):
                unlearn = UnlearnPage(studio, forget.marked)
            with gr.Tab("Compare", id="compare") as compare_tab:
                compare = ComparePage(studio, forget.marked)
            with gr.Tab("Audit", id="audit") as audit_tab:
                audit = AuditPage(studio)
            with gr.Tab("Export", id="export") as export_tab:
                export = ExportPage(studio)
            with gr.Tab("Runs", id="runs") as runs_tab:
                runs = RunsPage(studio)

        links = Links(
            tabs,
            {
                "unlearn": (unlearn.show, unlearn.watched),
                "compare": (compare.show, compare.result),
                "audit": (audit.show, audit.results),
                "export": (export.show, export.result),
                "runs": (runs.show, runs.chosen),
            },
        )

        def go(page: str) -> gr.Tabs:
            return gr.Tabs(selected=page)

        # From page to page.
        inspect.forget.click(inspect.mark, forget.marked, [forget.marked, tabs], **QUIET)
        unlearn.begin_at(
            inspect.example.tour.click(inspect.mark, forget.marked, [forget.marked, tabs], **QUIET)
            .then(lambda: go("unlearn"), None, tabs, **QUIET)
            .then
        )

        compare.begin_at(
            inspect.example.see.click(
                lambda: (go("compare"), compare.refresh(example.REF)), None, [tabs, compare.result], **QUIET
            ).then
        )

        @plainly
        def taken(request: gr.Request) -> Any:
            return {**forget.take(request), tabs: go("forget")}

        inspect.this.click(taken, None, [*forget.own.drawn, forget.panel, tabs], **QUIET).then(
            None, None, None, js=INTO_VIEW
        )
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

        runs.compare.click(
            lambda run: (go("compare"), compare.refresh(RUN + run)), runs.chosen, [tabs, compare.result], **QUIET
        )
        runs.again.click(lambda: go("unlearn"), None, tabs, **QUIET)
        runs.again.click(unlearn.again, runs.chosen, unlearn.like_another, **QUIET)

        # Lists are drawn anew whenever their page is opened.
        for tab, page, chosen in (
            (inspect_tab, inspect, inspect.model),
            (compare_tab, compare, compare.result),
            (audit_tab, audit, audit.results),
            (export_tab, export, export.result),
        ):
            tab.select(page.refresh, chosen, chosen, **QUIET)
        kept = forget.own.shelved
        forget_tab.select(kept.relist, kept.saved, kept.saved, **QUIET)
        compare_tab.select(compare.reopened, compare.other, [compare.other, compare.scatter], **QUIET)
        runs_tab.select(runs.refresh, runs.asked, runs.view, **QUIET)
        tabs.select(runs.left, None, runs.timer, **QUIET)

        # Another model: every page is drawn anew for this window. A skipped output would cost a picker its cards (Gradio
        # puts an empty set of properties in the place of its own), so pickers are outputs only where they are given.
        seated, back = gr.State(0), gr.State(False)

        @plainly
        def turned(count: int) -> Any:
            try:
                return {header: _header(studio.vlm), tabs: gr.Tabs(visible=True), seated: count + 1}
            except NoModel:
                return {header: _header(None), tabs: gr.Tabs(visible=False)}

        @plainly
        def drawn(result: str | None, results: list[str] | None, request: gr.Request) -> Any:
            return inspect.turned(request) | forget.turned(request) | compare.turned(result) | audit.turned(results)

        @plainly
        def opened(search: str, window: str, request: gr.Request) -> Any:
            """The page comes drawn for the model of the start; where that is no longer the one, it is drawn anew."""
            try:
                choice = studio.seat.choice
            except NoModel:
                return {panel.turned: -1}
            session = str(request.session_hash)
            again = choice == first and studio.returning.came(visitor_of(request), window, session, choice)
            begun = {inspect.model: inspect.load(request, again)} if choice == first else {panel.turned: -1}
            return begun | {back: again} | attempted(unlearn.latest) | links.open(search)

        @plainly
        def returned(request: gr.Request) -> Any:
            return inspect.returned(request) | forget.returned(request) | compare.returned(request)

        panel.turned.change(turned, seated, [header, tabs, seated], **QUIET)
        chosen = [compare.result, audit.results]
        seated.change(drawn, chosen, [*inspect.drawn, *forget.drawn, *compare.drawn, *audit.drawn], **QUIET)
        linked = [tabs, *unlearn.view, *chosen, export.result, *runs.view]
        here = [links.search, links.window]
        demo.load(opened, here, [inspect.model, panel.turned, back, *linked], js=HERE, **QUIET)
        held = [*inspect.drawn, *forget.own.drawn, *forget.own.bank.drawn, forget.panel, *compare.drawn]
        back.change(returned, None, held, **QUIET)
        demo.load(forget.recall, None, forget.recalled, **QUIET)

        api.offer(studio)

        def left(request: gr.Request) -> None:
            studio.leave(request.session_hash)
            forget_session(demo, str(request.session_hash))

        demo.unload(left)
    return demo, studio


def forget_session(demo: gr.Blocks, session: str) -> None:
    """Gradio holds all that a window showed, answers and pictures among it, for as long as it runs: it goes with the window."""
    holder = demo.state_holder
    with holder.lock:
        holder.session_data.pop(session, None)
        holder.time_last_used.pop(session, None)


def launch(
    demo: GuardedBlocks, host: str, port: int, accounts: Accounts | None = None, *, mcp: bool = False, wait: bool = True
) -> None:
    """Serve until interrupted: nothing is shared, no history is kept, and no error text of the program reaches the page.

    Args:
        accounts: who may log in; None lets everybody in.
        mcp: offer the endpoints of `api` to language models as tools, too. Raises BadOption without the package it needs.
        wait: False returns once the page is served.
    """
    if mcp and find_spec("mcp") is None:
        raise BadOption("--mcp needs a further package: pip install 'vlm-unlearning-studio[mcp]'")
    demo.queue(default_concurrency_limit=ABREAST, max_size=64)
    inward = [Middleware(Doors, visits=demo.visits, accounts=accounts, host=host, port=port, max_upload=MAX_UPLOAD)]
    if mcp:
        from components.tools import Tools

        inward.append(Middleware(Tools, page=demo))
    demo.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=not wait,
        quiet=not wait,
        app_kwargs={"middleware": inward},
        auth_dependency=None if accounts is None else lambda request: request.state.visitor.name,
        theme=theme(),
        css_paths=STYLE,
        share=False,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        show_error=False,
        enable_monitoring=False,
        mcp_server=False,
        max_file_size=MAX_UPLOAD,
        state_session_capacity=WINDOWS,
    )


def _header(vlm: VLM | None) -> str:
    return f"<header><h1>{TITLE}</h1><p>{ahead.title(vlm)}</p></header>"
