"""Options of a method: a frozen dataclass whose fields say what they are, so that one definition serves everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any

from unlearn_core.vlm.errors import BadOption


def option(
    default: Any,
    label: str,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    choices: Sequence[str] = (),
    advanced: bool = True,
) -> Any:
    """A dataclass field with what a form or a command line needs to know.

    Args:
        help: meaning, unit and source ([paper] or [ours]) in plain words.
        low, high: inclusive range of a number.
        choices: allowed words.
        advanced: whether a form may fold it away.
    """
    metadata = {
        "label": label,
        "help": help,
        "low": low,
        "high": high,
        "step": step,
        "choices": tuple(choices),
        "advanced": advanced,
    }
    return field(default=default, metadata=metadata)


def check_options(config: Any) -> None:
    """Raises BadOption if a value of the dataclass is outside the range or the choices of its field."""
    for f in fields(config):
        _check(f, getattr(config, f.name))


def from_values(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Build a config from plain values (a form, JSON); numbers are converted to the type of the default.

    Raises:
        BadOption: unknown name, or a value of the wrong type or outside its range.
    """
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise BadOption(f"Unknown option(s): {', '.join(unknown)}.")
    converted = {name: _convert(known[name], value) for name, value in values.items()}
    return kind(**converted)


def _convert(f: Field[Any], value: Any) -> Any:
    assert f.default is not MISSING
    try:
        if isinstance(f.default, bool):
            return bool(value)
        if isinstance(f.default, int):
            if float(value) != int(value):
                raise ValueError
            return int(value)
        return float(value) if isinstance(f.default, float) else str(value)
    except (TypeError, ValueError, OverflowError):
        raise BadOption(f"{f.metadata['label']}: '{value}' is not a number of the expected kind.") from None


def _check(f: Field[Any], value: Any) -> None:
    label, low, high, choices = (f.metadata[k] for k in ("label", "low", "high", "choices"))
    if choices and value not in choices:
        raise BadOption(f"{label}: please choose one of {', '.join(choices)}.")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        below, above = low is not None and not value >= low, high is not None and not value <= high
        if value != value or below or above:
            raise BadOption(f"{label}: {value:g} is outside the range from {low:g} to {high:g}.")
