"""A forget request as files, the same in a run's folder and in a zip that is passed on.

request.json     name and refusals
metadata.jsonl   a question in each line, with its side, the path of its picture and the region of it that is meant, if
                 not all; a stranger is a line without a question. The layout is that of Hugging Face image folders, so that other programs read it too.
pictures/        each distinct picture once, as PNG, named after its content
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.data.readers import Source
from unlearn_core.data.readers.records import Record, records
from unlearn_core.data.readers.source import Folder, Zip, read_bounded
from unlearn_core.data.region import Region
from unlearn_core.data.stored import StoredPicture
from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.runs.errors import RunDamaged
from unlearn_core.runs.files import replacing, storing
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.images import MAX_PIXELS, to_rgb

REQUEST, TABLE, PICTURES = "request.json", "metadata.jsonl", "pictures"
SIDES = ("forget", "keep", "retain")
STRANGER = "stranger"
WRITERS = 16  # most of the time goes into waiting for the disk; 400 pictures of 128 px: 1.7 s with one, 0.7 s with 16
TEXTS = tuple(f.name for f in fields(Example) if f.name not in ("image", "region"))
LISTS = ("paraphrases", "perturbed", "keywords")
MAX_HEAD = 10**6
"""Bytes of request.json."""
MAX_PICTURE = 4 * MAX_PIXELS
"""Bytes of a picture; without loss one may take as many as its pixels do."""
MAX_TOGETHER = 16 * 2**30
"""Bytes of all pictures of a request together, unpacked: they are held in memory."""


# -- write ------------------------------------------------------------------------------------------------------------


def write_request(folder: Path, request: ForgetRequest) -> None:
    """Write into a new folder that nobody reads yet. Pictures are kept as RGB, without loss.

    Raises:
        OSError: the disk is full, or the folder must not be written to.
    """
    texts, images = _content(request)
    (folder / PICTURES).mkdir(mode=0o700)
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(lambda item: _write(folder / item[0], _png(item[1])), images.items()):
            pass
    for name, data in texts.items():
        _write(folder / name, data)


def export_request(request: ForgetRequest, path: Path) -> Path:
    """Write a zip, whole or not at all, readable by its owner alone; one that is there is replaced.

    Raises:
        StorageFailed: the disk is full, or the folder is missing or must not be written to.
    """
    texts, images = _content(request)
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in texts.items():
            archive.writestr(name, data)
        for name, image in images.items():
            archive.writestr(name, _png(image))
    return path


def export_folder(request: ForgetRequest, folder: Path) -> Path:
    """As `export_request`, but a new folder. Raises StorageFailed, also if the folder is there already."""
    with storing():
        folder.mkdir(mode=0o700)
        write_request(folder, request)
    return folder


def _content(request: ForgetRequest) -> tuple[dict[str, bytes], dict[str, Image.Image]]:
    """Text files and pictures by name."""
    names = _Names()
    lines = _lines(request, names)
    head = {"name": request.name, "refusals": request.refusals}
    texts = {REQUEST: to_json(head), TABLE: b"".join(to_json(line, indent=None) for line in lines)}
    return texts, names.images


def _lines(request: ForgetRequest, names: _Names) -> list[Record]:
    lines = [_entry(e, side, names) for side in SIDES for e in getattr(request, side)]
    return lines + [{"side": STRANGER, "file_name": names.of(image)} for image in request.strangers]


def digests(request: ForgetRequest) -> dict[str, str]:
    """SHA-256, in hexadecimal, of each side of a request: of all its texts, and of all its pictures' pixels."""
    found = {side: hashlib.sha256() for side in (*SIDES, STRANGER)}
    for line in _lines(request, _Names()):
        found[line["side"]].update(to_json(line, indent=None))
    return {side: digest.hexdigest() for side, digest in found.items()}


def _entry(example: Example, side: str, names: _Names) -> Record:
    """A line; what is empty is left out."""
    picture = {} if example.image is None else {"file_name": names.of(example.image)}
    texts = {name: getattr(example, name) for name in TEXTS}
    region = {} if example.region is None else {"region": example.region.box()}
    return {"side": side, **picture, **region, **{k: v for k, v in texts.items() if v not in (None, ())}}


