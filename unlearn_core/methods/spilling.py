"""Tensors of many pictures: those used latest in memory, the others in a file without a name. [ours]

The file is gone with whoever made it, also after a crash, and nothing but tensors is in it.
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar, cast

import torch
from safetensors.torch import load, save
from torch import Tensor

from unlearn_core.vlm.errors import StorageFailed

MEMORY = 2**30
"""Bytes of one kind of tensors that stay in memory."""
DISK = 64 * 2**30
"""Bytes of one kind of tensors that go to the disk."""

K = TypeVar("K")
V = TypeVar("V")
Parts = dict[str, Tensor]


def alone(value: Any) -> Parts:
    return {"": value}


def itself(parts: Parts) -> Any:
    return parts[""]


class Spilling(MutableMapping[K, V]):
    """A mapping whose values come back bit by bit, on the device they were on, whether they stayed in memory or not.

    A value must not be changed after it was put in.

    Args:
        apart: a value as tensors by name; values are tensors themselves if nothing else is said. together: and back.
        memory, disk: bytes that values may take in memory, and in the file. The value used last stays in memory anyway.

    Raises:
        StorageFailed: the file would grow beyond its limit, or the disk is full.
    """

    def __init__(
        self,
        apart: Callable[[V], Parts] = alone,
        together: Callable[[Parts], V] = itself,
        memory: int | None = None,
        disk: int | None = None,
    ) -> None:
        self._apart, self._together = apart, together
        self._memory = MEMORY if memory is None else memory
        self._disk = DISK if disk is None else disk
        self._held: OrderedDict[K, Parts] = OrderedDict()
        self._places: dict[K, tuple[int, int, dict[str, torch.device]] | None] = {}
        self._bytes = self._written = 0
        self._file: Any = None

    def __setitem__(self, key: K, value: V) -> None:
        if key in self._places:
            del self[key]
        self._places[key] = None
        self._hold(key, self._apart(value))

    def __getitem__(self, key: K) -> V:
        if key in self._held:
            self._held.move_to_end(key)
        else:
            self._hold(key, self._read(key))
        return self._together(self._held[key])

    def __delitem__(self, key: K) -> None:
        del self._places[key]
        self._bytes -= _nbytes(self._held.pop(key, {}))

    def __iter__(self) -> Iterator[K]:
        return iter(tuple(self._places))

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def _hold(self, key: K, parts: Parts) -> None:
        self._held[key] = parts
        self._bytes += _nbytes(parts)
        while self._bytes > self._memory and len(self._held) > 1:
            oldest, gone = self._held.popitem(last=False)
            self._bytes -= _nbytes(gone)
            if self._places[oldest] is None:
                self._write(oldest, gone)

    def _write(self, key: K, parts: Parts) -> None:
        data = save({name: t.detach().cpu().contiguous() for name, t in parts.items()})
        if self._written + len(data) > self._disk:
            raise StorageFailed(
                f"What is computed of these pictures takes more than {self._disk / 2**30:.0f} GiB on the disk. "
                "Please use fewer or smaller pictures."
            )
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="features-")  # noqa: SIM115  it lives as long as this does
            if os.pwrite(self._file.fileno(), data, self._written) < len(data):
                raise OSError("no room")
        except OSError as error:
            raise StorageFailed(
                "What is computed of the pictures could not be put on the disk. Please free some space and start again."
            ) from error
        self._places[key] = self._written, len(data), {name: t.device for name, t in parts.items()}
        self._written += len(data)

    def _read(self, key: K) -> Parts:
        at, length, devices = cast("tuple[int, int, dict[str, torch.device]]", self._places[key])
        parts = load(os.pread(self._file.fileno(), length, at))
        return {name: parts[name].to(device) for name, device in devices.items()}


def _nbytes(parts: Parts) -> int:
    return sum(t.nbytes for t in parts.values())
