"""What programs may do with a studio that is open: a few named endpoints, for Gradio's client and for MCP.

`endpoints` lists them all, each with the role that it needs. They keep nothing of a page: what a call needs is sent with it.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from html import escape
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any, TypedDict

import gradio as gr
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder
from PIL import Image

from components.doors.roles import role_of
from components.studio import IN_ORDER, ORIGINAL, RUN, Studio
from components.texts import ABOUT
from unlearn_core import bundle
from unlearn_core.accounts import Role
from unlearn_core.attention import look
from unlearn_core.attention.lookup import Kind
from unlearn_core.evaluation.progress import finish
from unlearn_core.methods import ALL_METHODS
from unlearn_core.methods.options import from_values
from unlearn_core.runs import Run
from unlearn_core.runs.requests import load_request
from unlearn_core.vlm import Prompt
from unlearn_core.vlm.errors import BadOption, BadRequest, StudioError
from unlearn_core.vlm.images import open_image

LOOKED_AT = 0.5
"""Seconds between two looks at a run that is watched."""

log = logging.getLogger(__name__)


class Model(TypedDict):
    """What can be asked: `model` is the reference that other endpoints take, `label` is for people."""

    model: str
    label: str


class Said(TypedDict):
    """An answer and its probability under the model, 0..1."""

    answer: str
    probability: float


class Looked(TypedDict):
    """An answer and its words, whose places, from 0, choose among them."""

    answer: str
    words: list[str]


class State(TypedDict):
    """Where a run stands. `forget` and `retain` are shares of the probed questions still answered, 0..1."""

    run: str
    state: str
    message: str
    phase: str
    step: int
    total: int
    forget: float | None
    retain: float | None
    seconds_left: float


@dataclass(frozen=True)
class Endpoint:
    """Something that a program may do. Its name is that of the function, and its docstring is its documentation.

    Args:
        in_order: it asks a model, so that one call waits for another.
    """

    run: Callable[..., Any]
    in_order: bool = False

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def role(self) -> Role:
        """A viewer asks and looks; an operator changes what is kept, or takes it away."""
        return role_of(self.run)


def endpoints(studio: Studio) -> tuple[Endpoint, ...]:
    """All there are."""
    actions = Actions(studio)
    return (
        Endpoint(actions.models),
        Endpoint(actions.ask, in_order=True),
        Endpoint(actions.attend, in_order=True),
        Endpoint(actions.runs),
        Endpoint(actions.watch),
        Endpoint(actions.start),
        Endpoint(actions.cancel),
        Endpoint(actions.export),
    )


def offer(studio: Studio) -> None:
    """Add all endpoints to the app. Call inside a Blocks context."""
    for endpoint in endpoints(studio):
        order: dict[str, Any] = IN_ORDER if endpoint.in_order else {}
        gr.api(  # pyright: ignore[reportPrivateImportUsage]
            plainly(endpoint.run), api_name=endpoint.name, **order
        )


class Actions:
    """Functions whose types and docstrings are what programs get to see."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._folder = Path(tempfile.mkdtemp(prefix="api-", dir=os.environ.get("GRADIO_TEMP_DIR")))

    def models(self) -> list[Model]:
        """List what can be asked: the original model, results of runs, and imported bundles."""
        return [Model(model=ref, label=label) for label, ref in self._studio.models()]

    def ask(self, question: str, picture: FileData | None = None, model: str = ORIGINAL) -> Said:
        """Ask the original or an unlearned model one question.

        Args:
            question: the question.
            picture: picture file that it is about; none for a question without a picture.
            model: a reference that `models` gives.
        """
        answer = self._studio.model(model).ask([Prompt(_picture(picture), question)])[0]
        return Said(answer=answer.text, probability=answer.probability)

    def attend(
        self,
        question: str,
        picture: FileData,
        words: list[int] | None = None,
        layers: list[int] | None = None,
        heads: list[int] | None = None,
        kind: Kind = "attention",
        model: str = ORIGINAL,
    ) -> tuple[Looked, FileData, FileData]:
        """Ask about a picture and see where the answer looked; gives the answer, a PNG of the map, and its numbers as npz.

        Args:
            question: the question.
            picture: picture file that it is about.
            words: places of words of the answer, from 0; none for the whole answer.
            layers: decoder layers to average over, from 0; none for all.
            heads: attention heads to average over, from 0; none for all.
            kind: attention, relative (to a generic question) or gradient (attention weighted with the gradient).
            model: a reference that `models` gives.
        """
        prompt = Prompt(_picture(picture), question)
        found = look(self._studio.model(model), prompt, words or (), layers or (), heads or (), kind)
        looked = Looked(answer=found.answer.text, words=[word.text for word in found.words])
        return looked, self._file("map.png", found.png()), self._file("map.npz", found.npz())

    def runs(self) -> list[State]:
        """List the runs of the workspace, newest first."""
        return [_state(run) for run in self._studio.workspace.runs()]

    def watch(self, run: str) -> Iterator[State]:
        """Follow a run until it is over; gives where it stands, whenever that has changed.

        Args:
            run: id of the run.
        """
        seen = None
        while True:
            now = _state(self._studio.workspace.run(run))
            if now != seen:
                yield now
            if self._studio.workspace.run(run).state.over and now == seen:
                return
            seen = now
            time.sleep(LOOKED_AT)

    def start(
        self,
        method: str,
        request: FileData | None = None,
        subjects: list[str] | None = None,
        options: dict[str, Any] | None = None,
    ) -> str:
        """Start a run that makes the model forget; gives its id.

        Args:
            method: cagul, cvf, or a baseline: ga, gd, kl, idk, npo.
            request: forget request as the page or the library exports it (zip).
            subjects: instead of a request, subjects of the model's own collection, such as p07.
            options: of the method, by name; what is left out has its default.
        """
        if method not in ALL_METHODS:
            raise BadOption(f"There is no method '{method}'. Choose one of: {', '.join(ALL_METHODS)}.")
        if (request is None) == (not subjects):
            raise BadRequest("Please send either a request or subjects.")
        chosen, studio = ALL_METHODS[method], self._studio
        config = from_values(chosen.config, options or {})
        asked = finish(studio.request(subjects or [])) if request is None else load_request(_brought(request))
        return studio.worker.start(studio.vlm, asked, chosen, config, asked.name).id

    def cancel(self, run: str) -> str:
        """Cancel a run at its next step; one that is over stays as it is. Gives its id.

        Args:
            run: id of the run.
        """
        self._studio.worker.cancel(run)
        return run

    def export(self, run: str, title: str = "Unlearned", data_license: str = "") -> FileData:
        """Export what a run has learned as a bundle, which is loaded again and compared first.

        Args:
            run: id of a run that is done.
            title: goes into the bundle for everyone to read: name nobody in it.
            data_license: of the pictures and answers that it was fitted on; what is not given is called unknown.
        """
        found = self._studio.run(RUN + run)
        path = self._new(f"unlearned-{found.info.method}-{run}.zip")
        limits = ABOUT[found.info.method].limits
        told: dict[str, Any] = {"title": title, "limits": limits, "data_license": data_license}
        return _sent(bundle.export_run(found, self._studio.vlm, path, **told))

    def _new(self, name: str) -> Path:
        """A place for a file that is sent once, in a folder of its own."""
        return Path(tempfile.mkdtemp(dir=self._folder)) / name

    def _file(self, name: str, data: bytes) -> FileData:
        path = self._new(name)
        path.write_bytes(data)
        return _sent(path)


