"""Ways to forget. Each is a folder with its options, its fit and its module."""

from __future__ import annotations

from pathlib import Path

from unlearn_core.methods.base import Fit, Method, Module, Step
from unlearn_core.methods.baselines import BASELINE_METHODS, LoraModule
from unlearn_core.methods.cagul import Cagul, CagulModule
from unlearn_core.methods.cvf import Cvf, CvfModule
from unlearn_core.methods.saving import read_module

METHODS: dict[str, Method] = {method.name: method for method in (Cagul(), Cvf())}
BASELINES: dict[str, Method] = {method.name: method for method in BASELINE_METHODS}
"""What methods are compared with; they forget in the language model and are offered for comparison only."""
ALL_METHODS = METHODS | BASELINES
_MODULES = {module.kind: module for module in (CagulModule, CvfModule, LoraModule)}


def module_from_pretrained(folder: Path) -> Module:
    """Read a saved module. Raises KeyError for a kind that is not known here, and whatever reading raises."""
    kind, tensors, settings = read_module(folder)
    return _MODULES[kind].restore(tensors, settings)


__all__ = ["ALL_METHODS", "BASELINES", "METHODS", "Fit", "Method", "Module", "Step", "module_from_pretrained"]
