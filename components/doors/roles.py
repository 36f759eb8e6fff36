"""Which role each endpoint of the page needs. One that is not listed needs an operator, and a test asks for it to be listed.

A name stands for the module, class and function of an event handler; a lambda has none of its own, so that those of a
module share one line: use them for nothing but turning pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from components.doors.visits import Visitor
from unlearn_core.accounts import Role

_VIEWER = """
build.build.<lambda> build.build.turned build.build.drawn build.build.opened build.build.returned build.build.left build.build.taken
inspect.InspectPage._pick inspect.InspectPage._bring inspect.InspectPage._another inspect.InspectPage._suggested
inspect.InspectPage._ask inspect.InspectPage.mark inspect.InspectPage.refresh inspect.InspectPage._brought
mapping.Mapping._word mapping.Mapping._head mapping.Mapping._note mapping.Mapping._place mapping.Mapping._kind
mapping.Mapping._layers mapping.Mapping._heads mapping.Mapping._check mapping.Mapping._stop
bank.BankPanel._reword bank.BankPanel._bring bank.BankPanel._again
boxing.Boxing._open boxing.Boxing._drag boxing.Boxing._write boxing.Boxing._whole boxing.Boxing.wire.<lambda>
deeper.Deeper._open deeper.Deeper._save deeper.Deeper.wire.<lambda>
forget.ForgetPage._changed forget.ForgetPage.recall builtins.list
own.OwnRequest._add own.OwnRequest._open own.OwnRequest._edit own.OwnRequest._mark
own.OwnRequest._write_down own.OwnRequest._ask own.OwnRequest._stopped own.OwnRequest._propose own.OwnRequest._drag own.OwnRequest._look
own.OwnRequest._whole own.OwnRequest._write own.OwnRequest._wire.<lambda> saved.SavedPanel._left saved.SavedPanel.relist
unlearn.UnlearnPage._marked unlearn.UnlearnPage._choose unlearn.UnlearnPage._tick unlearn.UnlearnPage._open
unlearn.UnlearnPage.again
comparing.page.ComparePage._run comparing.page.ComparePage._cancelled
comparing.page.ComparePage._chosen comparing.page.ComparePage.refresh comparing.page.ComparePage.reopened
comparing.listing.Listing._filter comparing.listing.Listing._further
comparing.closer.Closer._picked comparing.closer.Closer._bring comparing.closer.Closer._ask comparing.closer.Closer._save
auditing.page.AuditPage._chosen auditing.page.AuditPage._tick auditing.page.AuditPage.refresh
runs_page.RunsPage._open runs_page.RunsPage._further runs_page.RunsPage._search runs_page.RunsPage._tick
runs_page.RunsPage.left runs_page.RunsPage.refresh
api.Actions.models api.Actions.ask api.Actions.attend api.Actions.runs api.Actions.watch
export.ExportPage._chosen export.ExportPage.refresh
"""
"""Asks and looks, and changes nothing but what the own session holds; answers of a comparison are kept with the run."""

_OPERATOR = """
saved.SavedPanel._take_up saved.SavedPanel._delete saved.SavedPanel._undo own.OwnRequest._save own.OwnRequest._use
own.OwnRequest._used
unlearn.UnlearnPage._start unlearn.UnlearnPage._cancel unlearn.UnlearnPage._delete unlearn.UnlearnPage._undo
comparing.listing.Listing._save
auditing.page.AuditPage._attack auditing.page.AuditPage._cancel auditing.page.AuditPage._report
runs_page.RunsPage._pause runs_page.RunsPage._resume runs_page.RunsPage._cancel runs_page.RunsPage._describe
runs_page.RunsPage._delete runs_page.RunsPage._undo others.Others._stop
api.Actions.start api.Actions.cancel api.Actions.export
export.ExportPage._make export.ExportPage._bring
model_panel.ModelPanel._check model_panel.ModelPanel._load model_panel.ModelPanel._cancel model_panel.ModelPanel._unload
"""
"""Changes or hands out what is kept for all, fills the memory of the machine, or asks a hub."""

ROLES: dict[str, Role] = {
    **dict.fromkeys(_VIEWER.split(), Role.VIEWER),
    **dict.fromkeys(_OPERATOR.split(), Role.OPERATOR),
}


def name_of(handler: Callable[..., Any]) -> str:
    """An event handler as the table calls it."""
    return f"{handler.__module__}.{handler.__qualname__}".removeprefix("components.").replace(".<locals>", "")


def visitor_of(request: gr.Request) -> Visitor:
    """Who sent this."""
    sent: Any = request.request
    return sent.state.visitor


def is_operator(request: gr.Request | None) -> bool:
    """Whether this was sent by one. What the program does by itself, without a request, it may."""
    sent = None if request is None else request.request
    return sent is None or sent.state.visitor.role is Role.OPERATOR


def role_of(handler: Callable[..., Any]) -> Role:
    return ROLES.get(name_of(handler), Role.OPERATOR)
