"""Will it fit? A pre-flight and a download as markup. Pure functions."""

from __future__ import annotations

from html import escape
from pathlib import Path

from components import html
from unlearn_core.vlm import VLM
from unlearn_core.vlm.hub import Downloaded
from unlearn_core.vlm.memory import ROWS, SPARE, Preflight, size

METHODS = {"cagul": "CAGUL", "cvf": "CVF + NCU", "lora": "Baselines (LoRA)"}


def preflight(ahead: Preflight) -> str:
    """What a model needs beside what is free, row by row, and what would fit instead."""
    need, room = ahead.chosen.need, ahead.free * SPARE
    asked = need.weights + need.cache
    rows = [
        (f"Weights in {ahead.chosen.label}", need.weights, need.weights),
        (f"Answers, {ROWS} at a time", need.cache, asked),
        *((f"To unlearn with {METHODS[m]}", more, asked + more) for m, more in need.methods.items()),
    ]
    body = "".join(_row(label, more, total <= room) for label, more, total in rows)
    download = f", and {size(ahead.to_download)} must be downloaded first" if ahead.to_download else ""
    free = f"{size(ahead.free)} is free on {ahead.device}{download}."
    instead = ", ".join(f"{way.label} ({size(way.need.asking)})" for way in ahead.others)
    verdict = html.note(f"It fits: {free}", "keep") if ahead.fits else html.note(f"It does not fit: {free}", "forget")
    other = f"<p>Smaller ways that would fit: {escape(instead)}.</p>" if instead else ""
    return (
        f'{verdict}<table class="facts ahead">{body}</table>{"" if ahead.fits and not _short(rows, room) else other}'
        "<p class='legend'>Weights and answers are counted; what methods need on top is an estimate for default options.</p>"
    )


def _row(label: str, more: int, fits: bool) -> str:
    tone, word = ("keep", "fits") if fits else ("forget", "too much")
    return f"<tr><th scope='row'>{escape(label)}</th><td>{size(more)}</td><td>{html.chip(word, tone)}</td></tr>"


def _short(rows: list[tuple[str, int, int]], room: float) -> bool:
    return any(total > room for _, _, total in rows)


def download(now: Downloaded | None) -> str:
    """How far loading is; before and after the download there is nothing to count."""
    if now is None or now.done >= now.total:
        return '<div class="run"><p class="doing">Loading …</p></div>'
    share = now.done / now.total
    return (
        f'<div class="run">{html.bar(share, "download")}'
        f'<p class="doing">{size(now.done)} of {size(now.total)} · {escape(now.file)}</p></div>'
    )


def title(vlm: VLM | None) -> str:
    """What a session works with, in a line."""
    if vlm is None:
        return "no model: choose one below and press Load"
    name = escape(Path(vlm.name).name)
    return f"model <b>{name}</b> · {vlm.layers} layers · {escape(str(vlm.device))}"
