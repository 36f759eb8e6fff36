"""The runs of a workspace as a table: who made them does not matter, and a thousand of them are no burden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from components import html
from components.fits import state_chip
from components.texts import lasting, moment
from unlearn_core.runs import Latest, Run, RunDamaged, RunInfo, RunState, Status, Workspace
from unlearn_core.vlm.errors import RunNotFound

STANDS = {
    "All": tuple(RunState),
    "Going": (RunState.QUEUED, RunState.RUNNING),
    "Can go on": (RunState.PAUSED, RunState.FAILED),
    "Done": (RunState.DONE,),
    "Cancelled": (RunState.CANCELLED,),
}


@dataclass(frozen=True)
class Row:
    """One run as the table shows it. `nbytes` is the size of its folder."""

    info: RunInfo
    status: Status
    latest: Latest | None
    nbytes: int


class Listing:
    """Looks at a workspace over and over. What cannot have changed since the last look is not read again."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._infos: dict[str, tuple[int, Run]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def find(self, words: str, stands: str) -> list[Run]:
        """Runs whose name, note or method has all the words, and which stand so (a key of `STANDS`), newest first."""
        wanted = words.casefold().split()
        runs = [run for run in self._runs() if all(word in _text(run.info) for word in wanted)]
        if stands == "All" or stands not in STANDS:
            return runs
        return [run for run in runs if _stands(run, STANDS[stands])]

    def rows(self, runs: Sequence[Run]) -> list[Row]:
        """Those that are still there and can be read."""
        found = []
        for run in runs:
            try:
                found.append(Row(run.info, run.status, run.latest(), self._nbytes(run)))
            except (RunNotFound, RunDamaged):
                continue
        return found

    def _runs(self) -> list[Run]:
        fresh: dict[str, tuple[int, Run]] = {}
        for run_id in self.workspace.ids():
            try:
                changed = self.workspace.info_path(run_id).stat().st_mtime_ns
                known = self._infos.get(run_id)
                fresh[run_id] = (
                    known if known is not None and known[0] == changed else (changed, self.workspace.run(run_id))
                )
            except (OSError, RunNotFound, RunDamaged):
                continue
        self._infos = fresh
        return sorted((run for _, run in fresh.values()), key=lambda run: (run.info.created, run.id), reverse=True)

    def _nbytes(self, run: Run) -> int:
        try:
            changed = _changed(run.folder)
        except OSError:
            return 0
        known = self._sizes.get(run.id)
        if known is None or known[0] != changed:
            known = self._sizes[run.id] = (changed, run.nbytes())
        return known[1]


def _changed(folder: Path) -> int:
    """When something came into a folder or went: files of a run are replaced, never changed in place, but for its steps."""
    return folder.stat().st_mtime_ns


def _text(info: RunInfo) -> str:
    return f"{info.title} {info.note} {info.method}".casefold()


def _stands(run: Run, states: Sequence[RunState]) -> bool:
    try:
        return run.state in states
    except (RunNotFound, RunDamaged):
        return False


# -- markup ------------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row], chosen: str) -> str:
    """The whole row is clickable through the button that carries its name."""
    if not rows:
        return html.empty(
            "There is no such run. What the page Unlearn or the command line starts here appears by itself."
        )
    columns = ("Run", "Method", "To forget", "To keep", "Time", "Size", "State")
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(_row(row, row.info.id == chosen) for row in rows)
    return (
        f'<table class="run-table"><caption>Share still answered with the truth, of what is to be forgotten and of what is '
        f"kept</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _row(row: Row, chosen: bool) -> str:
    info, latest = row.info, row.latest
    note = f"<small>{escape(_first_line(info.note))}</small>" if info.note else ""
    cells = (
        ("how", escape(info.method.upper())),
        ("forget", _share(latest and latest.forget)),
        ("keep", _share(latest and latest.retain)),
        ("time", lasting(latest.step.seconds) if latest else "–"),
        ("size", size(row.nbytes)),
        ("state", state_chip(row.status.state)),
    )
    return (
        f'<tr class="{"chosen" if chosen else ""}"><th scope="row"><button type="button" data-pick="{escape(info.id)}" '
        f'aria-pressed="{str(chosen).lower()}"><b>{escape(info.title)}</b><span>{moment(info.created)}</span>{note}</button></th>'
        + "".join(f'<td class="{name}">{content}</td>' for name, content in cells)
        + "</tr>"
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _first_line(text: str) -> str:
    line = text.splitlines()[0]
    return line if len(line) <= 80 else f"{line[:79]}…"


def size(nbytes: int) -> str:
    """Bytes as people say them."""
    if nbytes < 10**6:
        return f"{max(1, round(nbytes / 10**3))} kB"
    return f"{nbytes / 10**6:.1f} MB" if nbytes < 10**9 else f"{nbytes / 10**9:.1f} GB"
