"""A request from people's own pictures or files: bring, ask what the model knows, mark, add what to keep, check, save."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from components import draft as drafts
from components import html, importing, known
from components.bank import BankPanel
from components.boxing import boxed
from components.draft import Draft
from components.gallery import brought
from components.handlers import plainly
from components.line import LinePanel
from components.looking import Looked
from components.region import RegionPanel, dragged, written
from components.saved import SavedPanel
from components.studio import IN_ORDER, REQUEST, Studio
from components.widgets import clickable, picked
from unlearn_core.data.checks import Severity
from unlearn_core.data.example import distinct_images
from unlearn_core.data.region import Region
from unlearn_core.data.retain import propose_retain
from unlearn_core.evaluation.knowledge import Demand, Known, imprint, knows
from unlearn_core.methods.cagul.gate import token_statistics
from unlearn_core.vlm.errors import BadRequest

MOST_PICTURES = 200
"""Pictures of people that a draft may hold."""
ASKED = 4
"""Pictures of a person that the model is asked about."""
DEMAND = Demand(views=1, agreement=0.25, margin=0.2)
"""What is said a few times of this person and not of strangers can be marked: to forget, a leak counts though it be rare."""
QUIET: Any = {"show_progress": "hidden", "api_visibility": "private"}


class OwnRequest:
    """The panel. `drawn` lists what another model redraws, with what `bank` draws."""

    def __init__(self, studio: Studio, marked: gr.HTML) -> None:
        self.studio, self.marked = studio, marked
        self.folder = Path(tempfile.mkdtemp(prefix="requests-", dir=os.environ.get("GRADIO_TEMP_DIR")))
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=5, min_width=300):
                self._draw_pictures()
            with gr.Column(scale=6, min_width=300):
                self._draw_lines()
        self._wire()

    # -- what is on the page ------------------------------------------------------------------------------------------

    def _draw_pictures(self) -> None:
        gr.HTML(
            html.step(1, "Name one person and add a few photographs, or open a file: zip, JSON lines, JSON or CSV.")
        )
        self.who = gr.Textbox(
            label="Who is it?", placeholder="A name, or any word for this person", max_length=100, elem_id="own-who"
        )
        with gr.Row():
            self.pictures = gr.UploadButton(
                "Add pictures", file_types=["image"], file_count="multiple", min_width=130, elem_id="own-pictures"
            )
            self.file = gr.UploadButton(
                "Open a file",
                file_types=[".zip", ".jsonl", ".json", ".csv"],
                min_width=130,
                elem_id="own-file",
            )
        self.report = gr.HTML(elem_id="own-report")
        self.strip = clickable(known.thumbnails(()), elem_id="own-strip")
        self.region = RegionPanel("own")
        gr.HTML(html.step(2, "Ask, and click what must be forgotten."))
        with gr.Row():
            self.ask = gr.Button("What does the model know?", interactive=False, elem_id="own-ask")
            self.stop = gr.Button("Stop", visible=False, min_width=80, elem_id="own-stop")
        self.facts = clickable(elem_id="own-facts")
        self.bank = BankPanel(self.studio)

    def _draw_lines(self) -> None:
        gr.HTML(
            html.step(
                3,
                "Look over what will be asked of the methods, write lines of your own, and let it propose who must stay "
                "as they are.",
            )
        )
        self.table = gr.Dataframe(
            headers=list(drafts.HEADERS),
            datatype="str",
            type="array",
            column_count=len(drafts.HEADERS),
            column_limits=(len(drafts.HEADERS), len(drafts.HEADERS)),
            static_columns=[0, 5],
            column_widths=["40px", "84px", "120px", "240px", "180px", "70px"],
            interactive=True,
            wrap=True,
            max_height=340,
            show_label=False,
            elem_id="own-table",
        )
        gr.HTML(
            f"<p class='legend'>Sides: {', '.join(drafts.SIDES)}. Keep is what can be seen of the same people; "
            "retain is about everybody else.</p>"
        )
        self.line = LinePanel("own-line")
        self.propose = gr.Button("Propose what to retain", interactive=False, elem_id="own-propose")
        self.findings = gr.HTML(elem_id="own-findings")
        gr.HTML(html.step(4, "Give it a name and use it: then it is what is marked, above."))
        with gr.Row(elem_classes="ask"):
            self.name = gr.Textbox(label="Name of the request", max_length=200, scale=4, elem_id="own-name")
            self.use = gr.Button(
                "Use this request", variant="primary", interactive=False, scale=2, min_width=140, elem_id="own-use"
            )
        with gr.Row():
            self.save = gr.Button("Save and export", interactive=False, min_width=130, elem_id="own-save")
            self.download = gr.DownloadButton("Download", visible=False, min_width=110, elem_id="own-download")
        self.shelved = SavedPanel(self.studio)

    def _wire(self) -> None:
        buttons = [self.ask, self.propose, self.use, self.save, self.download]
        all_of_it = self.drawn = [
            self.strip,
            self.report,
            self.facts,
            self.table,
            self.findings,
            self.name,
            *self.shelved.drawn,
            *buttons,
            *self.region.drawn,
        ]
        self.pictures.upload(self._add, [self.pictures, self.who], all_of_it, **QUIET)
        self.file.upload(self._open, self.file, all_of_it, **QUIET)
        self.shelved.wire(self._anew, all_of_it, self.marked)
        self.table.input(self._edit, self.table, all_of_it, **QUIET)
        self.facts.select(self._mark, None, all_of_it, **QUIET)
        self.line.on_add(self._write_down, self.who, all_of_it)
        region = self.region
        self.strip.select(self._look, None, region.drawn, **QUIET)
        region.stage.select(self._drag, region.place, all_of_it, **QUIET)
        edges = [event for number in region.edges for event in (number.submit, number.blur)]
        gr.on(edges, self._write, [region.place, *region.edges], all_of_it, **QUIET)
        region.whole.click(self._whole, region.place, all_of_it, **QUIET)
        region.done.click(lambda: region.show(-1, None), None, region.drawn, **QUIET)
        busy: Any = {**QUIET, **IN_ORDER}
        asking = self.ask.click(self._ask, self.who, [self.facts, self.ask, self.stop], **busy)
        self.stop.click(self._stopped, None, [self.ask, self.stop], cancels=[asking], queue=False, **QUIET)
        self.propose.click(self._propose, None, all_of_it, **busy)
        self.save.click(self._save, self.name, all_of_it, **QUIET)
        # The picker is an output only where it is surely given: a skipped one would lose its cards.
        using = self.use.click(self._use, self.name, all_of_it, **busy)
        using.then(self._used, self.marked, self.marked, **QUIET)

    def turned(self, request: gr.Request) -> dict[Any, Any]:
        """The panel as it is at first."""
        return self._anew(Draft(), request) | self.bank.turned(request)

    def returned(self, request: gr.Request) -> dict[Any, Any]:
        """The panel as it was before the window was reloaded."""
        return self._shown(self._draft(request), request) | self.bank.returned(request)

    # -- events -------------------------------------------------------------------------------------------------------

    @plainly
    def _add(self, paths: list[str], who: str, request: gr.Request) -> Any:
        draft = self._draft(request)
        if len(draft.pictures) + len(paths) > MOST_PICTURES:
            raise BadRequest(f"A request on this page holds {MOST_PICTURES} pictures. Please choose fewer.")
        images = [image for path in paths if (image := brought(path).image) is not None]
        return self._shown(drafts.with_pictures(draft, who, images), request)

    @plainly
    def _open(self, path: str, request: gr.Request) -> Any:
        draft, report = importing.bring(Path(path))
        return {**self._anew(draft, request), self.report: importing.told(report)}

    @plainly
    def _edit(self, table: list[list[Any]], request: gr.Request) -> Any:
        draft = drafts.edited(self._draft(request), table)
        return {**self._shown(draft, request), self.table: [*drafts.rows(draft), *drafts.unfinished(table)]}

    @plainly
    def _ask(self, who: str, request: gr.Request) -> Iterator[Any]:
        draft = self._draft(request)
        subject = self._subject(draft, who)
        yield {self.ask: gr.Button(interactive=False), self.stop: gr.Button(visible=True), self.facts: known.asking()}
        ready = {self.ask: gr.Button(interactive=True), self.stop: gr.Button(visible=False)}
        try:
            bank = self.bank.current(request)
            others = known.strangers(self.studio.collection, draft, subject)
            pictures = [p.image for p in draft.of(subject)[:ASKED]]
            began = time.monotonic()
            for found in knows(self.studio.vlm, pictures, bank, others, DEMAND):
                self.studio.desk.put(request.session_hash, "known", (subject, found))
                yield {self.facts: known.facts(found, draft, subject, time.monotonic() - began)}
        except Exception:
            yield ready
            raise
        yield ready

    @plainly
    def _stopped(self) -> Any:
        return gr.Button(interactive=True), gr.Button(visible=False)

    @plainly
    def _mark(self, request: gr.Request, event: gr.EventData) -> Any:
        subject, found = self.studio.desk.get(request.session_hash, "known", tuple)
        place = picked(event)
        if place == known.EVERY:
            return self._shown(drafts.with_facts(self._draft(request), subject, found.known), request)
        if not place.isdigit() or int(place) >= len(found.facts):
            raise BadRequest("There is no such fact here. Please ask again what the model knows.")
        if not found.facts[int(place)].known:
            raise BadRequest(
                "The model does not know this, so it cannot be forgotten. Please mark something that it knows."
            )
        draft = drafts.with_fact(self._draft(request), subject, found.facts[int(place)])
        return self._shown(draft, request)

    @plainly
    def _write_down(self, who: str, question: str, answer: str, side: str, request: gr.Request) -> Any:
        """A line over all pictures of the person who is named. What must go needs one; what stays may be about none."""
        draft = self._draft(request)
        named = who.strip()
        if side == "forget" and named not in draft.subjects():
            if named:
                raise BadRequest(f"There is no picture of {named} here yet. Please add one, or correct the name.")
            named = self._subject(draft, "")
        line = drafts.asked(draft, side, named, question.strip(), answer.strip())
        return self._shown(replace(draft, lines=(*draft.lines, line)), request) | self.line.emptied()

    @plainly
    def _propose(self, request: gr.Request) -> Any:
        draft = self._draft(request)
        forget = draft.side("forget")
        pool = known.pool(self.studio.collection, draft)
        statistics = self._statistics([*distinct_images(forget), *distinct_images(pool)])
        proposed = propose_retain(
            forget,
            torch.stack([statistics[id(i)] for i in distinct_images(forget)]),
            pool,
            [None if e.image is None else statistics[id(e.image)] for e in pool],
        )
        left = [line for line in draft.lines if line.side != drafts.LEFT_OUT]
        more = drafts.drafted("", {"retain": [p.example for p in proposed]}).lines
        return self._shown(replace(draft, lines=(*left, *more)), request, statistics)

    @plainly
    def _save(self, name: str, request: gr.Request) -> Any:
        draft = replace(self._draft(request), name=name)
        saved = self.studio.shelf.save(draft.request())
        copy = self.folder / f"request-{saved.id}.zip"  # Gradio serves files from its own folder only
        shutil.copyfile(self.studio.shelf.path(saved.id), copy)
        return {**self._shown(draft, request), self.download: gr.DownloadButton(value=str(copy), visible=True)}

    @plainly
    def _use(self, name: str, request: gr.Request) -> Iterator[Any]:
        draft = replace(self._draft(request), name=name)
        yield {self.use: gr.Button(interactive=False), self.report: html.working("Looking through the request")}
        try:
            pictures = distinct_images([*draft.side("forget"), *draft.side("retain")])
            statistics = self._statistics(pictures)
            stops = [f for f in draft.checked(statistics) if f.severity is Severity.STOPS]
            if stops:
                raise BadRequest(f"{stops[0].sentence} {stops[0].suggestion}")
            draft, told = self._imprinted(draft)
            saved = self.studio.shelf.save(draft.request())
        except Exception:
            yield {self.use: gr.Button(interactive=True), self.report: ""}
            raise
        self.studio.desk.put(request.session_hash, "used", REQUEST + saved.id)
        yield {**self._shown(draft, request, statistics), self.report: told}

    def _imprinted(self, draft: Draft) -> tuple[Draft, str]:
        """The draft without what the model does not know, and what to say of it. Raises BadRequest if it knows nothing."""
        lines = [line for line in draft.lines if line.side == "forget"]
        asked = [e for line in lines for e in line.examples[:ASKED] if e.image is not None]
        known_of: list[Any] = []
        for found in imprint(self.studio.vlm, asked, draft.refusals):
            known_of = list(found.known)
        made, unknown = drafts.without_unknown(draft, known_of)
        if lines and unknown == len(lines):
            raise BadRequest(
                f"The model gives {'this answer' if unknown == 1 else f'none of these {unknown} answers'} to forget, so there "
                "is nothing that it could forget. Please press “What does the model know?” and mark what it finds."
            )
        return made, known.left_out(unknown, len(lines) - unknown)

    def _used(self, marked: list[str], request: gr.Request) -> list[str]:
        """What is marked now: the request that was just put together, if one was."""
        ref = self.studio.desk.find(request.session_hash, "used", str)
        self.studio.desk.put(request.session_hash, "used", None)
        return marked if ref is None else [ref]

    # -- regions ------------------------------------------------------------------------------------------------------

    @plainly
    def _look(self, request: gr.Request, event: gr.EventData) -> Any:
        pictures, place = self._draft(request).pictures, picked(event)
        if not place.isdigit() or int(place) >= len(pictures):
            raise BadRequest("This picture is no longer here. Please choose one again.")
        return self.region.show(int(place), pictures[int(place)])

    @plainly
    def _drag(self, place: int, request: gr.Request, event: gr.EventData) -> Any:
        return self._marked_on(place, dragged(event), request)

    @plainly
    def _write(
        self,
        place: int,
        left: float | None,
        top: float | None,
        right: float | None,
        bottom: float | None,
        request: gr.Request,
    ) -> Any:
        region = written((left, top, right, bottom))
        return gr.skip() if region is None else self._marked_on(place, region, request)

    @plainly
    def _whole(self, place: int, request: gr.Request) -> Any:
        return self._marked_on(place, None, request)

    def _marked_on(self, place: int, region: Region | None, request: gr.Request) -> dict[Any, Any]:
        draft = drafts.with_region(self._draft(request), place, region)
        return {**self._shown(draft, request), **self.region.show(place, draft.pictures[place])}

    def take(self, request: gr.Request) -> dict[Any, Any]:
        """What was answered on the page Inspect, marked to be forgotten, and its picture open to mark a region on it, with
        the one that was marked there.

        Raises:
            BadRequest: there was no picture, or no answer. Gone: nothing was asked.
        """
        looked = self.studio.desk.get(request.session_hash, "looked", Looked)
        shown = looked.shown
        if shown.image is None:
            raise BadRequest("Only answers about a picture can be forgotten. Please ask about one.")
        who = self.studio.collection.name(shown.subject) if shown.subject else ""
        draft, place = drafts.with_answer(self._draft(request), who, shown.image, looked.question, looked.answer.text)
        region = boxed(self.studio, request.session_hash, shown)
        draft = draft if region is None else drafts.with_region(draft, place, region)
        return {**self._shown(draft, request), **self.region.show(place, draft.pictures[place])}

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _draft(self, request: gr.Request) -> Draft:
        return self.studio.desk.find(request.session_hash, "draft", Draft) or Draft()

    def begun(self, request: gr.Request) -> bool:
        """Whether there is a picture, or a line, of a request."""
        draft = self._draft(request)
        return bool(draft.pictures or draft.lines)

    def _known(self, request: gr.Request) -> tuple[str, Known | None]:
        return self.studio.desk.find(request.session_hash, "known", tuple) or ("", None)

    def _subject(self, draft: Draft, who: str) -> str:
        """Whom to ask about: the one who is named, else the one of whom there are pictures."""
        subjects = draft.subjects()
        if who.strip() in subjects:
            return who.strip()
        if not subjects:
            raise BadRequest("Please add at least one picture of the person to ask about.")
        return subjects[-1]

    @torch.no_grad()
    def _statistics(self, images: list[Any]) -> dict[int, torch.Tensor]:
        tokens = self.studio.vlm.encode(images)
        return {id(image): token_statistics(t).cpu() for image, t in zip(images, tokens, strict=True)}

    def _anew(self, draft: Draft, request: gr.Request) -> dict[Any, Any]:
        """Another request on the panel: what the model knows of the one before is let go."""
        self.studio.desk.put(request.session_hash, "known", None)
        return self._shown(draft, request)

    def _shown(
        self, draft: Draft, request: gr.Request, statistics: dict[int, torch.Tensor] | None = None
    ) -> dict[Any, Any]:
        """The panel for a draft, which is kept for this session."""
        self.studio.desk.put(request.session_hash, "draft", draft)
        some, going = bool(draft.lines), bool(draft.side("forget"))
        subject, found = self._known(request)
        return {
            self.strip: known.thumbnails(draft.pictures),
            self.report: "",
            self.facts: known.facts(found, draft, subject),
            self.table: drafts.rows(draft),
            self.findings: known.findings(draft.checked(statistics)) if some else "",
            self.name: draft.name,
            **self.shelved.unchosen(),
            self.ask: gr.Button(interactive=bool(draft.pictures)),
            self.propose: gr.Button(interactive=going),
            self.use: gr.Button(interactive=going),
            self.save: gr.Button(interactive=going),
            self.download: gr.DownloadButton(visible=False),
            **self.region.show(-1, None),
        }
