"""The page with a guard: whatever route a call takes, it runs through `process_api`, and there it is looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr

from components.doors.queue import FairQueue
from components.doors.roles import role_of
from components.doors.visits import Visitor, Visits
from unlearn_core.accounts import Role
from unlearn_core.runs.fitting import trace

log = logging.getLogger(__name__)

ONLY_OPERATORS = "Only an operator may do this. Please ask one, or log in as one."
NOT_YOURS = "This file was not brought in this browser, or is no longer here. Please choose it again."
FAILED = "This could not be done: what was sent does not fit the page. Please reload it and try again."
NO_SESSION = "This session belongs to somebody else, or none was named. Please open the page anew."


class GuardedBlocks(gr.Blocks):
    """Args: visits: whose sessions and files are whose."""

    def __init__(self, visits: Visits, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.visits = visits

    def queue(self, *args: Any, default_concurrency_limit: Any = 1, max_size: Any = 64, **kwargs: Any) -> GuardedBlocks:
        super().queue(*args, **kwargs)
        self._queue = FairQueue(self, default_concurrency_limit, max_size)
        return self

    async def process_api(
        self, block_fn: Any, inputs: list[Any], state: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Raises gr.Error for what the visitor may not do; its text is shown."""
        visitor: Visitor = request.request.state.visitor
        session = request.session_hash
        if role_of(block_fn.fn) is Role.OPERATOR and visitor.role is not Role.OPERATOR:
            raise _refusal(ONLY_OPERATORS)
        if not session or not self.visits.claim(session, visitor):
            raise _refusal(NO_SESSION)
        if not all(self.visits.has(visitor, path) for path in paths(inputs)):
            raise _refusal(NOT_YOURS)
        output = await self._plainly(block_fn, inputs, state, request, *args, **kwargs)
        self.visits.give(visitor, paths(output["data"]))
        if any(event == "unload" for _, event in block_fn.targets):
            self.visits.leave(session)
        return output

    async def _plainly(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Gradio writes what goes wrong to the log as it stands, and it may quote what somebody typed: here it does not."""
        try:
            return await super().process_api(*args, **kwargs)
        except Exception as error:
            if isinstance(error, gr.Error) and not error.print_exception:
                raise  # a sentence of our own, for people
            log.error("a page's request failed\n%s", trace(error))
            raise _refusal(FAILED) from None


def paths(data: Any) -> Iterator[str]:
    """Whatever names a file in what a browser sent, or what is sent to one."""
    if isinstance(data, dict):
        if isinstance(data.get("path"), str):
            yield data["path"]
        for value in data.values():
            yield from paths(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from paths(value)


def _refusal(sentence: str) -> gr.Error:
    return gr.Error(sentence, print_exception=False)
