"""One file that carries what was learned: export, verify, load.

A bundle is a zip of exactly four files, stored without compression: `module.safetensors`, `module.json`, `README.md`, and
`manifest.json` with the checksums of the others and the fingerprint of the model that the module belongs to.

The checksums find accidents, not forgers: whoever can write a bundle can write its manifest too. Reading one from a
stranger is safe all the same: only safetensors and strict JSON are opened, sizes are bounded, and nothing is written but
to a folder of our own that is removed afterwards.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, get_origin, get_type_hints

import torch

from unlearn_core.bundle.cards import bundle_card
from unlearn_core.bundle.fingerprint import base_of, fingerprint, public_name
from unlearn_core.bundle.manifest import Content, Manifest
from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.methods import Module, module_from_pretrained
from unlearn_core.methods.saving import SETTINGS, TENSORS
from unlearn_core.runs.files import replacing, storing
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BundleDamaged, BundleMismatch

FORMAT = 1
MANIFEST, README = "manifest.json", "README.md"
CONTENT = (TENSORS, SETTINGS, README)

MAX_BYTES = 4 * 2**30
MAX_TEXT = 4 * 2**20
"""Bytes of each file that is not the tensors."""
MAX_DIRECTORY = 4096
"""Bytes of the zip's list of contents; four entries need about 250."""
MAX_NAME = 200
"""Characters of the base model's name, which is shown in messages."""
CHUNK = 2**22

PACKAGES = ("vlm-unlearning-studio", "torch", "transformers", "safetensors")

AGAIN = "Please download or export it again."
DAMAGED = f"The bundle is damaged or no bundle at all. {AGAIN}"


# -- write ------------------------------------------------------------------------------------------------------------


