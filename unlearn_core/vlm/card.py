"""What a checkpoint says of its own licence. [ours]"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARD = "README.md"
"""The card of a model, whose head is a few lines of YAML between two lines of three dashes."""
UNKNOWN = "unknown"
HEAD = 2**16
"""Bytes at the beginning of a card that are looked at."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .+_-]{0,79}")
LINE = re.compile(r"^(license|license_name):(.*)$", re.MULTILINE)


def license_of(folder: Path, config: Mapping[str, Any]) -> str:
    """The licence of a checkpoint as its card names it, else as its configuration does; `unknown` where neither does.

    A card may call it `other` and give a name of its own: then it is that name.

    Args:
        folder: of the checkpoint. config: what its config.json holds.
    """
    named = _in_card(folder / CARD)
    found = named.get("license") or config.get("license")
    if found == "other":
        found = named.get("license_name", found)
    return found if isinstance(found, str) and NAME.fullmatch(found) else UNKNOWN


def _in_card(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            begin = file.read(HEAD).decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError:  # there is none
        return {}
    head = re.match(r"---\n(.*?)^---$", begin, re.DOTALL | re.MULTILINE)
    return {} if head is None else {name: _plain(text) for name, text in LINE.findall(head[1])}


def _plain(text: str) -> str:
    text = text.strip()
    return text[1:-1] if text[:1] in ("'", '"') and text[:1] == text[-1:] else text