def _sent(path: Path) -> Any:
    """A file as Gradio sends one."""
    return FileData(path=str(path), orig_name=path.name).model_dump()


def _picture(sent: Any) -> Image.Image | None:
    return None if sent is None else open_image(_brought(sent))


def _brought(sent: Any) -> Path:
    """The file that a caller has uploaded, and no other. Raises BadRequest."""
    path = Path(str(sent.get("path", "") if isinstance(sent, dict) else "")).resolve()
    if not path.is_file() or not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise BadRequest("A file is sent with the client's `handle_file`; a path on the server is not taken.")
    return path


def _state(run: Run) -> State:
    status, steps = run.status, run.events()
    last = steps[-1] if steps else None
    probed = next((step for step in reversed(steps) if step.forget is not None), None)
    return State(
        run=run.id,
        state=status.state.value,
        message=status.message,
        phase=last.phase if last else "",
        step=last.index if last else 0,
        total=last.total if last else 0,
        forget=probed.forget if probed else None,
        retain=probed.retain if probed else None,
        seconds_left=last.seconds_left if last else 0.0,
    )


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; who calls it is told in a sentence what went wrong, and nothing of the inside."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise _told(error) from None

    @wraps(function)
    def stream(*args: Any, **kwargs: Any) -> Any:
        try:
            yield from function(*args, **kwargs)
        except Exception as error:
            raise _told(error) from None

    return stream if isgeneratorfunction(function) else call


def _told(error: Exception) -> gr.Error:
    if isinstance(error, StudioError):
        return gr.Error(escape(str(error), quote=False), print_exception=False)
    log.error("a call of a program failed: %s", type(error).__qualname__)
    return gr.Error("Something went wrong. The log of the studio says what happened.", print_exception=False)