def export(module: Module, vlm: VLM, path: Path, *, title: str, report: dict[str, Any], limits: Sequence[str]) -> Path:
    """Write a bundle, read it back, and only then put it in its place.

    Args:
        vlm: the model that the module was fitted on, with or without the module attached.
        path: the file to write; one that is there is replaced.
        title, report, limits: go into the bundle as they stand, for everyone to read; name nobody in them.

    Raises:
        StorageFailed: the disk is full, or the folder is missing or must not be written to.
        BundleDamaged: what was written cannot be read back.
    """
    base = base_of(vlm)
    manifest = Manifest(
        FORMAT,
        module.kind,
        title,
        public_name(base.name),
        fingerprint(base),
        {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        datetime.now(UTC).isoformat(timespec="seconds"),
        report,
        tuple(limits),
        {},
    )
    with storing(), tempfile.TemporaryDirectory(prefix="bundle-") as name:
        folder = Path(name)
        module.save_pretrained(folder)
        (folder / README).write_text(bundle_card(manifest), encoding="utf-8")
        manifest = replace(manifest, files={name: _content(folder / name) for name in CONTENT})
        (folder / MANIFEST).write_bytes(to_json(asdict(manifest)))
        with replacing(Path(path)) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name in (*CONTENT, MANIFEST):
                    archive.write(folder / name, name)
            with _unpacked(file, MAX_BYTES):
                pass
    return Path(path)


def _content(path: Path) -> Content:
    with path.open("rb") as file:
        return Content(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


# -- read -------------------------------------------------------------------------------------------------------------


def verify(path: Path, vlm: VLM, *, max_bytes: int = MAX_BYTES) -> Manifest:
    """Read a bundle through and make sure that it belongs to this model, without loading the module.

    Raises:
        BundleDamaged: incomplete, altered, too large, or something else than a bundle.
        BundleMismatch: it was made for another base model.
        StorageFailed: no room to unpack it for a moment.
    """
    with _open(path) as file, _unpacked(file, max_bytes) as (manifest, _):
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
    with _open(path) as file, _unpacked(file, max_bytes) as (manifest, folder):
        _match(manifest, vlm)
        with _doubting():
            module = load_module(folder)
            module.attach(base_of(vlm))  # shares the weights, and fails here rather than later if shapes differ
        return module


@contextmanager
def _doubting() -> Iterator[None]:
    """Whatever goes wrong in here is the bundle's fault: it is read by code that trusts its input."""
    try:
        yield
    except (BundleDamaged, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise BundleDamaged(DAMAGED) from error


def _open(path: Path) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise BundleDamaged("The bundle cannot be opened. Please choose the file again.") from error


@contextmanager
def _unpacked(file: IO[bytes], max_bytes: int) -> Iterator[tuple[Manifest, Path]]:
    """The manifest, and a folder with what it lists and nothing else, every checksum right; removed afterwards."""
    with _doubting():
        size = file.seek(0, os.SEEK_END)
        if size > max_bytes:
            raise BundleDamaged(f"The bundle has {size / 2**30:.1f} GiB; the limit is {max_bytes / 2**30:.1f} GiB.")
        _check_end(file, size)
        archive = zipfile.ZipFile(file)
        _check_entries(archive.infolist(), size)
        manifest = _manifest(from_json(b"".join(_chunks(archive, MANIFEST))))
    with storing(), tempfile.TemporaryDirectory(prefix="bundle-") as name:
        folder = Path(name)
        for name in CONTENT:
            with (folder / name).open("xb") as out:
                out.writelines(_chunks(archive, name))
            if manifest.files[name] != _content(folder / name):
                raise BundleDamaged(f"{name} in the bundle is not what was exported. {AGAIN}")
        with _doubting():
            if from_json((folder / SETTINGS).read_bytes())["kind"] != manifest.kind:
                raise BundleDamaged(DAMAGED)
        yield manifest, folder


def _check_end(file: IO[bytes], size: int) -> None:
    """Look at the zip's last record by hand: zipfile would read a list of contents of any length into memory."""
    file.seek(max(0, size - 42))
    tail = file.read()
    signature, count, length, comment = struct.unpack("<4s6xHL4xH", tail[-22:])
    large = tail[:4] == b"PK\6\7"  # the record that replaces these numbers in archives above 2 GiB
    if (
        signature != b"PK\5\6"
        or count != len(CONTENT) + 1
        or length > MAX_DIRECTORY
        or comment
        or (large and size < 2**31)
    ):
        raise BundleDamaged(DAMAGED)


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Exactly the four files, plain and uncompressed; so none can unpack to more than the bundle's own size."""
    names = sorted(entry.filename for entry in entries)
    if {*CONTENT, MANIFEST} - set(names):
        raise BundleDamaged(f"The bundle is incomplete. {AGAIN}")
    if names != sorted((*CONTENT, MANIFEST)):
        raise BundleDamaged(
            "The bundle holds files that no bundle has. Do not use it unless you trust where it is from."
        )
    for entry in entries:
        plain = stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or not plain:
            raise BundleDamaged(f"The bundle was packed again by another program. {AGAIN}")
        if entry.filename != TENSORS and entry.file_size > MAX_TEXT:
            raise BundleDamaged(f"{entry.filename} in the bundle is far too large. {AGAIN}")
    if sum(entry.file_size for entry in entries) > size:
        raise BundleDamaged(DAMAGED)


def _chunks(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with _doubting(), archive.open(name) as source:
        while chunk := source.read(CHUNK):
            yield chunk


def _manifest(content: Any) -> Manifest:
    if content["format"] != FORMAT:
        raise BundleDamaged(
            f"The bundle has format {content['format']!r:.20}; this version reads format {FORMAT}. Please update the program."
        )
    files = {name: Content(**entry) for name, entry in content["files"].items()}
    limits = tuple(content["limits"]) if isinstance(content["limits"], list) else None
    manifest = Manifest(**{**content, "limits": limits, "files": files})
    for name, kind in get_type_hints(Manifest).items():
        if not isinstance(getattr(manifest, name), get_origin(kind) or kind):
            raise TypeError(f"{name} is no {kind}")
    if not all(isinstance(text, str) for text in (*manifest.limits, *manifest.versions.values())):
        raise TypeError("limits and versions must be texts")
    if files.keys() != set(CONTENT) or len(manifest.base) > MAX_NAME or not manifest.base.isprintable():
        raise ValueError("these are not the files and the name of a bundle")
    return manifest


def _match(manifest: Manifest, vlm: VLM) -> None:
    loaded = fingerprint(vlm)
    if manifest.fingerprint != loaded:
        raise BundleMismatch(
            f"The bundle was made for '{manifest.base}' (fingerprint {manifest.fingerprint[:12]}), but "
            f"'{public_name(base_of(vlm).name)}' (fingerprint {loaded[:12]}) is loaded. Please load '{manifest.base}' first."
        )
