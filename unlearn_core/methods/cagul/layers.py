"""Which decoder layers' attention ranks the tokens, from what somebody wrote."""

from __future__ import annotations

from unlearn_core.vlm.errors import BadOption

MIDDLE = "middle"


def parse_layers(text: str) -> tuple[int, ...] | None:
    """Layer numbers counted from 0, each once and in order, or None for the middle layer.

    Raises:
        BadOption: neither `middle` nor whole numbers with commas between them.
    """
    words = [word.strip() for word in text.split(",")]
    if words == [MIDDLE]:
        return None
    if not all(word.isascii() and word.isdigit() and len(word) < 5 for word in words):
        raise BadOption(f"Attention layers: please write '{MIDDLE}', or layer numbers such as '2' or '1,2'.")
    return tuple(sorted({int(word) for word in words}))


def layers_of(text: str, count: int) -> tuple[int, ...]:
    """As `parse_layers`, for a model with `count` decoder layers.

    Raises:
        BadOption: the model has no such layer.
    """
    layers = parse_layers(text)
    if layers is None:
        return (count // 2,)
    if layers[-1] >= count:
        raise BadOption(
            f"Attention layers: this model has {count} layers, numbered from 0 to {count - 1}; there is no layer {layers[-1]}."
        )
    return layers
