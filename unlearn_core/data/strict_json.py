"""JSON as the standard has it: what is read is checked, what is written can be read anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 32


def to_json(value: Any, indent: int | None = 2) -> bytes:
    """ASCII JSON and a newline. Numbers that are not finite become null, which is how JSON says "not measured"."""
    return (json.dumps(_finite(value), indent=indent, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def from_json(data: bytes) -> Any:
    """Read JSON and nothing beyond: UTF-8, each name once, finite numbers, at most 32 levels.

    Raises:
        ValueError: anything else.
    """
    try:
        value = DECODER.decode(data.decode())
    except RecursionError:
        raise ValueError("too many levels") from None
    return shallow(value)


def array_items(text: str) -> Iterator[tuple[int, Any]]:
    """The items of a JSON array one by one, each with the place in `text` where it begins.

    Raises:
        json.JSONDecodeError: as for `from_json`, when the item that it concerns is reached; says where it is.
    """
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise json.JSONDecodeError("no array", text, at)
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return
    while True:
        try:
            value, end = DECODER.raw_decode(text, at)
            item = shallow(value)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            reason = "too many levels" if isinstance(error, RecursionError) else str(error)
            raise json.JSONDecodeError(reason, text, at) from None
        yield at, item
        at = _skip(text, end)
        if text[at : at + 1] == "]":
            return
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("no comma between two items", text, at)
        at = _skip(text, at + 1)


def shallow(value: Any) -> Any:
    """The value itself. Raises ValueError if it has more than 32 levels."""
    if _depth(value) > MAX_DEPTH:
        raise ValueError("too many levels")
    return value


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite_number(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _distinct_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError("a name appears twice")
    return out


def _depth(value: Any) -> int:
    """Levels of nesting; level by level, so that depth costs no stack."""
    level, depth = [value], 0
    while level:
        nested = [v for v in level if isinstance(v, dict | list)]
        level = [w for v in nested for w in (v.values() if isinstance(v, dict) else v)]
        depth += bool(nested)
    return depth


DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite_number, object_pairs_hook=_distinct_names)
