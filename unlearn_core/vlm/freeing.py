"""Memory of models that nobody uses any more, back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch


def give_back() -> None:
    """Free what nobody refers to: a model's modules refer to one another in circles, which are only seen here."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim()


def trim() -> None:
    """glibc keeps freed memory for later unless it is told; other systems are left to themselves."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if release is not None:
        release(0)
