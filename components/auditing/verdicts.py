"""Errands and attacks as markup: how far the work is, one verdict per attack with its controls, and what was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from components import html
from components.texts import lasting, moment
from unlearn_core.evaluation.attacks import ATTACKS
from unlearn_core.evaluation.attacks.base import is_sure
from unlearn_core.evaluation.report import not_run
from unlearn_core.runs import RunState
from unlearn_core.runs.errands import Errand


def progress(errand: Errand) -> str:
    """A bar with what is being done; a sentence for what is over."""
    state, doing = errand.status.state, errand.progress
    said = {
        RunState.QUEUED: "Waits for what is before it.",
        RunState.RUNNING: doing.phase if doing else "Starting …",
        RunState.DONE: "Done.",
        RunState.CANCELLED: "Cancelled. What was finished before is kept.",
        RunState.FAILED: errand.status.message,
    }[state]
    if state is RunState.RUNNING and errand.gives_way:
        said = "Waits while a run is being fitted, and goes on by itself."
    left = errand.seconds_left() if state is RunState.RUNNING and not errand.gives_way else None
    share = 1.0 if state is RunState.DONE else doing.done / max(1, doing.total) if doing else 0.0
    return (
        f'<div class="run"><h4>{escape(errand.title)}</h4>{html.bar(share)}'
        f'<p class="doing">{escape(said)}{"" if left is None else f" · about {lasting(left)} left"}</p></div>'
    )


def audited(title: str, tried: Sequence[Mapping[str, Any]]) -> str:
    """What came of the attacks on one result; `tried` as `examination.kept` gives it."""
    order = list(ATTACKS)
    results = sorted(
        (t for t in tried if "why" not in t and t["attack"] in order), key=lambda t: order.index(t["attack"])
    )
    body = (
        f'<ol class="verdicts">{"".join(map(_verdict, results))}</ol>'
        if results
        else html.empty("No attack was run yet.")
    )
    left = not_run(tried)
    reasons = {n["why"]: [m["title"] for m in left if m["why"] == n["why"]] for n in left}
    items = "".join(f"<li><b>{escape(', '.join(titles))}</b>: {escape(why)}</li>" for why, titles in reasons.items())
    return (
        f'<section class="audited"><h3>{escape(title)}</h3>{body}<details{"" if results else " open"}><summary>Not run '
        f'<small>{len(left)}: what was not tried proves nothing</small></summary><ul class="limits">{items}</ul></details></section>'
    )


def _verdict(result: Mapping[str, Any]) -> str:
    tone, word = _judged(result)
    attack = ATTACKS[str(result["attack"])]
    budget = ", ".join(f"{name} {_said(value)}" for name, value in result["budget"].items())
    cost = f"Budget: {budget}. {moment(result['made'])}, {lasting(result['seconds'])}."
    return (
        f'<li class="{tone}"><h4>{escape(attack.title)} {html.chip(word, tone)} <small>by {escape(attack.access)}</small></h4>'
        f'<p class="numbers">{_numbers(result)}</p><p>{escape(str(result["verdict"]))}</p>'
        f'<details><summary>{escape(attack.tries)}</summary><p class="doing">{escape(cost)}</p>{_curve(result["curve"])}</details></li>'
    )


def _judged(result: Mapping[str, Any]) -> tuple[str, str]:
    """Tone and word for what a result says."""
    if result["withstands"] is None:
        return "other", "not judged"
    few = "" if is_sure(result["forget"]["worst"]) else ", of few"
    if result["withstands"]:
        return "other" if few else "keep", f"withstands{few}"
    return ("forget", f"gives way{few}") if result["in_scope"] else ("other", "gives way, not claimed")


def _numbers(result: Mapping[str, Any]) -> str:
    """Shares that an attack gets, beside those that it must be read with."""
    shown = (
        ("with the attack", result["forget"]["worst"]),
        ("without it", result["plain"]),
        ("people who stay", result["retain"] and result["retain"]["worst"]),
        ("retain-only model", result["gold"] and result["gold"]["worst"]),
    )
    number = _area if result["access"] == "probabilities" else _percent
    return "".join(
        f"<span><b>{number(estimate)}</b> {escape(label)}</span>" for label, estimate in shown if estimate is not None
    )


def _curve(points: Sequence[Mapping[str, Any]]) -> str:
    if not points:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{escape(str(p['label']))}</th><td>{_percent(p['forget'])}</td><td>{_percent(p['gold'])}</td></tr>"
        for p in points
    )
    head = "<tr><th></th><th scope='col'>unlearned model</th><th scope='col'>retain-only model</th></tr>"
    return f'<div class="scroll"><table class="facts">{head}{rows}</table></div>'


def _percent(estimate: Mapping[str, Any] | None) -> str:
    return "–" if estimate is None else f"{100 * float(estimate['value']):.0f} %"


def _area(estimate: Mapping[str, Any]) -> str:
    return f"AUC {float(estimate['value']):.2f}"


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
