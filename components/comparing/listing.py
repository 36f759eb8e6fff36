"""The questions of page 4: filtered, sorted, shown a few at a time, and taken away as a table."""

from __future__ import annotations

from typing import Any

import gradio as gr

from components import html
from components.comparing import files, tables
from components.comparing.lines import (
    ALL,
    ORDERS,
    SHOWN,
    Wanted,
    people_of,
    places,
    splits_of,
    statuses_of,
)
from components.comparing.sides import Done
from components.handlers import plainly
from components.studio import Studio
from components.widgets import SAVE, clickable
from unlearn_core.attention import drawing
from unlearn_core.evaluation.suite import SPLITS

PAGE = 15
"""Questions shown at a time."""


class Listing:
    """Draw it where the questions belong, then `wire` it. `rows` raises a select event for a question."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.page = studio, gr.State(1)
        plain: Any = {"filterable": False, "min_width": 130}
        with gr.Column(visible=False) as self.all:
            with gr.Row():
                self.split = gr.Dropdown([("All", ALL)], value=ALL, label="Split", elem_id="compare-split", **plain)
                self.person = gr.Dropdown([("All", ALL)], value=ALL, label="Person", elem_id="compare-person", **plain)
                self.status = gr.Dropdown(
                    [("All", ALL)], value=ALL, label="Status of A", elem_id="compare-status", **plain
                )
                self.order = gr.Dropdown([*ORDERS], value=ORDERS[0], label="Order", elem_id="compare-order", **plain)
            with gr.Row(elem_classes="bar-row"):
                self.shown = gr.Radio(
                    [*SHOWN], value=SHOWN[0], show_label=False, container=False, min_width=220, elem_id="compare-shown"
                )
                self.save = clickable(html.buttons([("csv", "Save this table (CSV)", "")]), elem_id="compare-save")
            self.file = gr.HTML(elem_classes="taken", elem_id="compare-file")
            self.rows = clickable(elem_id="compare-rows")
            self.more = gr.Button("Show more", visible=False, elem_id="compare-more")

    @property
    def drawn(self) -> list[Any]:
        return [self.all, *self._filters, self.file, *self._listed]

    @property
    def _filters(self) -> list[Any]:
        return [self.split, self.person, self.status, self.shown, self.order]

    @property
    def _listed(self) -> list[Any]:
        return [self.rows, self.more, self.page]

    def wire(self) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        changed = [element.input for element in self._filters]
        gr.on(changed, self._filter, self._filters, [self.file, *self._listed], **quiet)
        self.more.click(self._further, [*self._filters, self.page], self._listed, **quiet)
        self.save.select(self._save, self._filters, self.file, **quiet).then(None, None, None, js=SAVE % "compare-file")

    def show(self, done: Done) -> dict[Any, Any]:
        """All questions of a comparison, and what they can be filtered by."""
        lines, name = done.lines, self.studio.collection.name
        split = [("All", ALL), *((SPLITS[s].title, s.value) for s in splits_of(lines))]
        person = [("All", ALL), *((name(who), who) for who in people_of(lines))]
        status = [("All", ALL), *((html.status_name(s), s.value) for s in statuses_of(lines))]
        return {
            self.all: gr.Column(visible=True),
            self.split: gr.Dropdown(choices=split, value=ALL),
            self.person: gr.Dropdown(choices=person, value=ALL),
            self.status: gr.Dropdown(choices=status, value=ALL),
            self.shown: SHOWN[0],
            self.order: ORDERS[0],
            self.file: "",
            **self._page(done, Wanted(), 1),
        }

    def cleared(self) -> dict[Any, Any]:
        return {self.all: gr.Column(visible=False), self.file: "", self.rows: "", self.more: gr.Button(visible=False)}

    def _page(self, done: Done, wanted: Wanted, page: int) -> dict[Any, Any]:
        found = places(done.lines, wanted)
        left = len(found) - page * PAGE
        return {
            self.rows: tables.questions(done.comparison.names, done.lines, found[: page * PAGE]),
            self.more: gr.Button(f"Show more ({left})", visible=left > 0),
            self.page: page,
        }

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def _filter(self, split: str, person: str, status: str, shown: str, order: str, request: gr.Request) -> Any:
        wanted = Wanted(split, person, status, shown, order)
        return {self.file: "", **self._page(self._done(request), wanted, 1)}

    @plainly
    def _further(
        self, split: str, person: str, status: str, shown: str, order: str, page: int, request: gr.Request
    ) -> Any:
        return self._page(self._done(request), Wanted(split, person, status, shown, order), page + 1)

    @plainly
    def _save(self, split: str, person: str, status: str, shown: str, order: str, request: gr.Request) -> Any:
        done = self._done(request)
        found = places(done.lines, Wanted(split, person, status, shown, order))
        data = files.table(done.comparison.names, [done.lines[i] for i in found])
        return html.download("comparison.csv", drawing.uri(data, "text/csv"), len(data))

    def _done(self, request: gr.Request) -> Done:
        return self.studio.desk.get(request.session_hash, "comparison", Done)
