"""Commands about models and bundles: ask, fits, merge, verify."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from unlearn_core.cli.flags import DEMO, PLAIN, Asked, Model, choice_of, load_asked, load_model
from unlearn_core.cli.output import shown


def ask(
    question: str, /, picture: Path | None = None, asked: Asked = PLAIN, json: bool = False
) -> dict[str, Any] | None:
    """Ask a model one question and print the answer and its probability.

    Args:
        question: the question.
        picture: picture file that it is about; none for a question without a picture.
        json: print JSON.
    """
    from unlearn_core.vlm import Prompt
    from unlearn_core.vlm.images import open_image

    image = None if picture is None else open_image(picture)
    answer = load_asked(asked).ask([Prompt(image, question)])[0]
    return shown({"answer": answer.text, "probability": answer.probability}, json)


def verify(bundle: Path, /, model: Model = DEMO, json: bool = False) -> dict[str, Any] | None:
    """Check that a bundle is whole and belongs to a model; print what it says of itself.

    Args:
        bundle: exported bundle.
        json: print JSON.
    """
    from unlearn_core.bundle import verify as verify_bundle

    return shown(asdict(verify_bundle(bundle, load_model(model, None))), json)


def merge(bundle: Path, /, out: Path, model: str = "", json: bool = False) -> dict[str, Any] | None:
    """Write a model with a bundle merged into its weights, as a checkpoint for transformers or any engine.

    The weights stay in the precision in which the checkpoint is stored. A CAGUL bundle cannot be merged.

    Args:
        bundle: exported bundle.
        out: new or empty folder for the checkpoint.
        model: folder or hub id of the model that the bundle was made for; empty for the embedded demo model.
        json: print JSON.
    """
    from unlearn_core.bundle import load, stored_precision
    from unlearn_core.bundle import merge as merge_module
    from unlearn_core.bundle import verify as verify_bundle
    from unlearn_core.vlm import VLM
    from unlearn_core.vlm.loading import DEMO

    name = model or DEMO
    vlm = VLM.load(name, device="cpu", dtype=stored_precision(name))
    manifest = verify_bundle(bundle, vlm)
    merge_module(load(bundle, vlm), vlm, out, title=manifest.title, limits=manifest.limits)
    return shown({"folder": str(out), "kind": manifest.kind, "base": manifest.base}, json)


def fits(model: Model = DEMO, json: bool = False) -> dict[str, Any] | None:
    """Reckon whether a model fits this machine, before anything but its configuration is downloaded.

    Args:
        json: print JSON.
    """
    from unlearn_core.vlm import loading

    ahead = loading.check(choice_of(model))
    return shown({"fits": ahead.fits, **asdict(ahead)}, json)
