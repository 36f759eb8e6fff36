"""Options of the baselines: what all share, what those share that also train on what stays, and NPO's own."""

from __future__ import annotations

from dataclasses import dataclass

from unlearn_core.methods.options import check_options, option


@dataclass(frozen=True)
class BaselineConfig:
    """Options of every baseline. Raises BadOption for values out of range."""

    steps: int = option(
        100,
        "Steps",
        "Optimiser steps; with the stop rule 'forgotten', the most that are done. [ours]",
        low=1,
        high=20000,
        step=10,
        advanced=False,
    )
    rate: float = option(
        1e-4,
        "Learning rate",
        "Peak learning rate of AdamW: linear warm-up over 6 % of the steps, then a cosine to 0. [benchmarks: 1e-5 to 1e-4]",
        low=1e-7,
        high=1.0,
        advanced=False,
    )
    stop: str = option(
        "steps",
        "Stop",
        "steps: after all steps. forgotten: at the first check where few enough forget questions are still answered with the truth. [ours]",
        choices=("steps", "forgotten"),
        advanced=False,
    )
    stop_at: float = option(
        0.05,
        "Forgotten at",
        "Share of checked forget questions still answered with the truth at which the stop rule 'forgotten' ends the fit, 0 to 1. [ours]",
        low=0.0,
        high=1.0,
        step=0.01,
    )
    rank: int = option(
        16,
        "LoRA rank",
        "Rank r of the change of each linear layer of the language model. [benchmarks: 16 to 128]",
        low=1,
        high=1024,
        step=1,
    )
    alpha: int = option(
        32, "LoRA alpha", "The change of each layer is scaled by alpha / rank. [ours]", low=1, high=4096, step=1
    )
    batch: int = option(8, "Forget questions", "Questions of the forget set per step. [ours]", low=1, high=512, step=1)
    seed: int = option(0, "Seed", "Seed of sampling and initialisation.", low=0, high=2**31 - 1, step=1)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class RetainConfig(BaselineConfig):
    """Options of the baselines that also train on what stays."""

    retain_batch: int = option(
        8, "Retained questions", "Questions about what stays per step. [ours]", low=1, high=512, step=1
    )


@dataclass(frozen=True)
class NpoConfig(RetainConfig):
    """Options of NPO."""

    beta: float = option(
        0.1,
        "Beta",
        "How soon an answer that has become unlikely is left alone; the smaller, the closer to gradient ascent. [paper: arXiv 2404.05868]",
        low=1e-4,
        high=100.0,
        advanced=False,
    )
