"""Which model a command works with. Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from unlearn_core.methods.world import World
    from unlearn_core.vlm import VLM
    from unlearn_core.vlm.loading import Choice


@dataclass(frozen=True)
class ModelFlags:
    """Which model, and how it is loaded; `unlearn_core.vlm.loading.Choice` without its imports.

    Args:
        model: folder or hub id of a model; empty for the embedded demo model, or for the one that a run names.
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


@dataclass(frozen=True)
class AskFlags(ModelFlags):
    """The same, and what is put upon the model before it is asked.

    Args:
        bundle: exported bundles to attach, in this order: those that change weights first.
    """

    bundle: tuple[Path, ...] = ()


Asked = Annotated[AskFlags, tyro.conf.arg(name="")]
"""What every command takes that asks a model something."""
Model = Annotated[ModelFlags, tyro.conf.arg(name="")]
"""What every command takes that needs a model: its fields are flags of the command."""
DEMO = ModelFlags()
PLAIN = AskFlags()


def choice_of(model: ModelFlags) -> Choice:
    from unlearn_core.vlm import loading

    known: dict[str, Any] = {f.name: getattr(model, f.name) for f in fields(ModelFlags)}
    known["model"] = model.model or str(loading.DEMO)
    return loading.Choice(**known)


def load_model(model: ModelFlags, bundle: Path | None, *, shard: bool = False) -> VLM:
    from unlearn_core.bundle import load as load_bundle
    from unlearn_core.vlm import loading
    from unlearn_core.vlm.terminal import progress

    with progress() as told:
        vlm = loading.load(replace(choice_of(model), shard=shard), progress=told)
    return vlm if bundle is None else load_bundle(bundle, vlm).attach(vlm)


def placed(model: ModelFlags, world: World) -> ModelFlags:
    """Of several processes each has a device of its own."""
    return model if world.size == 1 else replace(model, device=str(world.device))


def load_asked(asked: AskFlags) -> VLM:
    """The model with all bundles upon it."""
    from unlearn_core.bundle import load as load_bundle

    vlm = load_model(asked, None)
    for path in asked.bundle:
        vlm = load_bundle(path, vlm).attach(vlm)
    return vlm
