"""Values of a record as the types that an example needs. What cannot be used makes the row unusable, with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from unlearn_core.data.region import Region
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.prompt import MAX_QUESTION

MAX_ANSWER = 20_000
MAX_LIST = 200

Record = Mapping[str, Any]


class Unusable(ValueError):
    """A row that is left out; the message is a clause such as `it has no question`."""


def text(value: Any, what: str, most: int = MAX_ANSWER) -> str:
    """Text that is not empty; numbers and truth values are written out. Raises Unusable."""
    written = optional(value, what, most)
    if written is None:
        raise Unusable(f"it has no {what}")
    return written


def optional(value: Any, what: str, most: int = MAX_ANSWER) -> str | None:
    """As `text`, but None for nothing."""
    if value is None:
        return None
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if not isinstance(value, str | int | float):
        raise Unusable(f"its {what} is no text")
    written = str(value).strip()
    if len(written) > most:
        raise Unusable(f"its {what} has more than {most} characters")
    if any("\ud800" <= c <= "\udfff" for c in written):
        raise Unusable(f"its {what} holds half of a character")
    return written or None


def question(value: Any) -> str:
    return text(value, "question", MAX_QUESTION)


def texts(value: Any, what: str) -> tuple[str, ...]:
    """A list of texts; a single text is a list of one, and text that is a JSON list is read as one. Raises Unusable."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unusable(f"its {what} is no list") from None
    if value is None:
        return ()
    many = list(value) if isinstance(value, list | tuple) else [value]
    if len(many) > MAX_LIST:
        raise Unusable(f"its {what} has more than {MAX_LIST} entries")
    return tuple(text(v, what) for v in many)


def options(value: Any) -> dict[str, str] | None:
    """Options of a choice by letter; a list gets the letters A, B, C and so on. Raises Unusable."""
    if not value:
        return None
    if isinstance(value, Mapping):
        return {text(k, "option"): text(v, "option") for k, v in value.items()}
    return {chr(ord("A") + i): option for i, option in enumerate(texts(value, "options")[:26])}


def region(value: Any) -> Region | None:
    """A box as four numbers, or text of them; None for nothing. Raises Unusable."""
    if value in (None, ""):
        return None
    try:
        return Region.of(value)
    except BadRequest:
        raise Unusable("its region is no box of four numbers from 0 to 1 (left, top, right, bottom)") from None


def objects(value: Any, what: str) -> Iterator[Record]:
    """A list of records, or one. Raises Unusable."""
    for item in value if isinstance(value, list | tuple) else [value] if value is not None else []:
        if not isinstance(item, Mapping):
            raise Unusable(f"its {what} is no list of objects")
        yield item


def first(record: Record, *names: str) -> Any:
    """The value of the first of these names that has one."""
    return next((record[n] for n in names if record.get(n) is not None), None)
