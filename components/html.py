"""Small pieces of markup as pure functions. Whatever comes from a model, a file or a person is escaped here."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

from components.texts import lasting
from unlearn_core.evaluation.status import Status


def data_uri(image: Image.Image, side: int) -> str:
    """The picture, at most `side` pixels wide and high, as a JPEG that stands in the page itself."""
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.convert("RGB").save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def intro(does: str, then: str, more: Sequence[str]) -> str:
    """What a page is for, what to do next, and one click away `more` about how it works, in paragraphs."""
    told = "".join(f"<p>{escape(text)}</p>" for text in more)
    return (
        f'<p class="intro"><b>{escape(does)}</b> <span>{escape(then)}</span></p>'
        f'<details class="help"><summary>How this page works</summary>{told}</details>'
    )


def empty(text: str) -> str:
    """What stands where there is nothing yet."""
    return f'<p class="empty">{escape(text)}</p>'


def note(text: str, tone: str = "plain") -> str:
    """A remark. `tone` is plain, keep or forget."""
    return f'<p class="note {escape(tone)}">{escape(text)}</p>'


def step(number: int, text: str) -> str:
    """What to do next on a panel with several steps."""
    return f'<p class="step"><b>{number}</b> {escape(text)}</p>'


def working(text: str) -> str:
    """What is being done, and how far it is."""
    return f'<p class="doing" role="status">{escape(text)}</p>'


def bar(share: float, label: str = "progress") -> str:
    """How far something is; `share` from 0 to 1."""
    return (
        f'<div class="bar" role="progressbar" aria-label="{escape(label)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}"><i style="width:{share:.1%}"></i></div>'
    )


def underway(done: int, total: int, what: str, seconds: float) -> str:
    """How many of something are done after so many seconds, and how long the rest will take."""
    left = f", about {lasting(seconds / done * (total - done))} left" if done else ""
    return f'<div class="run">{bar(done / total)}<p class="doing">{done} of {total} {escape(what)}{left}</p></div>'


def chip(text: str, tone: str) -> str:
    return f'<span class="chip {escape(tone)}">{escape(text)}</span>'


_STATUS = {
    Status.CORRECT: ("correct", "keep"),
    Status.REFUSAL: ("refused", "forget"),
    Status.WRONG: ("wrong", "other"),
    Status.GIBBERISH: ("gibberish", "other"),
    Status.EMPTY: ("no answer", "other"),
    Status.FORMAT_ERROR: ("wrong form", "other"),
}


def status_name(status: Status) -> str:
    return _STATUS[status][0]


def status_chip(status: Status) -> str:
    return chip(*_STATUS[status])


def download(name: str, uri: str, size: int) -> str:
    """A link to a file of `size` bytes that stands in the page itself: nothing is written to disk."""
    return f'<a href="{uri}" download="{escape(name)}">{escape(name)}, {size / 1e3:.0f} kB</a>'


def buttons(items: Iterable[tuple[str, str, str]], chosen: str | None = None) -> str:
    """Chips that can be clicked, from (what is picked, text, title)."""
    return "".join(
        f'<button type="button" class="pick" data-pick="{escape(key)}" aria-pressed="{str(key == chosen).lower()}" '
        f'title="{escape(title)}">{escape(text)}</button>'
        for key, text, title in items
    )


def grouped_buttons(groups: Sequence[tuple[str, Sequence[tuple[str, str, str]]]], chosen: str | None = None) -> str:
    rows = "".join(f"<div><h4>{escape(name)}</h4>{buttons(items, chosen)}</div>" for name, items in groups)
    return f'<div class="picks">{rows}</div>'


def marked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with the given places marked as leaked."""
    out, at = "", 0
    for start, end in spans:
        out += (
            f'{escape(text[at:start])}<mark title="the true answer has this word too">{escape(text[start:end])}</mark>'
        )
        at = end
    return out + escape(text[at:])
