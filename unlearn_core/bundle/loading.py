"""Read a bundle: verify it, load its module, or go straight to the unlearned model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from unlearn_core.bundle.archive import MAX_BYTES, doubting, opened, unpacked
from unlearn_core.bundle.fingerprint import base_of, fingerprint, plain, public_name, weights
from unlearn_core.bundle.manifest import Manifest
from unlearn_core.data.readers.hub import is_hub_id
from unlearn_core.methods import Module, module_from_pretrained
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadOption, BundleMismatch


def describe(path: Path, *, max_bytes: int = MAX_BYTES) -> Manifest:
    """Read a bundle through and return what it says of itself, whatever model it belongs to.

    Raises:
        BundleDamaged: incomplete, altered, too large, or something else than a bundle.
        StorageFailed: no room to unpack it for a moment.
    """
    with opened(path) as file, unpacked(file, max_bytes) as (manifest, _):
        return manifest


def verify(path: Path, vlm: VLM, *, max_bytes: int = MAX_BYTES) -> Manifest:
    """As `describe`, and make sure that it belongs to this model, without loading the module.

    Raises:
        BundleMismatch: it was made for another base model, or on top of a result that is not attached.
    """
    manifest = describe(path, max_bytes=max_bytes)
    _match(manifest, vlm)
    return manifest


def load(
    path: Path,
    vlm: VLM,
    *,
    load_module: Callable[[Path], Module] = module_from_pretrained,
    max_bytes: int = MAX_BYTES,
) -> Module:
    """Verify a bundle and load its module, ready to `attach` to the model.

    Args:
        load_module: reads a module from the folder that its `save_pretrained` wrote.

    Raises:
        BundleDamaged, BundleMismatch, StorageFailed: as for `verify`; also if the module cannot be loaded or attached.
    """
    with opened(path) as file, unpacked(file, max_bytes) as (manifest, folder):
        _match(manifest, vlm)
        with doubting():
            module = load_module(folder)
            module.attach(plain(vlm))  # shares the weights, and fails here rather than later if shapes differ
        return module


def from_pretrained(*paths: str | Path, base: str | Path | None = None, **place: Any) -> VLM:
    """The unlearned model itself: the base that a bundle names, with that bundle attached, and further ones upon it.

    Results stack in this order: those that change weights (CVF) first, then any number of CAGUL's. `bundle.base_of` gives
    the original back, which shares all weights with what is returned.

    Args:
        paths: one bundle or several.
        base: folder or hub id of the model; None for the hub repository and commit that the first bundle names, which is
            downloaded if need be. Whatever it brings is used only if its weights are the very ones the bundle was made for.
        place: `device`, `dtype`, `quantize` and `device_map`, as for `VLM.load`.

    Raises:
        BadOption: no bundle is given, or the first was made for a folder and `base` does not say where it is.
        BundleDamaged, BundleMismatch, StorageFailed: as for `load`. Others as for `VLM.load`.
    """
    if not paths:
        raise BadOption("Please name at least one bundle.")
    named = describe(Path(paths[0]))
    if base is None and not is_hub_id(named.base):
        raise BadOption(
            f"This bundle was made for a model in a folder called '{named.base}'. Please say where that is, as `base`."
        )
    vlm = VLM.load(named.base, named.revision or None, **place) if base is None else VLM.load(base, **place)
    for path in paths:
        vlm = load(Path(path), vlm).attach(vlm)
    return vlm


def _match(manifest: Manifest, vlm: VLM) -> None:
    loaded = fingerprint(vlm)
    if manifest.fingerprint != loaded:
        raise BundleMismatch(
            f"The bundle was made for '{manifest.base}' (fingerprint {manifest.fingerprint[:12]}), but "
            f"'{public_name(base_of(vlm).name)}' (fingerprint {loaded[:12]}) is loaded. Please load '{manifest.base}' first."
        )
    if manifest.fitted_on not in (manifest.fingerprint, weights(vlm)):
        raise BundleMismatch(
            "This result was made on top of another one that changes weights. Please attach that one first, and none beside it."
        )
