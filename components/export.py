"""Page 6: take a result away as one file, and bring one in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from components import html
from components.handlers import plainly
from components.studio import Studio
from components.texts import ABOUT, HELP
from unlearn_core import bundle
from unlearn_core.methods import ALL_METHODS
from unlearn_core.vlm.errors import BadRequest


class ExportPage:
    """Elements other pages need: `result` (the choice), `brought` (reference of the bundle just imported)."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.folder = Path(tempfile.mkdtemp(prefix="bundles-", dir=os.environ.get("GRADIO_TEMP_DIR")))
        gr.HTML(
            html.intro(
                "Take the result away as one file, or bring one in.",
                "It holds what was learned and no picture, name or answer of your request.",
                HELP["export"],
            )
        )
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=1, min_width=300):
                gr.HTML("<h3>Export</h3>")
                self.result = gr.Dropdown([], label="Finished run", filterable=False, elem_id="export-result")
                self.title = gr.Textbox(
                    label="Title",
                    info="Goes into the file for everyone to read: name nobody in it.",
                    max_length=120,
                    elem_id="export-title",
                )
                self.license = gr.Textbox(
                    label="Data licence",
                    info="Of the pictures and answers that it was fitted on, such as cc-by-4.0; left empty, it is called unknown.",
                    max_length=200,
                    elem_id="export-license",
                )
                self.make = gr.Button("Make the bundle", variant="primary", interactive=False, elem_id="export-make")
                self.made = gr.HTML(html.empty("Choose a finished run to make a bundle of it."), elem_id="export-made")
                self.download = gr.DownloadButton("Download", visible=False, elem_id="export-download")
            with gr.Column(scale=1, min_width=300):
                gr.HTML("<h3>Import</h3>")
                gr.HTML(
                    "<p>A bundle works with the very model that it was made for. It is checked before it is used, and kept in the workspace.</p>"
                )
                self.upload = gr.UploadButton("Choose a bundle (.zip)", file_types=[".zip"], elem_id="import-upload")
                self.told = gr.HTML(elem_id="import-told")
                with gr.Row():
                    self.inspect = gr.Button("Ask the unlearned model", visible=False, elem_id="import-inspect")
                    self.compare = gr.Button("Compare before and after", visible=False, elem_id="import-compare")
        self.brought = gr.State("")
        self._wire()

    def _wire(self) -> None:
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        self.result.change(self._chosen, self.result, [self.title, self.make, self.made, self.download], **quiet)
        told = [self.result, self.title, self.license]
        self.make.click(self._make, told, [self.made, self.download], **quiet)
        quiet["show_progress"] = "minimal"
        self.upload.upload(
            self._bring,
            self.upload,
            [self.told, self.brought, self.inspect, self.compare],
            show_progress_on=self.told,
            **quiet,
        )

    @plainly
    def refresh(self, chosen: str | None) -> Any:
        """The finished runs there are now; the choice stays, or falls on the newest."""
        runs = [(label, ref) for label, ref in self.studio.results() if self.studio.is_run(ref)]
        refs = [ref for _, ref in runs]
        return gr.Dropdown(choices=runs, value=chosen if chosen in refs else next(iter(refs), None))

    def show(self, run_id: str) -> dict[Any, Any]:
        """A run chosen to be taken away. Raises BadRequest for one that cannot be, RunNotFound, RunDamaged."""
        return {self.result: self.refresh(self.studio.linked(run_id))}

    @plainly
    def _chosen(self, result: str | None) -> Any:
        if not result:
            nothing = html.empty("Choose a finished run to make a bundle of it.")
            return "", gr.Button(interactive=False), nothing, gr.DownloadButton(visible=False)
        method = self.studio.run(result).info.method
        return (
            f"Unlearned with {ALL_METHODS[method].title}",
            gr.Button(interactive=True),
            _limits(method),
            gr.DownloadButton(visible=False),
        )

    @plainly
    def _make(self, result: str | None, title: str, data_license: str) -> Iterator[Any]:
        if not result:
            raise BadRequest("Please choose a finished run first.")
        run = self.studio.run(result)
        path = self.folder / f"unlearned-{run.info.method}-{run.id}.zip"
        title, limits = title.strip() or "Unlearned", ABOUT[run.info.method].limits
        yield html.working("Writing it, reading it back and asking it the same questions …"), gr.skip()
        bundle.export_run(run, self.studio.vlm, path, title=title, limits=limits, data_license=data_license)
        made = html.note(
            f"Written, read back and asked the same questions: {path.name}, {path.stat().st_size / 1e6:.1f} MB.", "keep"
        ) + _limits(run.info.method)
        yield made, gr.DownloadButton(value=str(path), visible=True)

    @plainly
    def _bring(self, path: str) -> Any:
        ref = self.studio.bring(Path(path))
        manifest = self.studio.manifest(ref)
        told = html.note(
            f"Imported: {manifest.title}, made {manifest.created[:10]} for this model. Every checksum is right.", "keep"
        )
        return told + _list(manifest.limits), ref, gr.Button(visible=True), gr.Button(visible=True)


def _limits(method: str) -> str:
    return _list(ABOUT[method].limits)


def _list(limits: tuple[str, ...]) -> str:
    return (
        f'<h4>What it does not do</h4><ul class="limits">{"".join(f"<li>{escape(text)}</li>" for text in limits)}</ul>'
    )
