"""A report as one file that opens offline and prints: no script, nothing loaded from anywhere, everything escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

HEADLINE = ("answered", "refusal_rate", "gibberish_rate", "probability", "rouge_l_recall", "truth_ratio_forget")
"""Metrics that the page shows; all of them are in the JSON file."""


def to_html(data: dict[str, Any]) -> str:
    """The page of a report's data."""
    columns = {
        split: [k for k in HEADLINE if any(k in row["measures"] for row in data["rows"] if row["split"] == split)]
        for split in data["splits"]
    }
    return _template().render(**data, columns=columns)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("unlearn_core.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["interval"] = _interval
    environment.filters["moment"] = _moment
    return environment.get_template("report.html.jinja")


def _moment(text: str) -> str:
    """A time as people write it; what is none stays as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%d %B %Y, %H:%M} UTC"
    except ValueError:
        return text


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(estimate: dict[str, Any] | None) -> str:
    """A number between 0 and 1 with its interval."""
    if estimate is None:
        return "–"
    if estimate["low"] is None or estimate["high"] is None:
        return _percent(estimate["value"])
    return f"{_percent(estimate['value'])} ({100 * estimate['low']:.0f}–{100 * estimate['high']:.0f})"
