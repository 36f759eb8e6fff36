"""A form drawn from a config dataclass: one component per field, and back from its values to a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component

from unlearn_core.methods.options import from_values


@dataclass(frozen=True)
class Form:
    """The components of one config, in the order of its fields."""

    kind: type[Any]
    names: tuple[str, ...]
    components: tuple[Component, ...]

    def config(self, values: Sequence[Any]) -> Any:
        """Raises BadOption for a value that is out of range or of the wrong kind."""
        return from_values(self.kind, dict(zip(self.names, values, strict=True)))


def draw(kind: type[Any], prefix: str) -> Form:
    """Draw the main options, and the advanced ones folded away. Call inside a Blocks context.

    Args:
        prefix: begins the element id of every component.
    """
    main = [f for f in fields(kind) if not f.metadata["advanced"]]
    folded = [f for f in fields(kind) if f.metadata["advanced"]]
    drawn = {}
    with gr.Row():
        drawn |= {f.name: component(f, prefix) for f in main}
    with gr.Accordion("More options", open=False), gr.Row():
        drawn |= {f.name: component(f, prefix) for f in folded}
    return Form(kind, tuple(drawn), tuple(drawn.values()))


def component(field: Field[Any], prefix: str) -> Component:
    """One field as a component. Ranges are told in the help and checked by the config itself, so that the message is ours."""
    about, default = field.metadata, field.default
    assert default is not MISSING
    common: dict[str, Any] = {
        "label": about["label"],
        "elem_id": f"{prefix}-{field.name}",
        "min_width": 210,
        "scale": 1,
    }
    if about["choices"]:
        return gr.Dropdown(list(about["choices"]), value=default, info=about["help"], filterable=False, **common)
    if isinstance(default, bool):
        return gr.Checkbox(default, info=about["help"], **common)
    if isinstance(default, int | float):
        return gr.Number(
            default,
            info=f"{about['help']} {_range(about['low'], about['high'])}".strip(),
            step=about["step"] or 1e-4,
            **common,
        )
    return gr.Textbox(default, info=about["help"], **common)


def _range(low: float | None, high: float | None) -> str:
    """In digits: few read 1e-06."""
    if low is None or high is None:
        return ""
    return f"From {np.format_float_positional(low, trim='-')} to {np.format_float_positional(high, trim='-')}."