class _Names:
    """The distinct pictures of a request by the digest of their pixels; each object is looked at once."""

    def __init__(self) -> None:
        self.images: dict[str, Image.Image] = {}
        self._known: dict[int, str] = {}

    def of(self, image: Image.Image) -> str:
        if id(image) not in self._known:
            rgb = to_rgb(image)
            name = self._known[id(image)] = f"{PICTURES}/{digest(rgb)}.png"
            self.images[name] = image
        return self._known[id(image)]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    to_rgb(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# -- read -------------------------------------------------------------------------------------------------------------


def read_request(folder: Path, *, held: bool = True) -> ForgetRequest:
    """The request of a run. Arguments as for `load_request`.

    Raises:
        RunDamaged: a file is missing, cannot be read, or a picture is not the one that its name says.
    """
    try:
        return _read(Folder(folder), held)
    except (BadFile, BadRequest) as error:
        raise RunDamaged(
            "The request of this run can no longer be read: a file is missing or was changed. Please start a new run."
        ) from error


def load_request(path: Path, *, held: bool = True, most: int = MAX_TOGETHER) -> ForgetRequest:
    """The request in a folder or zip that was exported; each distinct picture is one object, so that it is processed once.

    Args:
        held: False leaves the pictures in their files until they are looked at, for requests that are larger than memory;
            the files must then stay as long as the request is used.
        most: bytes that all pictures may take together, unpacked, where they are held.

    Raises:
        BadFile: a file is missing or cannot be read, a picture is not the one that its name says, or they are too large.
        BadRequest: what the files ask for cannot be done.
    """
    return _read(Folder(path) if path.is_dir() else Zip(path), held, most)


def request_name(path: Path) -> str:
    """What the request in a zip is called, without reading it through. Raises BadFile."""
    return _head(Zip(path))[0]


def is_request(source: Source) -> bool:
    return source.has(REQUEST) and source.has(TABLE)


def _read(source: Source, held: bool = True, most: int = MAX_TOGETHER) -> ForgetRequest:
    lines = list(records(source, TABLE))
    images = dict(_pictures(source, lines, held, most))
    sides: dict[str, list[Any]] = {side: [] for side in (*SIDES, STRANGER)}
    for number, line in lines:
        try:
            made = images[line["file_name"]] if line["side"] == STRANGER else _example(line, images)
            sides[line["side"]].append(made)
        except (LookupError, TypeError, ValueError, BadRequest) as error:
            raise BadFile("The line is not one of a forget request. Please export it again.", TABLE, number) from error
    name, refusals = _head(source)
    strangers = tuple(sides.pop(STRANGER))
    return ForgetRequest(name, **{k: tuple(v) for k, v in sides.items()}, strangers=strangers, refusals=refusals)


def _head(source: Source) -> tuple[str, tuple[str, ...]]:
    """Name and refusals. Raises BadFile."""
    try:
        head = from_json(read_bounded(source, REQUEST, MAX_HEAD))
        return str(head["name"]), tuple(map(str, head["refusals"]))
    except (LookupError, TypeError, ValueError) as error:
        raise BadFile("This does not name a forget request. Please export it again.", REQUEST) from error


def _pictures(
    source: Source, lines: list[tuple[int, Record]], held: bool, most: int
) -> Iterator[tuple[str, Image.Image]]:
    """All are read through once, so that a damaged one is found before anything is done with the request."""
    wanted = {line["file_name"]: number for number, line in lines if isinstance(line.get("file_name"), str)}
    if held and sum(_unpacked(source, *item) for item in wanted.items()) > most:
        raise BadFile(
            f"The {len(wanted)} pictures of this request take more than {most / 2**30:.0f} GB unpacked. Please make a request "
            "of fewer or smaller ones.",
            TABLE,
        )
    take = _picture if held else _stored
    with ThreadPoolExecutor() as pool:
        yield from zip(wanted, pool.map(lambda item: take(source, *item), wanted.items()), strict=True)


def _stored(source: Source, name: str, line: int) -> Image.Image:
    return StoredPicture(_picture(source, name, line).size, partial(_picture, source, name, line))


def _picture(source: Source, name: str, line: int) -> Image.Image:
    data = io.BytesIO(read_bounded(source, name, MAX_PICTURE))
    with _reading(line), Image.open(data, formats=("PNG",)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError("larger than any picture that we take")
        image.load()
    if image.mode != "RGB" or name != f"{PICTURES}/{digest(image)}.png":
        raise BadFile("The picture is not the one that its name says. Please export the request again.", TABLE, line)
    return image


def _unpacked(source: Source, name: str, line: int) -> int:
    """Bytes of a picture's pixels, as its head has them."""
    with source.open(name) as file, _reading(line), Image.open(file, formats=("PNG",)) as image:
        return 3 * image.width * image.height


@contextmanager
def _reading(line: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a torn PNG is a SyntaxError to Pillow
        raise BadFile("The picture cannot be read. Please export the request again.", TABLE, line) from error


def _example(line: Record, images: dict[str, Image.Image]) -> Example:
    name = line.get("file_name")
    texts: dict[str, Any] = {k: tuple(v) if k in LISTS else v for k, v in line.items() if k in TEXTS}
    if set(line) - {"side", "file_name", "region", *TEXTS} or not all(map(_is_text, _values(texts))):
        raise ValueError("not a line of ours")
    region = Region.of(line["region"]) if "region" in line else None
    return Example(image=None if name is None else images[name], region=region, **texts)


def _values(texts: Record) -> Iterator[Any]:
    for value in texts.values():
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, tuple):
            yield from value
        else:
            yield value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def digest(image: Image.Image) -> str:
    """SHA-256 of the size and the pixels of an RGB picture."""
    return hashlib.sha256(f"{image.width}x{image.height}\n".encode() + image.tobytes()).hexdigest()
