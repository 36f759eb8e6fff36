"""The page itself. Work goes on in the background, whoever looks: the page only shows how far it is."""

from __future__ import annotations

import os
import tempfile
from contextvars import copy_context
from pathlib import Path
from typing import Any

import gradio as gr

from components import html
from components.auditing import verdicts
from components.explained import attacks, explained
from components.handlers import plainly
from components.studio import Studio
from components.texts import HELP
from unlearn_core.data.strict_json import to_json
from unlearn_core.evaluation.attacks import ATTACKS, LEVELS, Level, budgets_of
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.report import to_html
from unlearn_core.examination import Examination, kept, latest
from unlearn_core.runs import RunState
from unlearn_core.runs.errands import Errand
from unlearn_core.vlm.errors import BadRequest, RunNotFound

POLL = 1.0
"""Seconds between two looks at what is going."""
SIZES = {
    "quick": "Quick look: 10 facts a side",
    "standard": "Standard: 40 facts a side",
    "thorough": "Thorough: up to 200 facts a side",
}


class AuditPage:
    """Elements other pages need: `results` (the choice), `drawn` (what another model changes)."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.folder = Path(tempfile.mkdtemp(prefix="reports-", dir=os.environ.get("GRADIO_TEMP_DIR")))
        gr.HTML(
            html.intro(
                "Attack the result: is it really forgotten?",
                "Each attack also runs on people who stay, and on a model that never knew, where there is one.",
                HELP["audit"],
            )
        )
        self.seen = gr.State("")
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=5, min_width=300):
                self._draw_choice()
            with gr.Column(scale=6, min_width=300):
                self.progress = gr.HTML(elem_id="audit-progress")
                self.verdicts = gr.HTML(html.empty("Choose a result, then run the attacks."), elem_id="audit-verdicts")
        self.timer = gr.Timer(POLL, active=False)
        self._wire()

    def _draw_choice(self) -> None:
        self.results = gr.Dropdown(
            [],
            label="Results",
            info="Finished runs or imported bundles, one or several.",
            multiselect=True,
            elem_id="audit-results",
        )
        self.about = gr.Dropdown(
            self._people(),
            label="About",
            info="Whom the bundle was made to forget; it does not tell.",
            multiselect=True,
            visible=False,
            elem_id="audit-about",
        )
        self.attacks = gr.CheckboxGroup(
            [(attack.title, name) for name, attack in ATTACKS.items()],
            value=list(ATTACKS),
            label="Attacks",
            info="The first six only ask, as anybody can; the others need a look inside the model.",
            elem_id="audit-attacks",
        )
        self.level = gr.Radio(
            [(SIZES[level], level) for level in LEVELS],
            value="standard",
            label="Budget",
            info="A quick look takes a tenth of the time. It can show that a model gives way, hardly that it withstands.",
            elem_id="audit-level",
        )
        explained("What each attack does", attacks(), "audit-explained")
        with gr.Accordion("More options", open=False):
            self.gold = gr.Textbox(
                label="Retain-only model",
                info="Folder of a model taught the same but for these people. The demo has one for its fixed forget split.",
                elem_id="audit-gold",
            )
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="audit-seed")
        with gr.Row():
            self.start = gr.Button("Run the attacks", variant="primary", interactive=False, elem_id="audit-start")
            self.cancel = gr.Button("Cancel", visible=False, elem_id="audit-cancel")
        gr.HTML(
            "<h3>Report</h3><p>One file for the record: request, hashes, method, measurements, examples, attacks run and not "
            "run, limits. It opens offline and prints; the same is in a JSON file beside it.</p>"
        )
        self.mask = gr.Checkbox(label="Cover names and private answers", value=True, elem_id="audit-mask")
        self.write = gr.Button("Make the report", interactive=False, elem_id="audit-write")
        self.files = gr.File(
            label="Reports", file_count="multiple", interactive=False, visible=False, elem_id="audit-files"
        )

    def _wire(self) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        chosen = [self.results, self.about]
        self.view = [
            self.seen,
            self.timer,
            self.progress,
            self.verdicts,
            self.start,
            self.write,
            self.cancel,
            self.files,
        ]
        self.drawn = [self.results, self.about, *self.view]
        self.results.change(self._chosen, self.results, [self.about, *self.view], **quiet)
        how = [self.attacks, self.level, self.gold, self.seed]
        self.start.click(self._attack, [*chosen, *how], self.view, **quiet)
        self.write.click(self._report, [*chosen, self.mask, self.gold, self.seed], self.view, **quiet)
        self.cancel.click(self._cancel, self.results, self.view, **quiet)
        self.timer.tick(self._tick, [self.results, self.seen], self.view, queue=False, **quiet)

    def _people(self) -> list[tuple[str, str]]:
        return [(c.label, c.id) for c in self.studio.collection.subjects()]

    # -- choosing -----------------------------------------------------------------------------------------------------

    @plainly
    def refresh(self, chosen: list[str] | None) -> Any:
        """The results there are now; the choice stays, or falls on the newest."""
        results = self.studio.results()
        refs = [ref for _, ref in results]
        still = [ref for ref in chosen or [] if ref in refs]
        return gr.Dropdown(choices=results, value=still or refs[:1])

    def show(self, run_id: str) -> dict[Any, Any]:
        """A run chosen to be attacked. Raises BadRequest for one that cannot be, RunNotFound, RunDamaged."""
        return {self.results: self.refresh([self.studio.linked(run_id)])}

    def turned(self, chosen: list[str] | None) -> dict[Any, Any]:
        """Results on the model that the session has taken."""
        return {
            self.results: self.refresh(chosen),
            self.about: gr.Dropdown(choices=self._people(), value=[], visible=False),
            **self._shown([]),
        }

    @plainly
    def _chosen(self, refs: list[str] | None) -> Any:
        bundles = [ref for ref in refs or [] if not self.studio.is_run(ref) and not self.studio.subjects(ref)]
        return {self.about: gr.Dropdown(visible=bool(bundles and self._people())), **self._shown(refs or [])}

    # -- work ---------------------------------------------------------------------------------------------------------

    @plainly
    def _attack(
        self,
        refs: list[str] | None,
        about: list[str] | None,
        names: list[str],
        level: Level,
        gold: str | None,
        seed: float | None,
    ) -> Any:
        if not names:
            raise BadRequest("Please choose at least one attack.")
        if level not in LEVELS:
            raise BadRequest("Please choose a budget.")
        at = int(seed or 0)
        budgets = budgets_of(level, at)

        def job(examination: Examination, ref: str) -> Job[object]:
            return examination.attack(names, budgets, at)

        return self._begin(refs or [], about or [], gold, job)

    @plainly
    def _report(
        self, refs: list[str] | None, about: list[str] | None, mask: bool, gold: str | None, seed: float | None
    ) -> Any:
        def job(examination: Examination, ref: str) -> Job[object]:
            data = yield from examination.report(mask, int(seed or 0))
            return self._write(data, f"report-{ref.partition(':')[2]}{'-masked' if mask else ''}")

        return self._begin(refs or [], about or [], gold, job)

    def _begin(self, refs: list[str], about: list[str], gold: str | None, job: Any) -> Any:
        """Queue an errand for each result; the models are put together when its turn comes."""
        if not refs:
            raise BadRequest("Please choose a result first.")
        for ref in refs:
            whom = self._whom(ref, about)
            context = copy_context()  # which session asks, and so which model it works with

            def work(ref: str = ref, whom: list[str] = whom, context: Any = context) -> Job[object]:
                yield Progress("drawing up the questions", 0, 1)
                return (yield from job(context.run(self._examination, ref, whom, gold), ref))

            self.studio.errands.start(ref, self.studio.label(ref), work)
        return self._shown(refs)

    def _whom(self, ref: str, about: list[str]) -> list[str]:
        """Raises BadRequest for a bundle about nobody."""
        if not self.studio.is_run(ref) and not about:
            raise BadRequest("Please choose whom the bundle was made to forget; it does not tell.")
        return self.studio.subjects(ref) or about

    def _examination(self, ref: str, whom: list[str], gold: str | None) -> Examination:
        suite = self.studio.suite(ref, whom, thorough=True)
        return Examination(self.studio.finding(ref), self.studio.vlm, suite, self.studio.gold(gold or "", whom))

    def _write(self, data: dict[str, Any], name: str) -> list[str]:
        page, record = (self.folder / f"{name}.{kind}" for kind in ("html", "json"))
        page.write_text(to_html(data), encoding="utf-8")
        record.write_bytes(to_json(data))
        return [str(page), str(record)]

    @plainly
    def _cancel(self, refs: list[str] | None) -> Any:
        for ref in refs or []:
            self.studio.errands.cancel(ref)
        return self._shown(refs or [])

    # -- what is shown ------------------------------------------------------------------------------------------------

    @plainly
    def _tick(self, refs: list[str] | None, seen: str) -> Any:
        return self._shown(refs or [], seen)

    def _shown(self, refs: list[str], seen: str | None = None) -> dict[Any, Any]:
        """The right side for these results; only what changed since `seen`."""
        errands = [e for ref in refs if (e := self.studio.errands.find(ref)) is not None]
        going = [e for e in errands if not e.status.state.over]
        tried = {ref: self._tried(ref) for ref in refs}
        now = repr(
            [(e.title, e.status.state, e.stop.is_set(), e.result is None) for e in errands]
            + [(r, [t["made"] for t in tried[r]]) for r in refs]
        )
        bars = {self.progress: "".join(verdicts.progress(e) for e in errands if _worth_showing(e))}
        if now == seen:
            return bars
        files = [path for e in errands if isinstance(e.result, list) for path in e.result]
        return {
            **bars,
            self.seen: now,
            self.timer: gr.Timer(active=bool(going)),
            self.verdicts: "".join(verdicts.audited(self.studio.label(r), tried[r]) for r in refs)
            or html.empty("Choose a result, then run the attacks."),
            self.start: gr.Button(interactive=bool(refs) and not going),
            self.write: gr.Button(interactive=bool(refs) and not going),
            self.cancel: _cancel_button(going),
            self.files: gr.File(value=files or None, visible=bool(files)),
        }

    def _tried(self, ref: str) -> list[dict[str, Any]]:
        """Nothing for a result that was deleted while the page was open."""
        try:
            folder = latest(self.studio.examined(ref))
        except (RunNotFound, BadRequest):
            return []
        return [] if folder is None else kept(folder)


def _cancel_button(going: list[Errand]) -> Any:
    """Drawn from the errands alone: one that ended at this very moment has nothing left to cancel."""
    stopping = bool(going) and all(errand.stop.is_set() for errand in going)
    words = "Cancelling after this step …" if stopping else "Cancel"
    return gr.Button(words, visible=bool(going), interactive=not stopping)


def _worth_showing(errand: Errand) -> bool:
    return errand.status.state is not RunState.DONE
