"""A forget request as a folder: `request.json`, and each distinct picture once under `pictures/`."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.runs.errors import RunDamaged
from unlearn_core.runs.files import from_json, to_json, write_file
from unlearn_core.vlm.images import to_rgb

REQUEST, PICTURES = "request.json", "pictures"
SIDES = ("forget", "keep", "retain")
WRITERS = 16  # most of the time goes into waiting for the disk; 400 pictures of 128 px: 1.7 s with one, 0.7 s with 16
TEXTS = tuple(f.name for f in fields(Example) if f.name != "image")


def write_request(folder: Path, request: ForgetRequest) -> None:
    """Write into a new folder that nobody reads yet. Pictures are kept as RGB, without loss.

    Raises:
        OSError: the disk is full, or the folder must not be written to.
    """
    names = _Names()
    content = {
        "name": request.name,
        **{side: [_entry(e, names) for e in getattr(request, side)] for side in SIDES},
        "strangers": [names.of(image) for image in request.strangers],
        "refusals": request.refusals,
    }
    (folder / PICTURES).mkdir(mode=0o700)
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(
            lambda item: _write_picture(folder / PICTURES / f"{item[0]}.png", item[1]), names.images.items()
        ):
            pass
    write_file(folder / REQUEST, to_json(content))


def read_request(folder: Path) -> ForgetRequest:
    """The request with each distinct picture as one object, so that it is processed once.

    Raises:
        RunDamaged: a file is missing, cannot be read, or a picture is not the one that its name says.
    """
    try:
        content = from_json((folder / REQUEST).read_bytes())
        used = {e["image"] for side in SIDES for e in content[side]} | set(content["strangers"])
        with ThreadPoolExecutor() as pool:
            wanted = sorted(used - {None})
            images = dict(
                zip(wanted, pool.map(lambda name: _read_picture(folder / PICTURES, name), wanted), strict=True)
            )
        sides = {side: tuple(_example(e, images) for e in content[side]) for side in SIDES}
        strangers = tuple(images[name] for name in content["strangers"])
        return ForgetRequest(content["name"], **sides, strangers=strangers, refusals=tuple(content["refusals"]))
    except (OSError, ValueError, LookupError, TypeError, SyntaxError) as error:  # a torn PNG is a SyntaxError to Pillow
        raise RunDamaged(
            "The request of this run can no longer be read: a file is missing or was changed. Please start a new run."
        ) from error


def digest(image: Image.Image) -> str:
    """SHA-256 of the size and the pixels of an RGB picture."""
    return hashlib.sha256(f"{image.width}x{image.height}\n".encode() + image.tobytes()).hexdigest()


class _Names:
    """The distinct pictures of a request by the digest of their pixels; each object is looked at once."""

    def __init__(self) -> None:
        self.images: dict[str, Image.Image] = {}
        self._known: dict[int, str] = {}

    def of(self, image: Image.Image) -> str:
        if id(image) not in self._known:
            rgb = to_rgb(image)
            self._known[id(image)] = digest(rgb)
            self.images[self._known[id(image)]] = rgb
        return self._known[id(image)]


def _entry(example: Example, names: _Names) -> dict[str, Any]:
    image = None if example.image is None else names.of(example.image)
    return {**{name: getattr(example, name) for name in TEXTS}, "image": image}


def _example(entry: dict[str, Any], images: dict[str, Image.Image]) -> Example:
    return Example(**{**entry, "image": None if entry["image"] is None else images[entry["image"]]})


def _write_picture(path: Path, image: Image.Image) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        image.save(file, "PNG", compress_level=1)
        file.flush()
        os.fsync(file.fileno())


def _read_picture(folder: Path, name: str) -> Image.Image:
    with Image.open(folder / f"{name}.png", formats=("PNG",)) as image:
        image.load()
    if image.mode != "RGB" or digest(image) != name:
        raise ValueError("the picture is not the one that its name says")
    return image
