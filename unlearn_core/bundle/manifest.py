"""What a bundle says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from unlearn_core.vlm.card import UNKNOWN


@dataclass(frozen=True)
class Content:
    """One file of a bundle: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Made:
    """How a result came about; what is not told stays empty.

    Args:
        method: its name. config: all its options, the seed among them.
        data: SHA-256, in hexadecimal, of each side of the request (`unlearn_core.runs.requests.digests`). Whoever has all
            examples of a side can tell that it was this one; nothing can be read from it.
        data_license: of the pictures and answers, as it was told.
    """

    method: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    data_license: str = UNKNOWN


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Args:
        format: version of the bundle format. kind: of the module, such as `cagul`.
        method, config, data, data_license: as in `Made`.
        base, revision: name of the model that the module belongs to, and its commit on the hub; empty for a plain folder.
        base_license: of that model, as its card names it, or `unknown`.
        fingerprint: of that model's weights. fitted_on: of the weights that the module was fitted on, which are others
            if a result that changes weights was attached already.
        versions: of Python and the libraries that made it. created: ISO 8601, UTC.
        report: measurements, as they were given to `export`. limits: sentences on what the result does not do.
    """

    format: int
    kind: str
    title: str
    method: str
    config: dict[str, Any]
    data: dict[str, str]
    data_license: str
    base: str
    revision: str
    base_license: str
    fingerprint: str
    fitted_on: str
    versions: dict[str, str]
    created: str
    report: dict[str, Any]
    limits: tuple[str, ...]
    files: dict[str, Content]
