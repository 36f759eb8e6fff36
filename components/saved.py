"""Requests of one's own that are kept: chosen again, deleted, and brought back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from components import draft as drafts
from components.bin import Bin
from components.draft import Draft
from components.handlers import plainly
from components.studio import REQUEST, Studio

QUIET: Any = {"show_progress": "hidden", "api_visibility": "private"}


class SavedPanel:
    """Draw it, then `wire` it. `saved` is the choice; `drawn` are the elements that `unchosen` gives new values."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.saved = gr.Dropdown(
            self._choices(), value=None, label="Saved requests", filterable=False, elem_id="own-saved"
        )
        self.armed = gr.State(False)
        self.delete = gr.Button("Delete this request", visible=False, elem_id="own-delete")
        self.bin = Bin(studio, "own", studio.shelf, "request")
        self.drawn = [self.saved, self.armed, self.delete]

    def wire(self, show: Callable[[Draft, gr.Request], dict[Any, Any]], shown: list[Any], marked: gr.HTML) -> None:
        """`show(draft, request)` takes up another request and gives `shown`, which holds `drawn`."""
        self._show = show
        self.saved.input(self._take_up, self.saved, shown, **QUIET)
        deleting = self.delete.click(self._delete, [self.saved, self.armed], [*shown, *self.bin.drawn], **QUIET)
        deleting.then(self._left, marked, marked, **QUIET)
        self.bin.undo.click(self._undo, self.bin.gone, [*shown, *self.bin.drawn], **QUIET)

    def unchosen(self) -> dict[Any, Any]:
        """None is chosen, as what is on the page is no longer, or not yet, one of them."""
        return {
            self.saved: gr.Dropdown(choices=self._choices(), value=None),
            self.armed: False,
            self.delete: gr.Button("Delete this request", visible=False),
        }

    @plainly
    def relist(self, chosen: str | None) -> Any:
        """The requests that are kept now, when the page is opened; the choice stays while it is there."""
        choices = self._choices()
        return gr.Dropdown(choices=choices, value=chosen if chosen in [ref for _, ref in choices] else None)

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def _take_up(self, saved: str | None, request: gr.Request) -> Any:
        return self._chosen(str(saved), request)

    @plainly
    def _delete(self, saved: str | None, armed: bool, request: gr.Request) -> Any:
        """The first press asks, the second deletes."""
        if not armed:
            return {self.armed: True, self.delete: gr.Button("Delete it with its pictures?")}
        return {**self.bin.discard(str(saved)), **self._show(Draft(), request)}

    @plainly
    def _undo(self, gone: str, request: gr.Request) -> Any:
        """Brings back what was deleted last, and takes it up."""
        return {**self.bin.restore(gone), **self._chosen(gone, request)}

    def _left(self, marked: list[str]) -> list[str]:
        """What is marked, without a request that is no longer there."""
        there = {REQUEST + saved.id for saved in self.studio.shelf.saved()}
        return [ref for ref in marked if not ref.startswith(REQUEST) or ref in there]

    def _chosen(self, saved: str, request: gr.Request) -> dict[Any, Any]:
        """A request on the page; as long as nothing of it is changed it stays the one that is chosen."""
        draft = drafts.of_request(self.studio.shelf.load(saved))
        chosen = gr.Dropdown(choices=self._choices(), value=saved)
        return {**self._show(draft, request), self.saved: chosen, self.delete: gr.Button(visible=True)}

    def _choices(self) -> list[tuple[str, str]]:
        return [(s.name, s.id) for s in self.studio.shelf.saved()]
