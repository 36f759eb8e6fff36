"""Which role each endpoint of the page needs. One that is not listed needs an operator, and a test asks for it to be listed.

A name stands for the module, class and function of an event handler; a lambda has none of its own, so that those of a
module share one line: use them for nothing but turning pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unlearn_core.accounts import Role

_VIEWER = """
build.build.<lambda> build.build.turned build.build.drawn build.build.opened build.build.left
inspect.InspectPage._pick inspect.InspectPage._bring inspect.InspectPage._another inspect.InspectPage._suggested
inspect.InspectPage._ask inspect.InspectPage.mark inspect.InspectPage.refresh
mapping.Mapping._word mapping.Mapping._head mapping.Mapping._note mapping.Mapping._place mapping.Mapping._kind
mapping.Mapping._layers mapping.Mapping._heads mapping.Mapping._check mapping.Mapping._stopped
deeper.Deeper._open deeper.Deeper._save deeper.Deeper.wire.<lambda>
forget.ForgetPage._changed builtins.list
own.OwnRequest._add own.OwnRequest._open own.OwnRequest._edit own.OwnRequest._mark own.OwnRequest._bank
own.OwnRequest._ask own.OwnRequest._stopped own.OwnRequest._propose
unlearn.UnlearnPage._marked unlearn.UnlearnPage._choose unlearn.UnlearnPage._tick unlearn.UnlearnPage._open
unlearn.UnlearnPage.load
compare.ComparePage._chosen compare.ComparePage._run compare.ComparePage._cancelled compare.ComparePage._filter
compare.ComparePage._further compare.ComparePage.refresh
closer.Closer._picked closer.Closer._bring closer.Closer._ask
export.ExportPage._chosen export.ExportPage.refresh
"""
"""Asks and looks, and changes nothing but what the own session holds."""

_OPERATOR = """
own.OwnRequest._take_up own.OwnRequest._save own.OwnRequest._use
unlearn.UnlearnPage._start unlearn.UnlearnPage._cancel unlearn.UnlearnPage._delete
export.ExportPage._make export.ExportPage._bring
model_panel.ModelPanel._check model_panel.ModelPanel._load model_panel.ModelPanel._cancel model_panel.ModelPanel._unload
"""
"""Changes or hands out what is kept for all, fills the memory of the machine, or asks a hub."""

ROLES = dict.fromkeys(_VIEWER.split(), Role.VIEWER) | dict.fromkeys(_OPERATOR.split(), Role.OPERATOR)


def name_of(handler: Callable[..., Any]) -> str:
    """An event handler as the table calls it."""
    return f"{handler.__module__}.{handler.__qualname__}".removeprefix("components.").replace(".<locals>", "")


def role_of(handler: Callable[..., Any]) -> Role:
    return ROLES.get(name_of(handler), Role.OPERATOR)
