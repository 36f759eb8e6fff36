"""The address of a window says which page is open and which run is chosen there, so that a reload or a link comes back to it.

Nothing else stands in it, no name and no answer: a run's id is a time and a random number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from components.handlers import attempted
from unlearn_core.vlm.errors import BadRequest, RunNotFound

LONGEST = 200
"""Characters of an address that are looked at."""
QUOTED = 40
"""Characters of a wrong id that are said again."""

HERE = """() => {
  const known = sessionStorage.getItem('window');
  const word = known ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), n => n.toString(36)).join('');
  sessionStorage.setItem('window', word);
  return [location.search, word];
}"""
"""What the address says when a page is opened, and the random word of this window, which outlives a reload of it. In the
address, Gradio keeps the word `page` for itself."""

FOLLOW = """(...chosen) => {
  const tabs = [...document.querySelectorAll('#steps > .tab-wrapper [role=tab]')];
  const at = tabs.find(tab => tab.getAttribute('aria-selected') === 'true')?.dataset.tabId, pages = %s;
  const run = [chosen[pages.indexOf(at)] ?? ''].flat().map(ref => ref.replace(/^run:/, ''))[0] ?? '';
  const address = new URL(location);
  ['at', 'run'].forEach(word => address.searchParams.delete(word));
  if (at && at !== tabs[0].dataset.tabId) address.searchParams.set('at', at);
  if (/^[0-9]{8}-[0-9]{6}-[0-9a-f]{8}$/.test(run)) address.searchParams.set('run', run);
  if (address.href !== location.href) history.replaceState(history.state, '', address);
}"""
"""Write the open page and its run into the address; of several runs the first. No step back is added to the browser's history."""


@dataclass(frozen=True)
class Link:
    """`at` is a page, or empty for the first one; `run` an id, or empty for none."""

    at: str = ""
    run: str = ""


def read(search: str | None) -> Link:
    """What an address asks for. It comes from anybody: neither the page nor the run needs to be there."""
    words = parse_qs((search or "")[:LONGEST].removeprefix("?"))
    return Link(words.get("at", [""])[0], words.get("run", [""])[0])


class Links:
    """Opens what an address asks for, and lets the address follow.

    Args:
        tabs: of all pages.
        runs: for each page on which a run can be chosen, what shows one, and the element whose value is the one chosen.
    """

    def __init__(self, tabs: gr.Tabs, runs: Mapping[str, tuple[Callable[[str], dict[Any, Any]], Any]]) -> None:
        self.tabs, self.runs = tabs, runs
        self.search, self.window = gr.Textbox(visible=False), gr.Textbox(visible=False)
        chosen = [element for _, element in runs.values()]
        changes = [tabs.change, *(element.change for element in chosen)]
        gr.on(changes, None, chosen, None, js=FOLLOW % list(runs), api_visibility="private")

    def open(self, search: str | None) -> dict[Any, Any]:
        """The page and the run that the address asks for; what is not there is told, and the page opens without it."""
        link = read(search)
        return attempted(self._turned, link.at) | attempted(self._chosen, link)

    def _turned(self, at: str) -> dict[Any, Any]:
        """Raises BadRequest."""
        if at and at not in {tab.id for tab in self.tabs.children if isinstance(tab, gr.Tab)}:
            raise BadRequest(f"The link asks for a page “{at[:QUOTED]}”, which is not there.")
        return {self.tabs: gr.Tabs(selected=at)} if at else {}

    def _chosen(self, link: Link) -> dict[Any, Any]:
        """Raises BadRequest, RunDamaged."""
        if not link.run or link.at not in self.runs:
            return {}
        show, _ = self.runs[link.at]
        try:
            return show(link.run)
        except RunNotFound:
            said = link.run[:QUOTED]
            raise BadRequest(
                f"There is no run “{said}” here. It may have been deleted; the page Runs lists all."
            ) from None
