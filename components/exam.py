"""An exam's answers before and after as markup: a summary by kind, and the questions with what changed. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from components import html
from components.html import data_uri
from components.texts import GOING, kind_label
from unlearn_core.evaluation.compare import Compared, Share, summary
from unlearn_core.evaluation.status import normalise

EVERY_KIND = "all"
CHANGES = ("All answers", "Changed", "Leaked")


@dataclass(frozen=True, eq=False)
class Exam:
    """A finished comparison: the reference of the result that was compared, and one row per question."""

    result: str
    rows: tuple[Compared, ...]


def chosen(rows: Sequence[Compared], kind: str, change: str) -> list[int]:
    """Places of the rows that a filter lets through."""
    return [
        i
        for i, row in enumerate(rows)
        if kind in (EVERY_KIND, row.example.kind)
        and (change != "Changed" or row.changed)
        and (change != "Leaked" or leaks(row))
    ]


def leaks(row: Compared) -> tuple[tuple[int, int], ...]:
    """Places of words of the truth in an answer that should be gone; words that should be said instead do not count."""
    if row.example.kind not in GOING:
        return ()
    instead = normalise(row.example.target or "").split()
    return tuple((start, end) for start, end in row.leaked if row.after.text[start:end].lower() not in instead)


def summary_table(rows: Sequence[Compared]) -> str:
    """Shares of true answers before and after, by kind: first what must go, then what must stay."""
    shares = summary(rows)
    going = {k: v for k, v in shares.items() if k in GOING}
    staying = {k: v for k, v in shares.items() if k not in GOING}
    parts = [("Must go: lower is better", "forget", going), ("Must stay: higher is better", "keep", staying)]
    body = "".join(_side(title, tone, kinds) for title, tone, kinds in parts if kinds)
    head = "<tr><th scope='col'>Answered with the truth</th><th scope='col'>questions</th><th scope='col'>before</th><th scope='col'>after</th><th scope='col'>refused after</th></tr>"
    return f'<div class="scroll"><table class="summary"><thead>{head}</thead>{body}</table></div>'


def _side(title: str, tone: str, kinds: dict[str, Share]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(kind_label(kind))}</th><td>{s.count}</td>{_bar(s.before, 'other')}{_bar(s.after, tone)}<td>{s.refused:.0%}</td></tr>"
        for kind, s in kinds.items()
    )
    return f'<tbody class="{tone}"><tr><th colspan="5" class="side">{escape(title)}</th></tr>{rows}</tbody>'


def _bar(share: float, tone: str) -> str:
    return f'<td class="share {tone}"><i style="width:{share:.0%}"></i><span>{share:.0%}</span></td>'


def questions(rows: Sequence[Compared], places: Sequence[int]) -> str:
    """The questions at these places; each can be picked by its place."""
    if not places:
        return html.empty("No question matches this filter.")
    return f'<ol class="exam">{"".join(_question(i, rows[i]) for i in places)}</ol>'


def _question(place: int, row: Compared) -> str:
    example = row.example
    thumb = (
        f'<img src="{data_uri(example.image, 72)}" alt="">'
        if example.image
        else '<i class="none" aria-label="no picture">Aa</i>'
    )
    return (
        f'<li class="{"changed" if row.changed else "same"}"><button type="button" data-pick="{place}" title="look closer at both answers">{thumb}</button>'
        f'<div class="asked"><b>{escape(example.question)}</b><small>{escape(kind_label(example.kind))} · truth: {escape(example.answer)}</small></div>'
        f'<div class="said"><small>before</small>{_said(row.before.text)} {html.status_chip(row.before_status)}</div>'
        f'<div class="said"><small>after</small><span>{html.marked(row.after.text, leaks(row))}</span> '
        f"{html.status_chip(row.after_status)}</div></li>"
    )


def _said(text: str) -> str:
    return f"<span>{escape(text) or '<i>(nothing)</i>'}</span>"
