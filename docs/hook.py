"""A hook of mkdocs: pages that are files elsewhere in the repository, each kept once, and the links between all of them."""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from components.texts import ABOUT

ROOT = Path(__file__).resolve().parents[1]
BROUGHT = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "assets/demo/README.md": "demo-model.md",
    "assets/demo-retain-only/README.md": "retain-only-model.md",
    "examples/tutorial.py": "tutorial.md",
    "examples/serve_cagul.py": "serve-cagul.md",
}
"""Files of the repository, and the pages that they become."""
STANDS_FOR = {**BROUGHT, "README.md": "index.md"}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
LIMITS = "<!-- limits of the methods -->"


def on_files(files: Files, config: Any) -> Files:
    for source, page in BROUGHT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_program(source, text) if source.endswith(".py") else text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as they are in the repository become links between pages."""
    here = page.file.src_uri
    source = next((s for s, brought in BROUGHT.items() if brought == here), f"docs/{here}")

    def to_page(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        return posixpath.relpath(STANDS_FOR.get(target, target.removeprefix("docs/")), posixpath.dirname(here) or ".")

    return LINK.sub(to_page, markdown).replace(LIMITS, _limits())


def _program(source: str, text: str) -> str:
    """A program as a page: what it says of itself, and its lines."""
    title = (ast.get_docstring(ast.parse(text)) or source).partition("\n")[0].removesuffix(".")
    return f"# {title}\n\n`{source}`\n\n```python\n{text}```\n"


def _limits() -> str:
    """What the page and every bundle say of each method."""
    return "\n".join(
        f"### {name.upper()}\n\n{about.does}\n\n" + "".join(f"* {limit}\n" for limit in about.limits)
        for name, about in ABOUT.items()
    )
