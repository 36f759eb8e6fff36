"""Take what was learned away: as one small file beside the model, or merged into an ordinary checkpoint."""

from unlearn_core.bundle.archive import MAX_TEXT
from unlearn_core.bundle.exporting import export, export_run
from unlearn_core.bundle.fingerprint import base_of, fingerprint
from unlearn_core.bundle.loading import describe, from_pretrained, load, verify
from unlearn_core.bundle.manifest import Content, Made, Manifest
from unlearn_core.bundle.merge import merge, stored_precision
from unlearn_core.bundle.sending import upload

__all__ = [
    "MAX_TEXT",
    "Content",
    "Made",
    "Manifest",
    "base_of",
    "describe",
    "export",
    "export_run",
    "fingerprint",
    "from_pretrained",
    "load",
    "merge",
    "stored_precision",
    "upload",
    "verify",
]
