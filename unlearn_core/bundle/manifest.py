"""What a bundle says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Content:
    """One file of a bundle: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Args:
        format: version of the bundle format. kind: of the module, such as `cagul`.
        base, fingerprint: name and `fingerprint` of the model that the module belongs to.
        versions: of Python and the libraries that made it. created: ISO 8601, UTC.
        report: measurements, as they were given to `export`. limits: sentences on what the result does not do.
    """

    format: int
    kind: str
    title: str
    base: str
    fingerprint: str
    versions: dict[str, str]
    created: str
    report: dict[str, Any]
    limits: tuple[str, ...]
    files: dict[str, Content]
