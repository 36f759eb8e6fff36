"""JSON as the standard has it, and nothing beyond."""

from __future__ import annotations

import json
import math

import pytest

from unlearn_core.data.strict_json import from_json, to_json


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[1e999]",
        "-Infinity",
        '{"a": 1, "a": 2}',
        "[" * 40 + "]" * 40,
        "[" * 10**6,
        "",
        "{} x",
        "\xff",
        "9" * 9999,
    ],
)
def test_only_strict_json_is_read(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        from_json(text.encode("latin-1"))


def test_what_was_not_measured_is_null() -> None:
    assert json.loads(to_json({"a": [math.nan, 1.5], "b": (math.inf, "\ud800")})) == {
        "a": [None, 1.5],
        "b": [None, "\ud800"],
    }
