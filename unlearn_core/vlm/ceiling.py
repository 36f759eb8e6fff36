"""A limit on the memory of the whole process, for whoever shares a machine. [ours]

The system's own is used (RLIMIT_DATA): who asks for more is refused, which becomes a sentence or the same work with less at
a time (`room`), and all else goes on. Two others would be worse. RLIMIT_AS counts addresses, of which drivers of GPUs reserve
far more than they use, and weights that are read in place from their file. To watch what is resident comes too late: by then
it is there, and nothing is left but to kill somebody.
"""

from __future__ import annotations

import mmap
import re
import resource
from pathlib import Path

from unlearn_core.vlm.errors import BadOption

SPARE = 2**28
"""Bytes that must be left above what is in use: libraries and threads need some before anything is loaded."""


def limit_memory(gigabytes: float) -> None:
    """Bound what this process may take of main memory, for good. Files that are only read and memory of GPUs do not count.

    Raises:
        BadOption: that is less than what is in use already, or this system keeps no such limit.
    """
    least = _in_use() + SPARE
    if not 1e9 * gigabytes >= least:
        raise BadOption(
            f"The memory limit must be at least {least / 1e9:.1f} GB: so much is needed before a model is loaded."
        )
    most = int(1e9 * gigabytes)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    if _can_have(most):
        raise BadOption(
            "This system does not keep a memory limit. Please use that of a container or a service instead."
        )


def below_limit() -> int | None:
    """Bytes that can still be had; None without a limit."""
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if most == resource.RLIM_INFINITY else max(0, most - _in_use())


def _in_use() -> int:
    """Bytes that count. 0 where the system does not tell, as it then keeps no limit either."""
    try:
        found = re.search(r"^VmData:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return 0 if found is None else 1024 * int(found[1])


def _can_have(size: int) -> bool:
    """Whether so much is given; nothing of it is used."""
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return False
    return True
