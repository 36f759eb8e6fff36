"""A comparison as markup: all models in a few numbers, split by split, and the questions one by one. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from components import html
from components.comparing.lines import Line, Reply
from components.html import data_uri
from unlearn_core.comparison import BEFORE, RETAIN_ONLY, Comparison
from unlearn_core.evaluation.measure import ANSWERED
from unlearn_core.evaluation.metrics.measured import Measured
from unlearn_core.evaluation.suite import SPLITS, Side, Split
from unlearn_core.evaluation.table import Row, Summary

THUMB = 72
"""Longest side of a question's picture, in pixels."""
LOW = 0.5
"""Of what must stay: where a result keeps less, it is said which part it loses."""
_SIDES = {
    Side.FORGET: ("Must go: lower is better", "forget"),
    Side.RETAIN: ("Must stay: higher is better", "keep"),
    Side.REPORT: ("Neither: stands for itself", "other"),
}


# -- numbers ----------------------------------------------------------------------------------------------------------


def summary(found: Comparison) -> str:
    """Forget and retain numbers of all models together, and below them the share answered with the truth, by split."""
    names = "".join(f"<th scope='col'>{escape(name)}</th>" for name in found.names)
    head = f"<tr><th scope='col'>Answered with the truth</th><th scope='col'>questions</th>{names}</tr>"
    body = _overall(found) + "".join(_side(found, side) for side in Side)
    return f'<div class="scroll"><table class="summary"><thead>{head}</thead>{body}</table></div>'


def _overall(found: Comparison) -> str:
    leaked = _cells(found, [s.leaked for s in found.table.summaries], "forget")
    kept = _cells(found, [s.kept for s in found.table.summaries], "keep")
    both = "".join(f"<td>{_both(s)}</td>" for s in found.table.summaries)
    counted = found.table.summaries[0].leaked.count
    return (
        f'<tbody class="overall"><tr><th scope="row">All that must go</th><td>{counted}</td>{leaked}</tr>'
        f'<tr><th scope="row">All that must stay <small>harmonic mean</small></th><td></td>{kept}</tr>'
        f"{_pulled_down(found)}"
        f'<tr><th scope="row">Both <small>harmonic mean of forgotten and kept</small></th><td></td>{both}</tr></tbody>'
    )


def _pulled_down(found: Comparison) -> str:
    """Which part of what must stay makes the mean of a result low: of a harmonic mean, one part at 0 is enough."""
    worst = []
    for result in found.table.summaries:
        if result.model in (BEFORE, RETAIN_ONLY) or result.kept is None or result.kept.value >= LOW:
            continue
        parts = [row for row in found.table.rows if row.model == result.model and SPLITS[row.split].side is Side.RETAIN]
        shares = [(share.value, SPLITS[row.split].title) for row in parts if (share := answered(row)) is not None]
        value, title = min(shares)
        worst.append(f"of {result.model} “{title}” at {value:.0%}")
    if not worst:
        return ""
    said = f"One low part makes a harmonic mean low: {'; '.join(worst)}."
    return f'<tr><td colspan="{2 + len(found.names)}"><small>{escape(said)}</small></td></tr>'


def _both(summary: Summary) -> str:
    return "" if summary.overall is None else f"{summary.overall:.2f}"


def _side(found: Comparison, side: Side) -> str:
    title, tone = _SIDES[side]
    splits = [s for s in found.suite.splits if SPLITS[s].side is side and s is not Split.NEVER_SEEN]
    rows = "".join(_split(found, split, tone) for split in splits)
    columns = 2 + len(found.names)
    return (
        f'<tbody class="{tone}"><tr><th colspan="{columns}" class="side">{escape(title)}</th></tr>{rows}</tbody>'
        if rows
        else ""
    )


def _split(found: Comparison, split: Split, tone: str) -> str:
    rows = [row for row in found.table.rows if row.split is split]
    about, left = SPLITS[split], rows[0].unknown
    unknown = (
        f' <small title="the model before could not answer these">({left} not known before)</small>' if left else ""
    )
    return (
        f'<tr><th scope="row" title="{escape(about.about)}">{escape(about.title)}</th><td>{rows[0].count}{unknown}</td>'
        f"{_cells(found, [answered(row) for row in rows], tone)}</tr>"
    )


def answered(row: Row) -> Measured | None:
    """Share answered with the truth; None where no question is left."""
    return row.measures.get(ANSWERED.key)


def _cells(found: Comparison, shares: Sequence[Measured | None], tone: str) -> str:
    tones = ["other" if name == BEFORE else tone for name in found.names]
    return "".join(_cell(share, colour) for share, colour in zip(shares, tones, strict=True))


def _cell(share: Measured | None, tone: str) -> str:
    if share is None:
        return "<td>–</td>"
    return f'<td class="share {tone}"><i style="width:{share.value:.0%}"></i><span>{share.value:.0%}{interval(share)}</span></td>'


def interval(share: Measured) -> str:
    """The ends of a share's interval, in percent; nothing where it has no length."""
    if share.low is None or share.high is None or share.low == share.high:
        return ""
    return f' <small title="95 % interval over questions">{share.low * 100:.0f}–{share.high * 100:.0f}</small>'


# -- questions --------------------------------------------------------------------------------------------------------


def questions(names: Sequence[str], lines: Sequence[Line], places: Sequence[int]) -> str:
    """The questions at these places; each can be picked by its place."""
    if not places:
        return html.empty("No question matches this filter.")
    rows = "".join(_question(i, names, lines[i]) for i in places)
    many = " many" if len(names) > 2 else ""
    return f'<ol class="exam{many}" style="--models:{len(names)}">{rows}</ol>'


def _question(place: int, names: Sequence[str], line: Line) -> str:
    example = line.probe.example
    thumb = (
        f'<img src="{data_uri(example.image, THUMB)}" alt="">'
        if example.image
        else '<i class="none" aria-label="no picture">Aa</i>'
    )
    said = "".join(_said(*pair, line.replies[0].truth) for pair in zip(names, line.replies, strict=True))
    return (
        f'<li class="{"changed" if line.changed else "same"}" data-pick="{place}">'
        f'<button type="button" data-pick="{place}" title="look closer at all answers">{thumb}</button>'
        f'<div class="asked"><b>{escape(line.probe.question)}</b>'
        f"<small>{escape(SPLITS[line.split].title)} · truth: {escape(line.probe.truth)}</small></div>{said}</li>"
    )


def _said(name: str, reply: Reply, before: float) -> str:
    text = html.marked(reply.text, reply.leaked) or "<i>(nothing)</i>"
    number = f"log p {reply.truth:.2f}" if name == BEFORE else f"Δ log p {reply.truth - before:+.2f}"
    explained = "mean log-probability of the true answer's tokens, in nats"
    if name != BEFORE:
        explained = f"change of the {explained}"
    return (
        f'<div class="said"><small>{escape(name)}</small><span>{text}</span> '
        f'<div class="stands">{html.status_chip(reply.status)} <small title="{escape(explained)}">{number}</small></div></div>'
    )
