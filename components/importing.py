"""Files that people bring to the Forget page, as drafts, and what was left out of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from components.draft import LEFT_OUT, Draft, drafted, of_request
from components.gallery import UPLOAD_SIDE
from unlearn_core.data.example import Example
from unlearn_core.data.readers import Report, opened, read
from unlearn_core.data.readers.source import Zip
from unlearn_core.runs.requests import is_request, load_request
from unlearn_core.vlm.errors import BadRequest

MOST = 3_000
"""Examples that the page takes; more are for the library."""
MOST_BYTES = 2**30
"""Of all pictures of a file together, unpacked."""
TOLD = 8
"""Dropped rows that are listed one by one."""


def bring(path: Path) -> tuple[Draft, Report | None]:
    """A request that was exported, or a table or zip of examples with the report of its rows.

    Raises:
        BadFile: it cannot be read. BadRequest: it is far too long for a page.
    """
    if path.suffix.lower() == ".zip" and is_request(Zip(path)):
        return of_request(load_request(path, most=MOST_BYTES)), None
    table = read(path)
    if len(table.rows) > MOST:
        raise BadRequest(
            f"The file has {len(table.rows)} examples; this page takes {MOST}. Please use a part of it, or the Python library."
        )
    sides: dict[str, list[Example]] = {}
    seen: set[int] = set()
    held = 0
    for row, example in zip(table.rows, opened(table.rows), strict=True):
        if example.image is not None:
            example.image.thumbnail((UPLOAD_SIDE, UPLOAD_SIDE))
            if id(example.image) not in seen:
                seen.add(id(example.image))
                held += 3 * example.image.width * example.image.height
            if held > MOST_BYTES:
                raise BadRequest(
                    "The pictures of this file are far too large for this page. Please use fewer or smaller ones."
                )
        side = row.side if row.side in ("forget", "keep", "retain") else LEFT_OUT
        sides.setdefault(side, []).append(example)
    ordered: dict[str, Sequence[Example]] = {s: sides[s] for s in ("forget", "keep", "retain", LEFT_OUT) if s in sides}
    return drafted("", ordered), table.report


def told(report: Report | None) -> str:
    """What became of the rows, as markup."""
    if report is None:
        return ""
    lines = "".join(f"<li>{escape(d.file)}, line {d.line}: {escape(d.reason)}</li>" for d in report.dropped[:TOLD])
    more = len(report.dropped) - TOLD
    rest = f"<li>and {more} more</li>" if more > 0 else ""
    counts = "".join(f"<li><b>{count}</b> because {escape(reason)}</li>" for reason, count in report.reasons.items())
    summary = f"<b>{report.kept}</b> examples read, <b>{len(report.dropped)}</b> left out."
    if not report.dropped:
        return f'<p class="note keep">{summary}</p>'
    return (
        f'<div class="note forget">{summary}<details><summary>Which and why</summary>'
        f"<ul>{counts if len(report.dropped) > TOLD else ''}{lines}{rest}</ul></details></div>"
    )
