"""Take what was learned away: as one small file beside the model, or merged into an ordinary checkpoint."""

from unlearn_core.bundle.archive import MAX_TEXT, export, load, verify
from unlearn_core.bundle.fingerprint import base_of, fingerprint
from unlearn_core.bundle.manifest import Content, Manifest
from unlearn_core.bundle.merge import merge, stored_precision

__all__ = [
    "MAX_TEXT",
    "Content",
    "Manifest",
    "base_of",
    "export",
    "fingerprint",
    "load",
    "merge",
    "stored_precision",
    "verify",
]
