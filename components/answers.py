"""One answered question as markup and figures. Pure functions; nothing asked yet is None."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from components import figures, html
from components.gallery import Shown
from components.looking import EVERY, Looked, heat, highest, shares
from unlearn_core.evaluation.status import Status, status

WHOLE = "whole"
"""Stands for the whole answer where a word can be picked."""


def title(shown: Shown | None) -> str:
    return f"<h3>{escape(shown.title)}</h3>" if shown else html.empty("Bring a picture to begin.")


def can_forget(looked: Looked | None) -> bool:
    return looked is not None and looked.shown.subject is not None


def suggestions(looked: Looked | None) -> str:
    if looked is None or not looked.shown.asks:
        return ""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for ask in looked.shown.asks:
        groups.setdefault(ask.group, []).append((ask.label, ask.label, ask.question))
    return html.grouped_buttons(list(groups.items()), looked.known.label if looked.known else None)


def said(looked: Looked | None) -> str:
    if looked is None:
        return ""
    answer, known = looked.answer, looked.known
    truth = ""
    if known is not None:
        stands = status(answer.text, known.answer)
        right = "" if stands is Status.CORRECT else f"<span>true answer: {escape(known.answer)}</span>"
        truth = f"{html.status_chip(stands)} {right}"
    said = escape(answer.text) or "<i>(nothing)</i>"
    return (
        f'<div class="answer" aria-live="polite"><p class="said">{said}</p>'
        f'<p class="truth">{truth} <span title="probability of exactly this answer">probability {answer.probability:.0%}</span></p></div>'
    )


def words(looked: Looked | None, chosen: int | None) -> str:
    if looked is None:
        return ""
    if looked.rows is None:
        return html.note("Nothing was looked at: the question was asked without a picture, or nothing was answered.")
    share = shares(looked).mean(0).tolist()
    parts = [_word_button(WHOLE, "Whole answer", sum(share) / len(share), chosen is None)]
    parts += [_word_button(str(i), w.text, share[i], i == chosen) for i, w in enumerate(looked.words)]
    return (
        "<h4>Where it looked <small>click a word; the number is its share of attention on the picture</small></h4>"
        f'<div class="words" role="group" aria-label="words of the answer">{"".join(parts)}</div>'
    )


def _word_button(key: str, text: str, share: float, chosen: bool) -> str:
    return (
        f'<button type="button" class="word" data-pick="{key}" aria-pressed="{str(chosen).lower()}" style="--share:{share:.3f}">'
        f"<span>{escape(text)}</span><small>{share:.0%}</small></button>"
    )


def heat_map(looked: Looked | None, word: int | None, layer: str = EVERY, head: str = EVERY) -> go.Figure:
    if looked is None or looked.rows is None or looked.shown.image is None:
        return figures.nothing("No map: there was no picture to look at.")
    # One scale for all words, so that they can be compared; the whole answer is fainter and has its own.
    alike = [None] if word is None else range(len(looked.words))
    top = highest([heat(looked, i, layer, head) for i in alike])
    return figures.heat_map(looked.shown.image, heat(looked, word, layer, head), (0.0, top))


def share_lines(looked: Looked | None, word: int | None, head: str = EVERY) -> go.Figure:
    if looked is None or looked.rows is None:
        return figures.nothing("", 120)
    return figures.share_lines([w.text for w in looked.words], shares(looked, head), word)


def shape(looked: Looked | None) -> tuple[int, int]:
    """Layers and heads that can be chosen."""
    return (
        (0, 0) if looked is None or looked.rows is None else (looked.rows.answer.shape[0], looked.rows.answer.shape[1])
    )


def choices(what: str, count: int) -> list[tuple[str, str]]:
    return [(f"all {what}s (mean)", EVERY), *((f"{what} {i}", str(i)) for i in range(1, count + 1))]
