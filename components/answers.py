"""One answered question as markup and figures. Pure functions; nothing asked yet is None."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from components import figures, html
from components.gallery import Shown
from components.looking import (
    ATTENTION,
    KINDS,
    Choice,
    Looked,
    by_word,
    frame,
    heat,
    highest,
    on_picture,
    scale,
    shares,
    tokens_of,
    values,
)
from unlearn_core.attention import (
    PARTS,
    Faithfulness,
    boxes,
    drawing,
    heads_apart,
    looked_at,
    parts,
    picture_map,
    places_at,
)
from unlearn_core.attention.sinks import share, sinks
from unlearn_core.evaluation.status import Status, status
from unlearn_core.methods.seen import GateReading, Seen

WHOLE = "whole"
"""Stands for the whole answer where a word can be picked."""
SINKS = "sinks"
"""Stands for the switch that hides attention sinks."""
SINK, PLACE = "#ffffff", "#35c8ff"
MOST = 8
"""Words named for a place."""
LITTLE = 0.05
"""Nats below which nothing is lost to speak of. [ours]"""


def title(shown: Shown | None) -> str:
    return f"<h3>{escape(shown.title)}</h3>" if shown else html.empty("Bring a picture to begin.")


def can_forget(looked: Looked | None) -> bool:
    return looked is not None and looked.shown.subject is not None


def can_mark(looked: Looked | None) -> bool:
    """Whether this answer can be part of a request: it says something of a picture."""
    return looked is not None and looked.shown.image is not None and bool(looked.words)


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


def words(looked: Looked | None, choice: Choice) -> str:
    if looked is None:
        return ""
    if looked.rows is None:
        return html.note("Nothing was looked at: the question was asked without a picture, or nothing was answered.")
    shared = by_word(looked, parts(looked.rows))
    chips = [_word_button(WHOLE, "Whole answer", shared.mean(1).tolist(), not choice.words)]
    chips += [
        _word_button(str(i), w.text, shared[:, i].tolist(), i in choice.words) for i, w in enumerate(looked.words)
    ]
    key = "".join(
        f'<b style="--part:{c}">{name}</b>' for name, c in zip(PARTS[:-1], figures.PART_COLOURS, strict=False)
    )
    return (
        "<h4>Where it looked <small>click a word, Ctrl + click for several; the number is its share of attention on the picture</small></h4>"
        f'<div class="words" role="group" aria-label="words of the answer">{"".join(chips)}</div><p class="parts-key">{key}</p>'
    )


def _word_button(key: str, text: str, shared: Sequence[float], chosen: bool) -> str:
    """A word with its share of attention on the picture, and a bar of all `shared` among `PARTS`."""
    told = ", ".join(
        f"{part:.0%} on {name}"
        for part, name in zip(shared, ("the picture", "the question", "the answer before it", "the rest"), strict=True)
    )
    ends = [f"{100 * sum(shared[: k + 1]):.0f}%" for k in range(3)]
    return (
        f'<button type="button" class="word" data-pick="{key}" aria-pressed="{str(chosen).lower()}" title="{told}" '
        f'style="--share:{shared[0]:.3f};--a:{ends[0]};--b:{ends[1]};--c:{ends[2]}">'
        f"<span>{escape(text)}</span><small>{shared[0]:.0%}</small></button>"
    )


def pick_word(choice: Choice, key: str, more: bool) -> Choice:
    """The choice after a click on a word: this one alone, or with `more` this one besides the others or no longer."""
    if not key.isdigit():
        return replace(choice, words=())
    word = int(key)
    return replace(choice, words=tuple(sorted({*choice.words} ^ {word})) if more else (word,))


# -- maps -----------------------------------------------------------------------------------------------------------------


def heat_map(looked: Looked | None, choice: Choice) -> go.Figure:
    if looked is None:
        return figures.nothing("Here appears where an answer looked.")
    if looked.rows is None or looked.shown.image is None:
        return figures.nothing("No map: there was no picture to look at.")
    kind, ends, outlines = KINDS[choice.kind], scale(looked, choice), _outlines(looked, choice)
    told: Any = {"unit": kind.unit, "hover": kind.hover, "outlines": outlines}
    if kind.signed:
        return figures.change_map(looked.shown.image, heat(looked, choice), ends[1], **told)
    return figures.heat_map(looked.shown.image, heat(looked, choice), ends, **told)


def _outlines(looked: Looked, choice: Choice) -> list[figures.Outline]:
    rows = looked.rows
    assert rows is not None
    found = [figures.Outline(boxes(rows.tiles, sinks(rows).tolist()), SINK, "dot")]
    if choice.place is not None:
        found.append(figures.Outline(boxes(rows.tiles, places_at(rows.tiles, *choice.place)), PLACE))
    return [outline for outline in found if outline.boxes]


def share_lines(looked: Looked | None, choice: Choice) -> go.Figure:
    if looked is None or looked.rows is None:
        return figures.nothing("" if looked else "And here, in which layers.", 120)
    loud = choice.words[0] if len(choice.words) == 1 else None
    return figures.share_lines([w.text for w in looked.words], shares(looked, choice.heads), loud)


def note(looked: Looked | None, choice: Choice) -> str:
    """Under the map: which words looked at the place that was clicked, and what sinks there are."""
    if looked is None or looked.rows is None:
        return ""
    return f'<div class="under">{_place(looked, choice)}{_sinks(looked, choice)}</div>'


def _place(looked: Looked, choice: Choice) -> str:
    rows = looked.rows
    assert rows is not None
    places = () if choice.place is None else places_at(rows.tiles, *choice.place)
    if not places:
        return (
            "<p>Click a place on the picture, or move there with the arrow keys, to see which words looked at it.</p>"
        )
    shares = by_word(looked, looked_at(rows, places, list(choice.layers) or None, list(choice.heads) or None))
    found = sorted(zip(shares.tolist(), range(len(shares)), strict=True), reverse=True)[:MOST]
    chips = "".join(
        f'<button type="button" class="word" data-pick="{i}" aria-pressed="{str(i in choice.words).lower()}" style="--share:{share / (found[0][0] or 1):.3f}">'
        f"<span>{escape(looked.words[i].text)}</span><small>{share:.2%}</small></button>"
        for share, i in found
    )
    return f'<p>Words by the share of their attention that fell on this place:</p><div class="words">{chips}</div>'


def _sinks(looked: Looked, choice: Choice) -> str:
    rows = looked.rows
    assert rows is not None
    found = sinks(rows)
    if not len(found):
        return ""
    drawn = share(values(looked, replace(choice, kind=ATTENTION, hide=False)), found)
    hide = "Show them" if choice.hide else "Hide them"
    return (
        f"<p>{len(found)} of {rows.answer.shape[3]} places (dotted) draw attention whichever word looks: sinks. {drawn:.0%} of "
        f'what falls on the picture falls on them. <button type="button" class="pick" data-pick="{SINKS}" '
        f'aria-pressed="{str(choice.hide).lower()}">{hide}</button></p>'
    )


# -- is the map telling the truth? ----------------------------------------------------------------------------------------


def verdict(found: Faithfulness) -> str:
    """One number and a plain sentence."""
    middle = len(found.fractions) // 2
    fraction, top, chance = found.fractions[middle], found.marked[middle], found.chance[middle]
    was, marked, random = (f"{math.exp(found.plain - fall):.0%}" for fall in (0.0, top, chance))
    if max(*found.marked, *found.chance, found.all) < LITTLE:
        says, tone = "The words hardly depend on the picture at all, so no map of them can be right or wrong.", "plain"
    elif found.beaten >= 0.9:
        says, tone = "What the map marks matters more to these words than other places do.", "keep"
    elif found.beaten > 0.6:
        says, tone = "What the map marks matters a little more to these words than other places do.", "plain"
    else:
        says, tone = (
            "What the map marks matters no more to these words than places at random: do not read much into it.",
            "forget",
        )
    return (
        f'<div class="verdict {tone}"><b>{found.beaten:.0%}</b><p>of random choices cost these words less than what the map marks '
        f"(50% is chance). {says} <span>Their probability is {was}; with {fraction:.0%} of the picture blanked it is {marked} if these are "
        f"the places the map marks most, {random} if they are random. With all of it blank it is {math.exp(found.plain - found.all):.0%}.</span></p></div>"
    )


# -- more views -----------------------------------------------------------------------------------------------------------


def part_bars(looked: Looked | None, choice: Choice) -> go.Figure:
    if looked is None or looked.rows is None:
        return figures.nothing("Nothing was looked at.", 120)
    shared = parts(looked.rows, list(choice.layers) or None, list(choice.heads) or None)
    return figures.share_bars([w.text for w in looked.words], by_word(looked, shared), PARTS)


def head_grid(looked: Looked | None, choice: Choice) -> str:
    """A small map for each layer and head of the chosen words; each can be picked as `layer,head`."""
    if looked is None or looked.rows is None or looked.shown.image is None:
        return html.empty("Nothing was looked at.")
    apart = heads_apart(looked.rows, tokens_of(looked, choice.words))
    width, height = frame(looked.shown.image.size, looked.rows.tiles, 1)
    layers, heads = apart.shape[:2]
    thumbs = [picture_map(x, looked.rows.tiles, (width, height)) for x in apart.flatten(0, 1)]
    sheet = drawing.sheet([drawing.colours(t, (0.0, highest([t])), figures.HEAT_SOLID) for t in thumbs], heads)
    cells = [_thumb(i // heads, i % heads, apart, choice) for i in range(layers * heads)]
    rows = "".join(f"<i>{k + 1}</i>{''.join(cells[k * heads : (k + 1) * heads])}" for k in range(layers))
    head = "".join(f"<i>{h + 1}</i>" for h in range(heads))
    return (
        "<h4>Layers (down) and heads (across) <small>each map has its own scale; the bar is its share of attention on the picture. Click one to see it large.</small></h4>"
        f'<div class="heads" style="--heads:{heads};--layers:{layers};--aspect:{width}/{height};--sheet:url({sheet})">'
        f"<i></i>{head}{rows}</div>"
    )


def _thumb(layer: int, head: int, apart: Float[Tensor, "layers heads n"], choice: Choice) -> str:
    share = float(apart[layer, head].sum())
    chosen = choice.layers == (layer,) and choice.heads == (head,)
    says = f"layer {layer + 1}, head {head + 1}: {share:.1%} on the picture"
    return (
        f'<button type="button" data-pick="{layer},{head}" title="{says}" aria-label="{says}" aria-pressed="{str(chosen).lower()}" '
        f'style="--row:{layer};--col:{head};--share:{share:.3f}"></button>'
    )


def pick_head(choice: Choice, key: str) -> Choice:
    """The choice after a click on a small map: its layer and head alone, or all again if it was chosen already."""
    layer, _, head = key.partition(",")
    if not (layer.isdigit() and head.isdigit()):
        return choice
    one = (int(layer),), (int(head),)
    layers, heads = ((), ()) if (choice.layers, choice.heads) == one else one
    return replace(choice, layers=layers, heads=heads)


def method(seen: Seen | None) -> str:
    """What an unlearning method did to the picture, in words."""
    if seen is None:
        return html.empty("Choose an unlearned model above the answer to see what it does to this picture.")
    gates = "".join(_gate(g) for g in seen.gates)
    n, k = len(seen.moved), len(seen.changed)
    if not k:
        return gates + html.note("No visual token was changed: this picture is seen exactly as before.", "keep")
    far = float(seen.moved[seen.changed].mean())
    outlined = " (outlined)" if k < n else ""
    return gates + html.note(
        f"{k} of {n} visual tokens were changed{outlined}, by {far:.2f} of the tokens' spread on average and by "
        f"{float(seen.moved.max()):.2f} at most.",
        "forget",
    )


def _gate(gate: GateReading) -> str:
    says = (
        "flagged: the picture is taken for one of somebody forgotten"
        if gate.flagged
        else "not flagged: let through unchanged"
    )
    return html.note(
        f"Gate: score {gate.score:+.2f}, threshold {gate.threshold:+.2f} (logits), {says}.",
        "forget" if gate.flagged else "keep",
    )


def moved_map(looked: Looked | None, seen: Seen | None) -> go.Figure:
    """How far each token was moved, with those that were changed outlined where they are some and not all."""
    if looked is None or looked.rows is None or looked.shown.image is None or seen is None or not len(seen.changed):
        return figures.nothing("", 20)
    some = seen.changed.tolist() if len(seen.changed) < len(seen.moved) else []
    outlines = [figures.Outline(boxes(seen.tiles, some), PLACE)] if some else []
    moved = on_picture(looked, seen.moved)
    hover = "moved by %{z:.3f} of the spread"
    return figures.heat_map(
        looked.shown.image, moved, (0.0, highest([moved])), 400, unit="distance moved", hover=hover, outlines=outlines
    )


# -- choices --------------------------------------------------------------------------------------------------------------


def shape(looked: Looked | None) -> tuple[int, int]:
    """Layers and heads that can be chosen."""
    return (
        (0, 0) if looked is None or looked.rows is None else (looked.rows.answer.shape[0], looked.rows.answer.shape[1])
    )


def choices(what: str, count: int) -> list[tuple[str, str]]:
    """What can be chosen of layers or heads, by place from 0 and called from 1."""
    return [(f"{what} {i + 1}", str(i)) for i in range(count)]
