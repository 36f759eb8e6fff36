"""What can be taken away from page 4: the questions as a table for spreadsheets, and maps as one picture. Pure functions."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from components.comparing.lines import Line
from unlearn_core.attention import drawing
from unlearn_core.evaluation.suite import SPLITS

TITLE, GAP = 26, 12
"""Height of a title above a map, and the space between two maps, in pixels."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def table(names: Sequence[str], lines: Sequence[Line]) -> bytes:
    """CSV with a line for each question, in UTF-8 with a mark at the beginning, by which spreadsheets tell it.

    log p is the mean log-probability of the true answer's tokens, in nats.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    columns = [f"{name}: {what}" for name in names for what in ("answer", "status", "log p")]
    writer.writerow(["split", "side", "subject", "question", "truth", *columns, f"{names[1]}: change of log p"])
    for line in lines:
        about, example = SPLITS[line.split], line.probe.example
        texts = [about.title, about.side.value, example.subject or "", line.probe.question, line.probe.truth]
        said = [x for r in line.replies for x in (as_text(r.text), r.status.value, f"{r.truth:.4f}")]
        writer.writerow([*map(as_text, texts), *said, f"{line.change:.4f}"])
    return out.getvalue().encode("utf-8-sig")


def as_text(cell: str) -> str:
    """The cell so that no spreadsheet runs it: what might be read as a formula begins with an apostrophe."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell


def beside(maps: Sequence[tuple[str, drawing.Drawn]]) -> bytes:
    """Maps with their titles side by side, as one PNG."""
    painted = [(title, drawing.painted(drawn)) for title, drawn in maps]
    width = sum(picture.width for _, picture in painted) + GAP * (len(painted) - 1)
    whole = Image.new("RGB", (width, TITLE + max(picture.height for _, picture in painted)), "white")
    draw, font, left = ImageDraw.Draw(whole), ImageFont.load_default(18), 0
    for title, picture in painted:
        draw.text((left + picture.width / 2, TITLE / 2), title, "black", font, "mm")
        whole.paste(picture, (left, TITLE))
        left += picture.width + GAP
    return drawing.encoded(whole)
