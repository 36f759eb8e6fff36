"""The documents build without a warning and need nothing from elsewhere, and the import picture says what is enforced."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"""<(?:script|img|iframe|link(?![^>]*rel="?canonical))[^>]*?(?:src|href)="?(https?:|//)""")


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed (pip install -e '.[docs]')")
def test_the_site_builds_strictly_and_opens_offline(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stderr
    assert (site / "search" / "search_index.js").is_file()
    assert 'id="unlearn_core.vlm.VLM.ask"' in (site / "reference" / "library.html").read_text()
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not LOADED.search(text), page
        assert 'class="mermaid"' not in text, f"{page}: the theme would load what draws diagrams from elsewhere"


def test_the_import_picture_is_what_is_enforced() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    picture = (ROOT / "docs" / "architecture.md").read_text().split("```text\n")[1].split("```")[0]
    drawn = [line.split("  ")[0] for line in picture.splitlines()]
    assert [_names(line) for line in drawn] == [_names(line) for line in layers]

    ours = {p.stem for p in (ROOT / "unlearn_core").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert set().union(*map(_names, drawn)) == ours - {"__init__"}


def _names(row: str) -> set[str]:
    return set(re.findall(r"\w+", row))
