"""Make a vision-language model forget chosen people or concepts, and see what changed.

What most programs need, by one import; everything else lies in the packages below. Nothing is imported before it is used.

    from unlearn_core import VLM, Prompt, from_pretrained, open_image

    vlm = VLM.load("owner/name")
    answer = vlm.ask([Prompt(open_image("picture.png"), "Who is this?")])[0]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearn_core.bundle import export, from_pretrained
    from unlearn_core.data.example import Example, ForgetRequest
    from unlearn_core.methods import METHODS
    from unlearn_core.runs.requests import load_request
    from unlearn_core.vlm import VLM, Answer, Prompt
    from unlearn_core.vlm.errors import StudioError
    from unlearn_core.vlm.images import open_image

__all__ = [
    "METHODS",
    "VLM",
    "Answer",
    "Example",
    "ForgetRequest",
    "Prompt",
    "StudioError",
    "export",
    "from_pretrained",
    "load_request",
    "open_image",
]

_WHERE = {
    "METHODS": "unlearn_core.methods",
    "VLM": "unlearn_core.vlm",
    "Answer": "unlearn_core.vlm",
    "Example": "unlearn_core.data.example",
    "ForgetRequest": "unlearn_core.data.example",
    "Prompt": "unlearn_core.vlm",
    "StudioError": "unlearn_core.vlm.errors",
    "export": "unlearn_core.bundle",
    "from_pretrained": "unlearn_core.bundle",
    "load_request": "unlearn_core.runs.requests",
    "open_image": "unlearn_core.vlm.images",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
