"""Conversations as pairs of question and answer."""

from __future__ import annotations

from typing import Any

from unlearn_core.data.readers.fields import Record, Unusable, objects

ASKS, SAYS = ("human", "user"), ("gpt", "assistant")
MARK = "<image>"
"""Where the picture stands in the text; our prompts put it in their own place."""


def turns(record: Record) -> list[tuple[Any, Any]]:
    """Each question with the answer that follows it; nothing for a record without a conversation.

    `conversations` has `from` and `value` (LLaVA), `messages` has `role` and `content` (chat models, ms-swift).

    Raises:
        Unusable: question and answer do not take turns.
    """
    if "conversations" in record:
        said = [(t.get("from"), t.get("value")) for t in objects(record["conversations"], "conversation")]
    elif "messages" in record:
        said = [(t.get("role"), t.get("content")) for t in objects(record["messages"], "conversation")]
    else:
        return []
    said = [(who, what) for who, what in said if who != "system"]
    pairs = list(zip(said[::2], said[1::2], strict=False))
    if not pairs or len(said) % 2 or any(a not in ASKS or b not in SAYS for (a, _), (b, _) in pairs):
        raise Unusable("its conversation is not question and answer in turn")
    return [(_without_mark(asked), answered) for (_, asked), (_, answered) in pairs]


def _without_mark(value: Any) -> Any:
    return value.replace(MARK, "").strip() if isinstance(value, str) else value
