"""The `unlearn` command. Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from unlearn_core.vlm import VLM


def _model(model: str, bundle: Path | None) -> VLM:
    from unlearn_core.bundle import load
    from unlearn_core.vlm import VLM
    from unlearn_core.vlm.loading import DEMO

    vlm = VLM.load(model or DEMO)
    return vlm if bundle is None else load(bundle, vlm).attach(vlm)


def ask(question: str, /, picture: Path | None = None, model: str = "", bundle: Path | None = None) -> dict[str, Any]:
    """Ask a model one question and print the answer and its probability as JSON.

    Args:
        question: the question.
        picture: picture file that it is about; none for a question without a picture.
        model: folder or hub id of a model; empty for the embedded demo model.
        bundle: exported bundle to attach first.
    """
    from unlearn_core.vlm import Prompt
    from unlearn_core.vlm.images import open_image

    image = None if picture is None else open_image(picture)
    answer = _model(model, bundle).ask([Prompt(image, question)])[0]
    return {"answer": answer.text, "probability": answer.probability}


def verify(bundle: Path, /, model: str = "") -> dict[str, Any]:
    """Check that a bundle is whole and belongs to a model; print what it holds as JSON.

    Args:
        bundle: exported bundle.
        model: folder or hub id of a model; empty for the embedded demo model.
    """
    from dataclasses import asdict

    from unlearn_core.bundle import verify as verify_bundle

    return asdict(verify_bundle(bundle, _model(model, None)))


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


def main() -> None:
    """Exit status 0, or 1 with one sentence on standard error."""
    from unlearn_core.vlm.errors import StudioError

    try:
        result = tyro.extras.subcommand_cli_from_dict(
            {"ask": ask, "merge": merge, "verify": verify},
            prog="unlearn",
            description="Make a vision-language model forget, and see what changed. The page: python app.py",
        )
    except StudioError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
