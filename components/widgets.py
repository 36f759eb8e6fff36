"""Two small components on gr.HTML: cards to choose from, and markup whose parts can be clicked.

Functions and no classes, because Gradio writes a stub file beside the source of every subclass of a component.
Everything that goes into them is markup or attributes: callers escape it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from components.gallery import Card
from components.html import data_uri

# A re-render replaces the markup, and with it the element that had the focus: it is given back to its successor. What was
# unfolded is unfolded again.
_KEEP_FOCUS = """
const again = key => { const b = key && element.querySelector(`[data-pick="${CSS.escape(key)}"]`); if (b) b.focus({preventScroll: true}); };
"""

_PICK = (
    _KEEP_FOCUS
    + """
let last = null;
const unfolded = new Set();
const name = d => `${d.parentElement.querySelector('[data-pick]')?.dataset.pick} ${d.querySelector('summary')?.textContent}`;
element.addEventListener('toggle', e => {
  if (e.target.isConnected) e.target.open ? unfolded.add(name(e.target)) : unfolded.delete(name(e.target));
}, true);
element.addEventListener('click', e => {
  const b = e.target.closest('[data-pick]');
  if (b) { last = b.dataset.pick; trigger('select', {pick: last, more: e.ctrlKey || e.metaKey || e.shiftKey}); }
});
watch('value', () => {
  element.querySelectorAll('details').forEach(d => { if (unfolded.has(name(d))) d.open = true; });
  if (document.activeElement === document.body) again(last);
});
"""
)


SAVE = "() => { const a = document.querySelector('#%s a'); if (a) a.click(); }"
"""Save the file whose link stands in an element of this id."""


def clickable(value: str = "", **kwargs: Any) -> gr.HTML:
    """Markup in which each element with `data-pick` raises a `select` event; read it with `picked`."""
    return gr.HTML(value, js_on_load=_PICK, **kwargs)


def picked(event: gr.EventData) -> str:
    """Which element was clicked. Comes from the browser: treat it as any other input."""
    return str(getattr(event, "pick", ""))


def adds(event: gr.EventData) -> bool:
    """Whether a key was held down that adds to what is chosen instead of choosing anew."""
    return getattr(event, "more", False) is True


_CARDS = """<div class="cards" role="${many ? 'group' : 'radiogroup'}" aria-label="${heading}">${cards.map((c, i) =>
(i === 0 || cards[i - 1].group !== c.group) && c.group ? `<h4 class="cards-group">${c.group}</h4>` : '').map((h, i) => { const c = cards[i], on = value.includes(c.id);
return h + `<button type="button" class="card" role="${many ? 'checkbox' : 'radio'}" data-pick="${c.id}" aria-checked="${on}">${c.src ? `<img src="${c.src}" alt="" loading="lazy">` : '<i aria-hidden="true">Aa</i>'}<span>${c.label}</span></button>`; }).join('')}</div>"""

_CHOOSE = (
    _KEEP_FOCUS
    + """
element.addEventListener('click', e => {
  const b = e.target.closest('[data-pick]');
  if (!b) return;
  const id = b.dataset.pick, scroll = element.querySelector('.cards').scrollTop, chosen = new Set(props.value);
  if (props.many) { chosen.has(id) ? chosen.delete(id) : chosen.add(id); }
  props.value = props.many ? props.cards.map(c => c.id).filter(i => chosen.has(i)) : [id];
  requestAnimationFrame(() => { element.querySelector('.cards').scrollTop = scroll; again(id); });
  trigger('input');
});
"""
)


def picker(cards: Sequence[Card], chosen: Sequence[str] = (), *, many: bool, heading: str, **kwargs: Any) -> gr.HTML:
    """Cards with pictures. The value is the list of chosen ids; it changes in the browser, without the server.

    Args:
        many: any number may be chosen, otherwise one.
        heading: what a screen reader calls the group.
    """
    return gr.HTML(
        list(chosen),
        html_template=_CARDS,
        js_on_load=_CHOOSE,
        cards=_shown(cards),
        many=many,
        heading=escape(heading),
        **kwargs,
    )


def other_cards(cards: Sequence[Card], chosen: Sequence[str] = (), *, many: bool, heading: str) -> gr.HTML:
    """An update for a picker: other cards to choose from. An update replaces all properties, so all are given again."""
    return gr.HTML(list(chosen), cards=_shown(cards), many=many, heading=escape(heading), visible=bool(cards))


def _shown(cards: Sequence[Card]) -> list[dict[str, str]]:
    return [
        {
            "id": escape(c.id),
            "label": escape(c.label),
            "group": escape(c.group),
            "src": data_uri(c.image, 96) if c.image else "",
        }
        for c in cards
    ]
