"""The command that opens the studio in the browser."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path


def app(flags: tuple[str, ...] = (), /) -> None:
    """Open the studio in the browser; `unlearn app --help` lists the flags.

    Args:
        flags: of the page.
    """
    from unlearn_core.vlm.errors import BadOption

    page = find_spec("components")  # named, not imported: the library knows nothing of the page
    if page is None or not page.submodule_search_locations or find_spec("gradio") is None:
        raise BadOption("The page is not installed here. Please install the whole package, with Gradio.")
    program = Path(page.submodule_search_locations[0]).parent / "app.py"
    os.execv(sys.executable, [sys.executable, str(program), *flags])
