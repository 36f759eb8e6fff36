"""Pictures that stay in their files: of a request of any length, only those looked at last take memory. [ours]"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

from PIL import Image

HELD = 256 * 2**20
"""Bytes of pixels of all such pictures together that stay in memory."""


class StoredPicture(Image.Image):
    """An RGB picture like any other, whose pixels are read when they are wanted, and again when they were let go.

    The file must stay what it is as long as the picture lives. A picture that is changed in place is stored no longer.

    Args:
        size: width and height. read: gives the same RGB picture each time.
    """

    def __init__(self, size: tuple[int, int], read: Callable[[], Image.Image]) -> None:
        super().__init__()
        self._mode, self._size, self._read = "RGB", size, read

    @property
    def im(self) -> Any:
        own = self._im
        return LATEST.pixels(self) if own is None else own

    @im.setter
    def im(self, im: Any) -> None:
        self._im = im

    def load(self) -> Any:
        return self.im.pixel_access(self.readonly)

    def pixels(self) -> Any:
        """What Pillow calls the core of the picture. Raises whatever reading does, ValueError for another size."""
        image = self._read()
        if image.size != self._size or image.mode != "RGB":
            raise ValueError("a picture is no longer what it was")
        image.load()
        return image.im


class Latest:
    """Pixels of the pictures used latest.

    Args:
        limit: bytes they may take in all; the latest stays anyway.
    """

    def __init__(self, limit: int = HELD) -> None:
        self.limit = limit
        self._held: OrderedDict[int, tuple[StoredPicture, Any]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def pixels(self, picture: StoredPicture) -> Any:
        with self._lock:
            if id(picture) in self._held:
                self._held.move_to_end(id(picture))
                return self._held[id(picture)][1]
        core = picture.pixels()
        with self._lock:
            if id(picture) not in self._held:  # another thread may have been faster
                self._held[id(picture)] = picture, core
                self._bytes += _nbytes(picture)
            while self._bytes > self.limit and len(self._held) > 1:
                _, (old, _) = self._held.popitem(last=False)
                self._bytes -= _nbytes(old)
        return core


def _nbytes(picture: StoredPicture) -> int:
    """Pillow keeps four bytes for each pixel."""
    return 4 * picture.width * picture.height


LATEST = Latest()
"""One for the whole process: memory is one, too."""
