"""The pages of the studio. They ask the library and draw; nothing is computed here that the library could compute."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any


def _import_gradio() -> None:
    """Whenever it is imported, Gradio writes a type stub beside each of its components, which takes half of the import; its
    package brings these stubs along. Of a class that seems to lie in no file it writes none."""
    module: Any = inspect
    getfile = module.getfile

    def in_no_file(thing: Any) -> str:
        if str(getattr(thing, "__module__", "")).startswith("gradio."):
            raise OSError
        return getfile(thing)

    module.getfile = in_no_file
    try:
        import_module("gradio")
    finally:
        module.getfile = getfile


_import_gradio()
