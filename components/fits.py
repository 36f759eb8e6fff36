"""Methods and runs as markup: the choice of a method, the progress of a run, its measurements, and the list of runs."""

from __future__ import annotations

from html import escape
from typing import Any

from components import html
from components.texts import ABOUT, lasting, moment
from unlearn_core.methods import ALL_METHODS, BASELINES, METHODS, Step
from unlearn_core.runs import Run, RunState


def methods(chosen: str) -> str:
    main, others = (
        "".join(_method(name, ALL_METHODS[name].title, name == chosen) for name in group)
        for group in (METHODS, BASELINES)
    )
    return (
        f'<div class="methods" role="radiogroup" aria-label="Method">{main}'
        f'<details class="baselines"{" open" if chosen in BASELINES else ""}><summary>Baselines, to compare with: LoRA on the '
        f"language model</summary>{others}</details></div>"
    )


def _method(name: str, title: str, chosen: bool) -> str:
    about = ABOUT[name]
    limits = "".join(f"<li>{escape(text)}</li>" for text in about.limits)
    return (
        f'<div class="method"><button type="button" role="radio" aria-checked="{str(chosen).lower()}" data-pick="{escape(name)}">'
        f"<b>{escape(title)}</b><span>{escape(about.does)}</span></button>"
        f"<details><summary>What it does not do</summary><ul>{limits}</ul></details></div>"
    )


_STATES = {
    RunState.QUEUED: ("waiting", "other"),
    RunState.RUNNING: ("running", "keep"),
    RunState.PAUSED: ("paused", "other"),
    RunState.DONE: ("done", "keep"),
    RunState.CANCELLED: ("cancelled", "other"),
    RunState.FAILED: ("failed", "forget"),
}


def state_chip(state: RunState) -> str:
    return html.chip(*_STATES[state])


def progress(run: Run, state: RunState, message: str, steps: list[Step], ahead: int = 0) -> str:
    """A bar with what is being done; `ahead` fits go before one that waits."""
    last = steps[-1] if steps else None
    share = 1.0 if state is RunState.DONE else last.index / last.total if last else 0.0
    doing = {
        RunState.QUEUED: _turn(ahead),
        RunState.RUNNING: f"{last.phase}, {last.index} of {last.total}, about {lasting(last.seconds_left)} left"
        if last
        else "Starting …",
        RunState.PAUSED: f"Paused after step {last.index} of {last.total}. It can go on from the page Runs."
        if last
        else "Paused before its first step. It can go on from the page Runs.",
        RunState.DONE: f"Finished in {lasting(last.seconds)}." if last else "Finished.",
        RunState.CANCELLED: "Cancelled. Nothing of it is used.",
        RunState.FAILED: message,
    }[state]
    latest = {
        side: next((v for s in reversed(steps) if (v := getattr(s, side)) is not None), None)
        for side in ("forget", "retain")
    }
    probed = "".join(
        f'<span class="probe {tone}"><b>{value:.0%}</b> {text}</span>'
        for value, tone, text in (
            (latest["forget"], "forget", "of what must go is still answered"),
            (latest["retain"], "keep", "of what must stay is answered"),
        )
        if value is not None
    )
    return (
        f'<div class="run"><h3>{escape(run.info.title)} <small>{escape(run.info.method.upper())}</small> {state_chip(state)}</h3>'
        f'{html.bar(share)}<p class="doing">{escape(doing)}</p><p class="probed">{probed}</p></div>'
    )


def _turn(ahead: int) -> str:
    if ahead == 0:  # another program's, whose queue is not known here, or one that is just about to start
        return "Waits for its turn."
    return f"Waits for its turn: {ahead} {'run goes' if ahead == 1 else 'runs go'} before it."


def report(report: dict[str, Any]) -> str:
    """The numbers of a fit as they are: plain values in one table, and one table per group of like entries."""
    if not report:
        return ""
    tables = _table({k: v for k, v in report.items() if not isinstance(v, dict)})
    for name, group in report.items():
        if isinstance(group, dict):
            nested = all(isinstance(v, dict) for v in group.values())
            tables += f"<h4>{_words(name)}</h4>{_grid(group) if nested else _table(group)}"
    return f"<details><summary>Measurements of the fit</summary>{tables}</details>"


def _table(values: dict[str, Any]) -> str:
    rows = "".join(f"<tr><th scope='row'>{_words(k)}</th><td>{_number(v)}</td></tr>" for k, v in values.items())
    return f'<table class="facts">{rows}</table>' if rows else ""


def _grid(group: dict[str, dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(c for row in group.values() for c in row))
    head = "".join(f"<th scope='col'>{_words(c)}</th>" for c in columns)
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>{''.join(f'<td>{_number(row.get(c))}</td>' for c in columns)}</tr>"
        for name, row in group.items()
    )
    return f'<div class="scroll"><table class="facts"><tr><th></th>{head}</tr>{rows}</table></div>'


def _words(name: str) -> str:
    return escape(str(name).replace("_", " "))


def _number(value: Any) -> str:
    if value is None:
        return "not measured"
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else escape(str(value))


def listed(run: Run, chosen: bool) -> str:
    return (
        f'<button type="button" class="listed" data-pick="{escape(run.id)}" aria-pressed="{str(chosen).lower()}">'
        f"<b>{escape(run.info.title)}</b><span>{escape(run.info.method.upper())} · {moment(run.info.created)} · {run.info.forget} examples to forget, "
        f"{run.info.keep + run.info.retain} to keep</span>{state_chip(run.state)}</button>"
    )
