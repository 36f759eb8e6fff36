"""The questions that are asked to find out what a model knows of somebody: to read, to change, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from components import html
from components.handlers import plainly
from components.studio import Studio
from unlearn_core.data.bank import PRIVACY, Bank, bank_of, load_bank

QUIET: Any = {"show_progress": "hidden", "api_visibility": "private"}
HEADERS = ("What it is about", "Question")


class BankPanel:
    """Draw it where it belongs; `current` finds what a browser session asks."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        with gr.Accordion("What is asked", open=False, elem_id="own-questions"):
            self.report = gr.HTML(_told(PRIVACY), elem_id="own-bank-report")
            self.table = gr.Dataframe(
                rows(PRIVACY),
                headers=list(HEADERS),
                datatype="str",
                type="array",
                column_count=len(HEADERS),
                column_limits=(len(HEADERS), len(HEADERS)),
                column_widths=["130px", "320px"],
                interactive=True,
                wrap=True,
                max_height=300,
                show_label=False,
                elem_id="own-bank-table",
            )
            with gr.Row():
                self.file = gr.UploadButton(
                    "Questions from a file", file_types=[".json"], min_width=150, elem_id="own-bank"
                )
                self.again = gr.Button("As it was", min_width=100, elem_id="own-bank-again")
        self.table.input(self._reword, self.table, self.report, **QUIET)
        self.file.upload(self._bring, self.file, self.drawn, **QUIET)
        self.again.click(self._again, None, self.drawn, **QUIET)

    @property
    def drawn(self) -> list[Any]:
        return [self.table, self.report]

    def current(self, request: gr.Request) -> Bank:
        return self.studio.desk.find(request.session_hash, "bank", Bank) or PRIVACY

    def turned(self, request: gr.Request) -> dict[Any, Any]:
        """As it is at first."""
        return self._use(PRIVACY, request)

    def returned(self, request: gr.Request) -> dict[Any, Any]:
        """As it was before the window was reloaded."""
        return self._use(self.current(request), request)

    @plainly
    def _reword(self, table: list[list[Any]], request: gr.Request) -> Any:
        bank = bank_of(tuple(str(cell if cell is not None else "").strip() for cell in row[:2]) for row in table)
        self.studio.desk.put(request.session_hash, "bank", bank)
        return _told(bank)

    @plainly
    def _bring(self, path: str, request: gr.Request) -> Any:
        return self._use(load_bank(Path(path)), request)

    @plainly
    def _again(self, request: gr.Request) -> Any:
        return self._use(PRIVACY, request)

    def _use(self, bank: Bank, request: gr.Request) -> dict[Any, Any]:
        self.studio.desk.put(request.session_hash, "bank", bank)
        return {self.table: rows(bank), self.report: _told(bank)}


def rows(bank: Bank) -> list[list[str]]:
    """A row for each phrasing; those of one attribute have its label."""
    return [[a.label, phrasing] for a in bank.attributes for phrasing in a.phrasings]


def _told(bank: Bank) -> str:
    count = sum(len(a.phrasings) for a in bank.attributes)
    return html.note(
        f"{len(bank.attributes)} things are asked for, in {count} questions. Rows about the same thing are one question in "
        "other words."
    )
