"""Commands about models and bundles: ask, fits, merge, verify."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from unlearn_core.cli.flags import DEMO, Model, choice_of, load_model


def ask(
    question: str, /, picture: Path | None = None, model: Model = DEMO, bundle: Path | None = None
) -> dict[str, Any]:
    """Ask a model one question and print the answer and its probability as JSON.

    Args:
        question: the question.
        picture: picture file that it is about; none for a question without a picture.
        bundle: exported bundle to attach first.
    """
    from unlearn_core.vlm import Prompt
    from unlearn_core.vlm.images import open_image

    image = None if picture is None else open_image(picture)
    answer = load_model(model, bundle).ask([Prompt(image, question)])[0]
    return {"answer": answer.text, "probability": answer.probability}


def verify(bundle: Path, /, model: Model = DEMO) -> dict[str, Any]:
    """Check that a bundle is whole and belongs to a model; print what it holds as JSON.

    Args:
        bundle: exported bundle.
    """
    from unlearn_core.bundle import verify as verify_bundle

    return asdict(verify_bundle(bundle, load_model(model, None)))


def merge(bundle: Path, /, out: Path, model: str = "") -> dict[str, Any]:
    """Write a model with a bundle merged into its weights, as a checkpoint for transformers or any engine.

    The weights stay in the precision in which the checkpoint is stored. A CAGUL bundle cannot be merged.

    Args:
        bundle: exported bundle.
        out: new or empty folder for the checkpoint.
        model: folder or hub id of the model that the bundle was made for; empty for the embedded demo model.
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
    return {"folder": str(out), "kind": manifest.kind, "base": manifest.base}


def fits(model: Model = DEMO) -> dict[str, Any]:
    """Reckon whether a model fits this machine, before anything but its configuration is downloaded; print it as JSON."""
    from unlearn_core.vlm import loading

    ahead = loading.check(choice_of(model))
    return {"fits": ahead.fits, **asdict(ahead)}
