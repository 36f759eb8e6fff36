"""A result that is nothing but changes of weights, written as an ordinary checkpoint that needs none of this library."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from torch import Tensor
from transformers import PreTrainedConfig

from unlearn_core.bundle.cards import merged_card
from unlearn_core.bundle.fingerprint import base_of, fingerprint, public_name
from unlearn_core.methods import Module
from unlearn_core.methods.weights import Change, WeightChanges, added, shape_of
from unlearn_core.runs.files import NEW, clear, new_folder, storing
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadOption, BadRequest, BundleMismatch, ModelNotFound, NotMergeable

README = "README.md"
COPIED = (
    *("generation_config.json", "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "merges.txt", "*.model", "chat_template.*", "LICENSE*", "NOTICE*"),
)
"""What a checkpoint holds besides weights and architecture. It is copied as it stands, so that tokenizer, template and
processor are the original's to the last byte, with their parts for videos, which this library does not load."""


@torch.no_grad()
def merge(
    module: Module, vlm: VLM, folder: Path, *, title: str, limits: Sequence[str] = (), shard: str = "5GB"
) -> Path:
    """Write the unlearned model as a Hugging Face checkpoint in the precision in which `vlm` is loaded.

    Each change is added in float32 or better and rounded once, just as `attach` does it: a merged CVF has, bit by bit, the
    weights of an attached one in the same precision. A merged LoRA answers as the attached one up to rounding, because
    there the change runs beside the weight. Needs memory for the changed weights once more.

    Args:
        vlm: the model that the module was fitted on, without the module.
        folder: a new or empty folder.
        title, limits: go into the model card as they stand, for everyone to read; name nobody in them.
        shard: size at which the weights are split into several files, such as "5GB".

    Raises:
        NotMergeable: the result does not lie in weights, as CAGUL's. BadRequest: `vlm` is quantised, lies partly on disk,
            or sees through a module. BundleMismatch: it does not have the layers that are changed.
        BadOption: the folder holds something. ModelNotFound: what to copy from the original can no longer be found.
        StorageFailed: the disk is full, or the folder must not be written to. Nothing is left behind then.
    """
    if not isinstance(module, WeightChanges):
        raise NotMergeable(
            "This result works beside the weights and not in them, so there is no checkpoint to merge it into. Keep the "
            "bundle and edit what the model sees before the engine reads it: docs/serving.md shows how."
        )
    _require_plain(vlm)
    state = _merged(vlm.model.state_dict(), module.changes)
    original = _original(vlm)
    with _filled(Path(folder)) as fresh:
        vlm.model.save_pretrained(fresh, state_dict=state, max_shard_size=shard)
        for path in (path for pattern in COPIED for path in original.glob(pattern) if path.is_file()):
            shutil.copyfile(path, fresh / path.name)
        (fresh / README).write_text(_card(vlm, module.changes, title, limits), encoding="utf-8")
    return Path(folder)


def stored_precision(name_or_path: str | Path) -> str:
    """The precision in which a checkpoint is stored, as `VLM.load` takes it; `auto` where it does not say."""
    try:
        config, _ = PreTrainedConfig.get_config_dict(str(name_or_path))
    except (OSError, ValueError):
        return "auto"  # loading it will say what is wrong
    return str(config.get("dtype") or config.get("torch_dtype") or "auto")


def _require_plain(vlm: VLM) -> None:
    if vlm.sight is not None:
        raise BadRequest("This model sees through a module that is no part of its weights. Please withdraw that first.")
    rounded = getattr(vlm.model, "hf_quantizer", None) is not None
    if rounded or any(parameter.is_meta for parameter in vlm.model.parameters()):
        raise BadRequest(
            "The weights of this model are quantised or partly on disk. Please load it whole and unquantised to merge."
        )


def _merged(state: dict[str, Tensor], changes: dict[str, Change]) -> dict[str, Tensor]:
    """All weights, the changed ones as new tensors. Raises BundleMismatch."""
    if any(name not in state or state[name].shape != shape_of(change) for name, change in changes.items()):
        raise BundleMismatch(
            "This module changes layers that the loaded model does not have. Please load the model it was made for."
        )
    return state | {name: added(state[name], change) for name, change in changes.items()}


def _card(vlm: VLM, changes: Iterable[str], title: str, limits: Sequence[str]) -> str:
    reading = [name.startswith(f"{vlm.family.language}.") for name in changes]
    base = base_of(vlm)
    return merged_card(
        title,
        public_name(base.name),
        fingerprint(vlm),
        base.license,
        limits,
        seeing=not all(reading),
        reading=any(reading),
    )


def _original(vlm: VLM) -> Path:
    """The folder of the checkpoint that a model was loaded from. Raises ModelNotFound."""
    name = base_of(vlm).name
    if Path(name).is_dir():
        return Path(name)
    commit = getattr(vlm.model.config, "_commit_hash", None)
    try:
        return Path(snapshot_download(name, revision=commit, allow_patterns=list(COPIED)))
    except (OSError, ValueError) as error:
        raise ModelNotFound(
            f"The tokenizer and processor files of '{public_name(name)}' are no longer where they were loaded from. "
            "Please load the model again from a folder, or while the network is on."
        ) from error


@contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, which takes its place when the block ends well and is removed when it does not."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadOption("There is something at that place already. Please name a new or an empty folder.")
    prefix = f"{NEW}{folder.name}-"
    with storing():
        folder.parent.mkdir(parents=True, exist_ok=True)
        clear(folder.parent.glob(f"{escape(prefix)}*"))  # what was killed on its way to this very place
        with new_folder(folder.parent, prefix, 0o777) as fresh:
            yield fresh
            os.replace(fresh, folder)
