"""Mark a region on the picture that page 1 shows: what is then forgotten from there is about this part alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.draft import SOMEBODY, Pictured
from components.gallery import Shown
from components.handlers import plainly
from components.looking import Looked
from components.region import RegionPanel, dragged, written
from components.studio import Studio
from unlearn_core.data.region import Region
from unlearn_core.vlm.errors import BadRequest

QUIET: Any = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True, eq=False)
class Boxed:
    """A region, and the picture that it is meant for: on another one it says nothing."""

    shown: Shown
    region: Region


def boxed(studio: Studio, session: str | None, shown: Shown) -> Region | None:
    """What is marked on the picture that a browser session looks at."""
    found = studio.desk.find(session, "boxed", Boxed)
    return found.region if found is not None and found.shown is shown else None


class Boxing:
    """Draw it below the answer, then `wire` it. `drawn` are the elements that `redraw` gives new values."""

    def __init__(self, studio: Studio, looked: Callable[[gr.Request], Looked], start: Looked | None) -> None:
        self.studio, self.looked = studio, looked
        self.open = gr.Button(**_open(start), size="sm", elem_id="inspect-box")
        self.panel = RegionPanel("inspect-part")

    @property
    def drawn(self) -> list[Any]:
        return [self.open, *self.panel.drawn]

    def wire(self) -> None:
        panel = self.panel
        self.open.click(self._open, None, panel.drawn, **QUIET)
        panel.stage.select(self._drag, None, panel.drawn, **QUIET)
        edges = [event for number in panel.edges for event in (number.submit, number.blur)]
        gr.on(edges, self._write, panel.edges, panel.drawn, **QUIET)
        panel.whole.click(self._whole, None, panel.drawn, **QUIET)
        panel.done.click(lambda: panel.show(-1, None), None, panel.drawn, **QUIET)

    def redraw(self, looked: Looked | None, same: bool) -> dict[Any, Any]:
        """After another question. On the `same` picture the panel stays as it is, on another one it is closed."""
        return {self.open: gr.Button(**_open(looked)), **({} if same else self.panel.show(-1, None))}

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def _open(self, request: gr.Request) -> Any:
        return self._shown(request)

    @plainly
    def _drag(self, request: gr.Request, event: gr.EventData) -> Any:
        return self._marked(dragged(event), request)

    @plainly
    def _write(
        self, left: float | None, top: float | None, right: float | None, bottom: float | None, request: gr.Request
    ) -> Any:
        region = written((left, top, right, bottom))
        return gr.skip() if region is None else self._marked(region, request)

    @plainly
    def _whole(self, request: gr.Request) -> Any:
        return self._marked(None, request)

    def _marked(self, region: Region | None, request: gr.Request) -> dict[Any, Any]:
        shown = self.looked(request).shown
        self.studio.desk.put(request.session_hash, "boxed", None if region is None else Boxed(shown, region))
        return self._shown(request)

    def _shown(self, request: gr.Request) -> dict[Any, Any]:
        shown = self.looked(request).shown
        if shown.image is None:
            raise BadRequest("There is no picture to mark a region on. Please choose one.")
        who = self.studio.collection.name(shown.subject) if shown.subject else SOMEBODY
        return self.panel.show(0, Pictured(who, shown.image, boxed(self.studio, request.session_hash, shown)))


def _open(looked: Looked | None) -> dict[str, Any]:
    """What the button is: there where there is a picture."""
    there = looked is not None and looked.shown.image is not None
    return {"value": "Mark a region on the picture", "visible": there}
