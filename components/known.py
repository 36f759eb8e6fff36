"""What the model knows of somebody, as chips to mark; findings of the checks; whom to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image, ImageDraw

from components import html
from components.draft import LEFT_OUT, Draft, Pictured, is_marked
from components.gallery import Collection
from components.texts import lasting
from unlearn_core.data.checks import Finding, Severity
from unlearn_core.data.example import Example
from unlearn_core.evaluation.knowledge import Fact, Known

STRANGERS = 3
THUMBNAIL = 144
"""Pixels of the longer side."""
EVERY = "every"
"""What the button says that marks all facts at once."""


def asking() -> str:
    """Before the first answer is there."""
    return '<p class="legend">Asking …</p>'


def facts(found: Known | None, draft: Draft, subject: str, seconds: float = 0) -> str:
    """Each known fact as a button that marks it; what is not known is counted. `seconds` is for how long it was asked."""
    if found is None:
        return ""
    chips = "".join(_chip(i, f, is_marked(draft, subject, f)) for i, f in enumerate(found.facts) if f.known)
    unknown = found.total - len(found.known)
    if found.done < found.total:
        left = seconds / max(1, found.done) * (found.total - found.done)
        note = f"Asking … {found.done} of {found.total}, about {lasting(left)} left"
    elif not chips:
        note = "The model gives no answer about this person that it would not give about others. There is nothing to forget."
    else:
        note = (
            f"Click what must be forgotten, also what is said seldom. {unknown} more things were asked and are left out: no answer, "
            "one that strangers get too, or one that answers something else."
        )
    left = [f for f in found.known if not is_marked(draft, subject, f)]
    every = (
        html.buttons([(EVERY, f"Mark all {len(found.known)}", "")])
        if len(left) > 1 and found.done == found.total
        else ""
    )
    return f'<div class="facts-known">{chips}</div>{every}<p class="legend">{escape(note)}</p>'


def _chip(i: int, fact: Fact, marked: bool) -> str:
    sure = f"{fact.agreement:.0%} of {fact.asked} askings, probability {fact.probability:.0%}"
    others = (
        "not compared with strangers"
        if fact.among_strangers is None
        else f"strangers get it in {fact.among_strangers:.0%}"
    )
    return (
        f'<button type="button" class="known" data-pick="{i}" aria-pressed="{str(marked).lower()}">'
        f"<small>{escape(fact.label)}</small><b>{escape(fact.answer)}</b><small>{sure}; {others}</small></button>"
    )


def findings(found: Iterable[Finding]) -> str:
    """What the checks say, or that all is in order."""
    notes = "".join(
        f'<p class="note {"forget" if f.severity is Severity.STOPS else "plain"}"><b>{escape(f.sentence)}</b> '
        f"{escape(f.suggestion)}</p>"
        for f in found
    )
    return notes or html.note("Nothing in this request contradicts itself.", "keep")


def strangers(collection: Collection, draft: Draft, subject: str) -> list[Image.Image]:
    """People whom the model cannot know; where there are none, others who are in the draft."""
    shown = [collection.shown(card.id) for card in collection.cards() if card.image is not None]
    found = [s.image for s in shown if s.image is not None and s.subject is None and any(a.secret for a in s.asks)]
    others = [p.image for p in draft.pictures if p.who != subject]
    return (found or others)[:STRANGERS]


def pool(collection: Collection, draft: Draft) -> tuple[Example, ...]:
    """What can be proposed to be kept: everything of the collection, and what the draft leaves out."""
    found: list[Example] = []
    for card in collection.cards():
        shown = collection.shown(card.id)
        known = shown.subject is not None or not any(a.secret for a in shown.asks)
        found += [
            Example(
                f"{shown.ref} {i}", shown.image, a.question, a.answer, shown.subject and collection.name(shown.subject)
            )
            for i, a in enumerate(shown.asks)
            if known
        ]
    return (*draft.side(LEFT_OUT), *found)


def thumbnails(pictures: Sequence[Pictured], most: int = 24) -> str:
    """The pictures of everybody, with their names, as buttons that open one to mark a region on it."""
    if not pictures:
        return html.empty("No picture yet. Say who it is and add a few photographs of this one person.")
    shown = "".join(
        f'<button type="button" data-pick="{i}" title="Mark where {escape(p.who)} is"><img src="{_thumbnail(p)}" alt="">'
        f"<span>{escape(p.who)}</span></button>"
        for i, p in enumerate(pictures[:most])
    )
    more = f"<p class='legend'>and {len(pictures) - most} more</p>" if len(pictures) > most else ""
    hint = "<p class='legend'>Is somebody else in a picture who stays? Click it and mark who must be forgotten.</p>"
    return f'<div class="strip">{shown}</div>{more}{hint}'


def _thumbnail(pictured: Pictured) -> str:
    small = pictured.image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    if pictured.region is not None:
        ImageDraw.Draw(small).rectangle(pictured.region.pixels(small.size), outline="#e0762f", width=3)
    return html.data_uri(small, THUMBNAIL)


def left_out(unknown: int, known: int) -> str:
    """The imprint gate, told: what the model does not know is counted, and is not part of the request."""
    if not unknown:
        return html.note(f"The model knows all {known} of the answers to forget.", "keep")
    return html.note(
        f"The model knows {known} of the {known + unknown} answers to forget. {unknown} "
        f"{'is' if unknown == 1 else 'are'} left out: what it does not know it cannot forget.",
        "forget",
    )
