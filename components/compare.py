"""Page 4: the same questions to the model before and after, side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from components import exam, html, own_exam
from components.closer import Closer
from components.handlers import plainly
from components.studio import Studio
from components.texts import kind_label, lasting
from components.widgets import clickable
from unlearn_core.evaluation.compare import Compared, compare
from unlearn_core.vlm.errors import BadRequest

PAGE = 15
"""Questions shown at a time."""
CHUNK = 24
"""Questions asked at a time: short enough for steady progress."""


class ComparePage:
    """Elements other pages need: `result` (the choice)."""

    def __init__(self, studio: Studio, marked: gr.HTML) -> None:
        self.studio, self.page = studio, gr.State(1)
        gr.HTML(
            html.intro(
                "Put the answers before and after side by side.",
                "What must go should no longer be answered, and all else should stay.",
            )
        )
        with gr.Row(elem_classes="bar-row"):
            self.result = gr.Dropdown(
                [],
                label="Result",
                info="A finished run or an imported bundle.",
                scale=3,
                min_width=240,
                filterable=False,
                elem_id="compare-result",
            )
            self.about = gr.Dropdown(
                self._people(),
                label="Exam about",
                info="Whom it was made to forget. A bundle does not tell.",
                multiselect=True,
                scale=4,
                min_width=240,
                elem_id="compare-about",
            )
            with gr.Column(scale=2, min_width=200):
                self.thorough = gr.Checkbox(
                    label="Thorough: more photographs and people", container=False, elem_id="compare-thorough"
                )
                self.start = gr.Button("Compare", variant="primary", interactive=False, elem_id="compare-start")
                self.cancel = gr.Button("Cancel", visible=False, elem_id="compare-cancel")
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=6, min_width=300):
                self.progress = gr.HTML(
                    html.empty(
                        "Choose a result and press Compare: questions on new photographs, worded as in no training."
                    ),
                    elem_id="compare-progress",
                )
                self.summary = gr.HTML(elem_id="compare-summary")
                with gr.Row(visible=False) as self.filters:
                    self.kind = gr.Dropdown(
                        [("All kinds", exam.EVERY_KIND)],
                        value=exam.EVERY_KIND,
                        label="Kind",
                        filterable=False,
                        min_width=180,
                        elem_id="compare-kind",
                    )
                    self.change = gr.Radio(
                        list(exam.CHANGES), value=exam.CHANGES[0], label="Show", min_width=220, elem_id="compare-change"
                    )
                self.rows = clickable(elem_id="compare-rows")
                self.more = gr.Button("Show more", visible=False, elem_id="compare-more")
            with gr.Column(scale=5, min_width=300, elem_classes="closer"):
                self.closer = Closer(studio)
        self._wire(marked)

    def _wire(self, marked: gr.HTML) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        self.result.change(self._chosen, [self.result, self.about, marked], [self.about, self.start], **quiet)
        listed = [self.rows, self.more, self.page]
        result = [self.progress, self.start, self.cancel, self.summary, self.filters, self.kind, self.change, *listed]
        self.drawn = [self.result, self.about, self.progress, self.summary, self.filters, self.rows, self.more]
        begin = self.start.click(self._run, [self.result, self.about, self.thorough], result, **quiet)
        self.cancel.click(self._cancelled, None, result, cancels=[begin], queue=False, **quiet)
        shown = [self.kind, self.change, self.page]
        gr.on([self.kind.input, self.change.input], self._filter, [self.kind, self.change], listed, **quiet)
        self.more.click(self._further, shown, listed, **quiet)
        self.closer.wire(self.result, self.rows)

    def _people(self) -> list[tuple[str, str]]:
        return [(c.label, c.id) for c in self.studio.collection.subjects()]

    def turned(self) -> dict[Any, Any]:
        """Results on the model that the session has taken, and whom they can be about; what was compared before is let go."""
        return {
            self.result: self.refresh(None),
            self.about: gr.Dropdown(choices=self._people(), value=[]),
            self.progress: html.empty("Choose a result and press Compare."),
            **self._cleared(),
        }

    # -- choosing -----------------------------------------------------------------------------------------------------

    @plainly
    def refresh(self, chosen: str | None) -> Any:
        """The results there are now; the choice stays, or falls on the newest."""
        results = self.studio.results()
        refs = [ref for _, ref in results]
        return gr.Dropdown(choices=results, value=chosen if chosen in refs else next(iter(refs), None))

    @plainly
    def _chosen(self, result: str | None, about: list[str] | None, marked: list[str]) -> Any:
        listed = {c.id for c in self.studio.collection.subjects()}
        whom = self.studio.subjects(result) or about or marked
        return [who for who in whom if who in listed], gr.Button(interactive=bool(result))

    # -- the exam -----------------------------------------------------------------------------------------------------

    @plainly
    def _run(self, result: str | None, about: list[str] | None, thorough: bool, request: gr.Request) -> Iterator[Any]:
        if not result:
            raise BadRequest("Please choose a result first.")
        yield {
            self.start: gr.Button(interactive=False),
            self.cancel: gr.Button(visible=True),
            self.progress: _bar(0, 1, 0.0),
            **self._cleared(),
        }
        ready = {self.start: gr.Button(interactive=True), self.cancel: gr.Button(visible=False)}
        try:
            examples, after = self.studio.exam(result, about or [], thorough=thorough), self.studio.model(result)
            rows: list[Compared] = []
            began = time.monotonic()
            for part in compare(self.studio.vlm, after, examples, batch_size=CHUNK):
                rows += part
                yield {
                    self.progress: _bar(len(rows), len(examples), time.monotonic() - began),
                    self.summary: exam.summary_table(rows),
                }
        except Exception:
            yield ready
            raise
        done = exam.Exam(result, tuple(rows))
        self.studio.desk.put(request.session_hash, "exam", done)
        verdict = _verdict(done, self.studio.label(result), new=bool(about))
        yield {**ready, self.progress: verdict, **self._result(done)}

    def _cleared(self) -> dict[Any, Any]:
        return {
            self.summary: "",
            self.filters: gr.Row(visible=False),
            self.rows: "",
            self.more: gr.Button(visible=False),
        }

    def _result(self, done: exam.Exam) -> dict[Any, Any]:
        kinds = [
            ("All kinds", exam.EVERY_KIND),
            *((kind_label(k), k) for k in dict.fromkeys(r.example.kind for r in done.rows)),
        ]
        rows, more, page = self._listed(done, exam.EVERY_KIND, exam.CHANGES[0], 1)
        return {
            self.filters: gr.Row(visible=True),
            self.kind: gr.Dropdown(choices=kinds, value=exam.EVERY_KIND),
            self.change: exam.CHANGES[0],
            self.rows: rows,
            self.more: more,
            self.page: page,
        }

    @plainly
    def _cancelled(self) -> Any:
        return {
            self.progress: html.empty("Cancelled. Choose a result and press Compare."),
            self.start: gr.Button(interactive=True),
            self.cancel: gr.Button(visible=False),
            **self._cleared(),
        }

    @plainly
    def _filter(self, kind: str, change: str, request: gr.Request) -> Any:
        return self._listed(self._exam(request), kind, change, 1)

    @plainly
    def _further(self, kind: str, change: str, page: int, request: gr.Request) -> Any:
        return self._listed(self._exam(request), kind, change, page + 1)

    def _listed(self, done: exam.Exam, kind: str, change: str, page: int) -> tuple[str, gr.Button, int]:
        places = exam.chosen(done.rows, kind, change)
        left = len(places) - page * PAGE
        return (
            exam.questions(done.rows, places[: page * PAGE]),
            gr.Button(f"Show more ({left})", visible=left > 0),
            page,
        )

    def _exam(self, request: gr.Request) -> exam.Exam:
        return self.studio.desk.get(request.session_hash, "exam", exam.Exam)


# -- markup ------------------------------------------------------------------------------------------------------------


def _bar(done: int, total: int, seconds: float) -> str:
    left = f", about {lasting(seconds / done * (total - done))} left" if done else ""
    return (
        f'<div class="run"><div class="bar" role="progressbar" aria-label="progress" aria-valuemin="0" aria-valuemax="{total}" aria-valuenow="{done}">'
        f'<i style="width:{done / total:.1%}"></i></div><p class="doing">{done} of {total} questions asked of both models{left}</p></div>'
    )


def _verdict(done: exam.Exam, label: str, new: bool) -> str:
    changed = sum(r.changed for r in done.rows)
    asked = f"{label}: {len(done.rows)} questions"
    if new:
        return html.note(f"{asked} on photographs and in words that no fit has seen; {changed} answers changed.")
    return html.note(f"{asked}; {changed} answers changed. {own_exam.ABOUT}")
