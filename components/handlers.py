"""Event handlers that never show a traceback: errors for people become one sentence on the page, the rest goes to the log.

What the log is told is where it happened, and not the error's text, which may quote what people asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from html import escape
from inspect import isgeneratorfunction
from typing import Any

import gradio as gr

from unlearn_core.runs.fitting import trace
from unlearn_core.vlm.errors import StudioError

log = logging.getLogger(__name__)


def plainly(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same handler; after an error the page stays as it was and says what happened."""

    @wraps(handler)
    def call(*args: Any) -> Any:
        try:
            return handler(*args)
        except Exception as error:
            tell(error)
            return gr.skip()

    @wraps(handler)
    def stream(*args: Any) -> Any:
        try:
            yield from handler(*args)
        except Exception as error:
            tell(error)
            yield gr.skip()

    return stream if isgeneratorfunction(handler) else call


def attempted(show: Callable[..., dict[Any, Any]], *args: Any) -> dict[Any, Any]:
    """What is to be shown; nothing after an error for people, which is said."""
    try:
        return show(*args)
    except StudioError as error:
        tell(error)
        return {}


def tell(error: Exception) -> None:
    """Say an error on the page: one for people in its own words."""
    if isinstance(error, StudioError):
        gr.Warning(escape(str(error)))
        return
    log.error("a page's request failed\n%s", trace(error))
    gr.Warning("Something went wrong. Nothing was lost; the log of the studio says what happened.")
