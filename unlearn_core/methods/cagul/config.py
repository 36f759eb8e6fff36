"""Options of CAGUL."""

from __future__ import annotations

from dataclasses import dataclass

from unlearn_core.methods.cagul.layers import MIDDLE, parse_layers
from unlearn_core.methods.options import check_options, option


@dataclass(frozen=True)
class CagulConfig:
    """Defaults follow the paper where it says something; the rest is ours. Raises BadOption for values out of range."""

    steps: int = option(
        120, "Steps", "Optimiser steps of the token encoder. [ours]", low=1, high=5000, step=10, advanced=False
    )
    ratio: float = option(
        0.25,
        "Share of tokens changed",
        "k / n: which share of the visual tokens is transformed, 0 to 1. [ours]",
        low=0.01,
        high=1.0,
        step=0.01,
        advanced=False,
    )
    select: str = option(
        "lowest",
        "Which tokens",
        "Tokens by the attention of the question: lowest is the paper's choice, the others are the ablation. [paper]",
        choices=("lowest", "highest", "random"),
        advanced=False,
    )
    false_alarms: float = option(
        0.01,
        "False alarms of the gate",
        "Share of held-out retained pictures that the gate may flag, 0.001 to 0.5. [ours]",
        low=0.001,
        high=0.5,
        step=0.001,
        advanced=False,
    )
    target: str = option(
        "refusal",
        "Say instead",
        "refusal: a sentence from the refusal list. stranger: what the frozen model itself says about people it never saw. [ours]",
        choices=("refusal", "stranger"),
    )
    layer: str = option(
        MIDDLE,
        "Attention layers",
        "Decoder layers whose attention ranks the tokens: 'middle', or numbers counted from 0, such as '2' or '1,2'; of several, the mean. [ours]",
    )
    width: int = option(
        192, "Encoder width", "Width of the token encoder's bottleneck. [ours]", low=4, high=8192, step=4
    )
    gate_width: int = option(
        0,
        "Gate width",
        "Width of the hidden layer of each subject's gate; 0 means a linear gate. [ours]",
        low=0,
        high=4096,
        step=1,
    )
    gate_views: int = option(
        4,
        "Gate views",
        "Augmented views of each picture of the forget set that the gate learns from or is measured on. [ours]",
        low=0,
        high=50,
        step=1,
    )
    hard_negatives: int = option(
        8,
        "Hard negatives",
        "How many of the retained subjects that look most like the forgotten ones the gate sees in further augmented views. [ours]",
        low=0,
        high=1000,
        step=1,
    )
    batch: int = option(8, "Batch", "Questions per step. [ours]", low=1, high=512, step=1)
    rate: float = option(
        2e-3, "Learning rate", "Peak learning rate of AdamW, one cosine cycle. [ours]", low=1e-6, high=1.0
    )
    keep_weight: float = option(
        1.0,
        "Weight of what stays",
        "Weight of questions about the forgotten that must stay right, such as what can be seen. [ours]",
        low=0.0,
        high=100.0,
    )
    retain_weight: float = option(
        0.0,
        "Weight of retained pictures",
        "Weight a of retained pictures sent through the encoder; only false alarms profit. [ours]",
        low=0.0,
        high=100.0,
    )
    kl_weight: float = option(
        0.0, "Weight of KL", "Weight b of KL to the frozen model on retained pictures. [ours]", low=0.0, high=100.0
    )
    rest_weight: float = option(
        100.0,
        "Weight of the rest",
        "Where a region is marked: weight of making the picture look as it does with the region blurred, so that a bystander stays; then all tokens go through the encoder, whatever the share that is changed otherwise. [ours]",
        low=0.0,
        high=10000.0,
    )
    adversary: float = option(
        0.0,
        "Weight of the adversary",
        "A probe reads from the transformed tokens who is shown, and its gradient, reversed and times this weight, trains the encoder; 0 is off, tens are strong. [ours]",
        low=0.0,
        high=1000.0,
    )
    seed: int = option(0, "Seed", "Seed of sampling and initialisation.", low=0, high=2**31 - 1, step=1)

    def __post_init__(self) -> None:
        check_options(self)
        parse_layers(self.layer)
