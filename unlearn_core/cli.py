"""The `unlearn` command. Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from unlearn_core.vlm import VLM
    from unlearn_core.vlm.loading import Choice


@dataclass(frozen=True)
class ModelFlags:
    """Which model, and how it is loaded; `unlearn_core.vlm.loading.Choice` without its imports.

    Args:
        model: folder or hub id of a model; empty for the embedded demo model.
        revision: branch, tag or commit on the hub.
        device: auto (a GPU if there is one), cpu, cuda, cuda:1, ...
        dtype: auto (float32 on a CPU, the checkpoint's own on a GPU), float32, bfloat16 or float16.
        quantize: language model in 8 or 4 bits; needs a GPU and the extra `quantize`.
        device_map: lay the model over all GPUs.
    """

    model: str = ""
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    quantize: Literal["8bit", "4bit"] | None = None
    device_map: Literal["auto", "balanced", "sequential"] | None = None


Model = Annotated[ModelFlags, tyro.conf.arg(name="")]
"""What every command takes that needs a model: its fields are flags of the command."""
DEMO = ModelFlags()


def _choice(model: ModelFlags) -> Choice:
    from unlearn_core.vlm import loading

    return loading.Choice(**asdict(model) | {"model": model.model or str(loading.DEMO)})


def _model(model: ModelFlags, bundle: Path | None) -> VLM:
    from unlearn_core.bundle import load as load_bundle
    from unlearn_core.vlm import loading
    from unlearn_core.vlm.terminal import progress

    with progress() as told:
        vlm = loading.load(_choice(model), progress=told)
    return vlm if bundle is None else load_bundle(bundle, vlm).attach(vlm)


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
    answer = _model(model, bundle).ask([Prompt(image, question)])[0]
    return {"answer": answer.text, "probability": answer.probability}


def verify(bundle: Path, /, model: Model = DEMO) -> dict[str, Any]:
    """Check that a bundle is whole and belongs to a model; print what it holds as JSON.

    Args:
        bundle: exported bundle.
    """
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


def fits(model: Model = DEMO) -> dict[str, Any]:
    """Reckon whether a model fits this machine, before anything but its configuration is downloaded; print it as JSON."""
    from unlearn_core.vlm import loading

    ahead = loading.check(_choice(model))
    return {"fits": ahead.fits, **asdict(ahead)}


def main() -> None:
    """Exit status 0, or 1 with one sentence on standard error."""
    from unlearn_core.vlm.errors import StudioError

    try:
        result = tyro.extras.subcommand_cli_from_dict(
            {"ask": ask, "fits": fits, "merge": merge, "verify": verify},
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
