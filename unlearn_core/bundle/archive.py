"""The file itself: a zip of exactly four files, stored without compression.

`module.safetensors`, `module.json`, `README.md`, and `manifest.json` with the checksums of the others and the fingerprint
of the model that the module belongs to.

The checksums find accidents, not forgers: whoever can write a bundle can write its manifest too. Reading one from a
stranger is safe all the same: only safetensors and strict JSON are opened, sizes are bounded, and nothing is written but
to a folder of our own that is removed afterwards.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, get_origin, get_type_hints

import torch

from unlearn_core.bundle.manifest import Content, Manifest
from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.methods.saving import SETTINGS, TENSORS
from unlearn_core.runs.files import storing
from unlearn_core.runs.scratch import temporary_folder
from unlearn_core.vlm.errors import BundleDamaged

FORMAT = 3
MANIFEST, README = "manifest.json", "README.md"
CONTENT = (TENSORS, SETTINGS, README)

MAX_BYTES = 4 * 2**30
MAX_TEXT = 4 * 2**20
"""Bytes of each file that is not the tensors."""
MAX_DIRECTORY = 4096
"""Bytes of the zip's list of contents; four entries need about 250."""
MAX_NAME = 200
"""Characters of a name: of the base model, which is shown in messages, and of licences."""
CHUNK = 2**22

AGAIN = "Please download or export it again."
DAMAGED = f"The bundle is damaged or no bundle at all. {AGAIN}"


# -- write ------------------------------------------------------------------------------------------------------------


def pack(folder: Path, manifest: Manifest, file: IO[bytes]) -> None:
    """Write a folder that holds `CONTENT`, and the manifest. Raises OSError."""
    (folder / MANIFEST).write_bytes(to_json(asdict(manifest)))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in (*CONTENT, MANIFEST):
            archive.write(folder / name, name)


def content_of(path: Path) -> Content:
    with path.open("rb") as file:
        return Content(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


# -- read -------------------------------------------------------------------------------------------------------------


@contextmanager
def doubting() -> Iterator[None]:
    """Whatever goes wrong in here is the bundle's fault: it is read by code that trusts its input."""
    try:
        yield
    except (BundleDamaged, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise BundleDamaged(DAMAGED) from error


def opened(path: Path) -> IO[bytes]:
    """Raises BundleDamaged."""
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise BundleDamaged("The bundle cannot be opened. Please choose the file again.") from error


@contextmanager
def unpacked(file: IO[bytes], max_bytes: int) -> Iterator[tuple[Manifest, Path]]:
    """The manifest, and a folder with what it lists and nothing else, every checksum right; removed afterwards.

    Raises:
        BundleDamaged: incomplete, altered, too large, or something else than a bundle.
        StorageFailed: no room to unpack it for a moment.
    """
    with doubting():
        size = file.seek(0, os.SEEK_END)
        if size > max_bytes:
            raise BundleDamaged(f"The bundle has {size / 2**30:.1f} GiB; the limit is {max_bytes / 2**30:.1f} GiB.")
        _check_end(file, size)
        archive = zipfile.ZipFile(file)
        _check_entries(archive.infolist(), size)
        manifest = _manifest(from_json(b"".join(_chunks(archive, MANIFEST))))
    with storing(), temporary_folder() as folder:
        for name in CONTENT:
            with (folder / name).open("xb") as out:
                out.writelines(_chunks(archive, name))
            if manifest.files[name] != content_of(folder / name):
                raise BundleDamaged(f"{name} in the bundle is not what was exported. {AGAIN}")
        with doubting():
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
    with doubting(), archive.open(name) as source:
        while chunk := source.read(CHUNK):
            yield chunk


def _manifest(content: Any) -> Manifest:
    if content["format"] != FORMAT:
        raise BundleDamaged(
            f"The bundle has format {content['format']!r:.20}; this version reads format {FORMAT}. "
            "Please update the program, or export the result again."
        )
    files = {name: Content(**entry) for name, entry in content["files"].items()}
    limits = tuple(content["limits"]) if isinstance(content["limits"], list) else None
    manifest = Manifest(**{**content, "limits": limits, "files": files})
    for name, kind in get_type_hints(Manifest).items():
        if not isinstance(getattr(manifest, name), get_origin(kind) or kind):
            raise TypeError(f"{name} is no {kind}")
    texts = (*manifest.limits, *manifest.versions.values(), *manifest.data.values())
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("limits, versions and digests must be texts")
    if files.keys() != set(CONTENT) or not all(map(is_name, _names(manifest))):
        raise ValueError("these are not the files and the name of a bundle")
    return manifest


def _names(manifest: Manifest) -> tuple[str, ...]:
    return manifest.base, manifest.revision, manifest.base_license, manifest.data_license


def is_name(text: str) -> bool:
    """Whether a manifest may hold it where a name stands."""
    return len(text) <= MAX_NAME and text.isprintable()
