"""The licence of a checkpoint, as its card names it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from unlearn_core.vlm.card import CARD, UNKNOWN, license_of
from unlearn_core.vlm.loading import DEMO, RETAIN_ONLY


@pytest.mark.parametrize(("card", "config", "expected"), [
    ("---\nlicense: apache-2.0\n---\n# A model", {}, "apache-2.0"),
    ("---\r\ntags:\r\n- a\r\nlicense: 'mit'\r\n---\r\n", {}, "mit"),
    ('---\nlicense: other\nlicense_name: "My own 1.0"\nlicense_link: LICENSE\n---\n', {}, "My own 1.0"),
    ("---\nlicense: other\n---\n", {}, "other"),
    ("---\nlicense: mit\n---\n", {"license": "bsd"}, "mit"),
    ("---\ntags: []\n---\n", {"license": "bsd"}, "bsd"),
    ("# A model\n\nlicense: mit\n", {}, UNKNOWN),
    ("---\n---\nlicense: mit\n", {}, UNKNOWN),
    ("---\nlicense:\n- mit\n---\n", {}, UNKNOWN),
    ("---\nlicense: <script>x</script>\n---\n", {}, UNKNOWN),
    (f"---\nlicense: {'x' * 81}\n---\n", {}, UNKNOWN),
    ("", {"license": ["mit"]}, UNKNOWN),
    (None, {}, UNKNOWN),
])  # fmt: skip
def test_a_licence_is_what_the_head_of_the_card_names(
    tmp_path: Path, card: str | None, config: dict[str, Any], expected: str
) -> None:
    if card is not None:
        (tmp_path / CARD).write_bytes(card.encode())
    assert license_of(tmp_path, config) == expected


@pytest.mark.parametrize("card", [
    b"---\n" * 200_000, b"---\nlicense: x" + b" " * 60_000 + b"y\n---\n", b"---\n\xff\0license: \xfe\n---\n",
    b"---\n" + b"license: '\n" * 6_000 + b"---\n",
])  # fmt: skip
def test_a_hostile_card_takes_no_time(tmp_path: Path, card: bytes) -> None:
    (tmp_path / CARD).write_bytes(card)
    began = time.process_time()
    assert license_of(tmp_path, {}) == UNKNOWN
    assert time.process_time() - began < 1


def test_the_demo_models_have_the_licence_of_the_program() -> None:
    assert license_of(DEMO, {}) == license_of(RETAIN_ONLY, {}) == "apache-2.0"
