"""Requests that arrive one after another: each fit starts from the last weights and protects what was forgotten before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.fit import CvfFit
from unlearn_core.methods.cvf.moments import Protected
from unlearn_core.vlm import VLM


def in_sequence(
    vlm: VLM, requests: Iterable[ForgetRequest], config: CvfConfig, *, protect: bool = True
) -> Iterator[tuple[CvfFit, VLM]]:
    """Carry out requests in order; gives each fit, done, and the model that has forgotten all so far.

    Nothing of an earlier request is replayed; its moments join the null space of the next [paper]. The pictures that a
    request retains are its own affair: none but the stored moments if it has none.

    Args:
        protect: False drops the moments of earlier requests (the ablation).
    """
    protected: Protected | None = None
    for request in requests:
        fit = CvfFit(vlm, request, config, protected)
        for _ in fit:
            pass
        if protect:
            protected = fit.protected()
        vlm = fit.module.attach(vlm)
        yield fit, vlm
