"""Write a bundle, and say that it is done only when what was written works like what is in memory."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from unlearn_core.bundle.archive import (
    CONTENT,
    FORMAT,
    MAX_BYTES,
    MAX_NAME,
    README,
    content_of,
    doubting,
    is_name,
    pack,
    unpacked,
)
from unlearn_core.bundle.cards import bundle_card, limit_of
from unlearn_core.bundle.fingerprint import base_of, fingerprint, plain, public_base, weights
from unlearn_core.bundle.manifest import Made, Manifest
from unlearn_core.methods import Module, module_from_pretrained
from unlearn_core.methods.probe import spread
from unlearn_core.runs import Run, RunNotReady, RunState
from unlearn_core.runs.files import replacing, storing
from unlearn_core.runs.requests import digests
from unlearn_core.runs.run import reading
from unlearn_core.runs.scratch import temporary_folder
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.card import UNKNOWN
from unlearn_core.vlm.errors import BadOption, BundleDamaged

PACKAGES = ("vlm-unlearning-studio", "torch", "transformers", "safetensors")
PROBES = 4
"""Questions of each side of a run's request whose answers are compared."""
NOT_TOLD = Made()
UNLIKE = "What was written does not work like the result itself, and was not kept. Please export it again."


def export(
    module: Module,
    vlm: VLM,
    path: Path,
    *,
    title: str,
    report: dict[str, Any],
    limits: Sequence[str],
    made: Made = NOT_TOLD,
    prompts: Sequence[Prompt] = (),
    load_module: Callable[[Path], Module] = module_from_pretrained,
) -> Path:
    """Write a bundle, load it again, compare, and only then put it in its place.

    Args:
        vlm: the model that the module was fitted on; whatever it sees through does not matter.
        path: the file to write; one that is there is replaced.
        title, report, limits, made: go into the bundle as they stand, for everyone to read; name nobody in them.
        prompts: questions that the module and what was written must answer with the same tokens.
        load_module: reads a module from the folder that its `save_pretrained` wrote.

    Raises:
        StorageFailed: the disk is full, or the folder is missing or must not be written to.
        BundleDamaged: what was written cannot be read back, or works differently.
        BadOption: the licence of the data is no name.
    """
    vlm = plain(vlm)
    base, revision = public_base(vlm)
    manifest = Manifest(
        format=FORMAT,
        kind=module.kind,
        title=title,
        method=made.method,
        config=made.config,
        data=made.data,
        data_license=_license(made.data_license),
        base=base,
        revision=revision,
        base_license=base_of(vlm).license,
        fingerprint=fingerprint(vlm),
        fitted_on=weights(vlm),
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        report=report,
        limits=tuple(dict.fromkeys((limit_of(module.kind), *limits))),
        files={},
    )
    with storing(), temporary_folder() as folder:
        module.save_pretrained(folder)
        (folder / README).write_text(bundle_card(manifest), encoding="utf-8")
        manifest = replace(manifest, files={name: content_of(folder / name) for name in CONTENT})
        with replacing(Path(path)) as file:
            pack(folder, manifest, file)
            with unpacked(file, MAX_BYTES) as (_, again):
                with doubting():
                    read = load_module(again)
                _compare(module, read, vlm, prompts)
    return Path(path)


def export_run(
    run: Run,
    vlm: VLM,
    path: Path,
    *,
    title: str = "Unlearned",
    limits: Sequence[str] = (),
    data_license: str = UNKNOWN,
) -> Path:
    """Export what a run has learned, with its options, digests of its data and what was measured.

    Some of the request's own questions are asked again of what was written.

    Args:
        vlm: the model it was made for. data_license: of the request's pictures and answers. Others, and errors: as for
            `export`.

    Raises:
        RunNotReady: it has no result yet. RunDamaged: files of the run are missing.
    """
    if run.state is not RunState.DONE:
        raise RunNotReady(f"This run has no result: it is {run.state}. Please choose one that is done.")
    with reading(run.folder):
        module = module_from_pretrained(run.module_folder)
    request = run.request()
    probed = next((step for step in reversed(run.events()) if step.forget is not None), None)
    shares = {} if probed is None else {"probe": {"forget": probed.forget, "retain": probed.retain}}
    asked = (*spread(request.forget, PROBES), *spread(request.retain, PROBES))
    return export(
        module,
        vlm,
        path,
        title=title,
        report=run.report() | shares,
        limits=limits,
        made=Made(run.info.method, without_paths(run.config()), digests(request), data_license),
        prompts=[example.prompt for example in asked],
    )


def _license(told: str) -> str:
    """In one line; nothing is unknown. Raises BadOption for what no manifest may hold."""
    name = " ".join(told.split()) or UNKNOWN
    if not is_name(name):
        raise BadOption(
            f"The data licence has at most {MAX_NAME} characters. Please name it in short, such as cc-by-4.0."
        )
    return name


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Options of which folders keep their last name alone: the way to them is nobody's business."""
    local = {k: Path(v).name for k, v in config.items() if isinstance(v, str) and ("/" in v or "\\" in v)}
    return config | local


def _compare(module: Module, read: Module, vlm: VLM, prompts: Sequence[Prompt]) -> None:
    """Raises BundleDamaged unless both hold the same numbers and give the same answers."""
    written, again = module.tensors(), read.tensors()
    same = written.keys() == again.keys() and all(torch.equal(t.cpu(), again[k].cpu()) for k, t in written.items())
    if not same or _answers(module, vlm, prompts) != _answers(read, vlm, prompts):
        raise BundleDamaged(UNLIKE)


def _answers(module: Module, vlm: VLM, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
    return [answer.ids for answer in module.attach(vlm).ask(prompts)] if prompts else []
