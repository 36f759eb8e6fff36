"""CVF + NCU, contrastive visual forgetting in the null space of what is kept (arXiv 2605.05909)."""

from __future__ import annotations

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.continual import in_sequence
from unlearn_core.methods.cvf.fit import CvfFit
from unlearn_core.methods.cvf.module import CvfModule
from unlearn_core.methods.cvf.moments import Moments, Protected
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM


class Cvf:
    name = "cvf"
    title = "CVF + NCU: change the vision tower within a null space"
    config = CvfConfig

    def start(self, vlm: VLM, request: ForgetRequest, config: CvfConfig, world: World = ALONE) -> CvfFit:
        return CvfFit(vlm, request, config, world=world)


__all__ = ["Cvf", "CvfConfig", "CvfFit", "CvfModule", "Moments", "Protected", "in_sequence"]
