"""Options of CVF + NCU."""

from __future__ import annotations

from dataclasses import dataclass

from unlearn_core.methods.options import check_options, option


@dataclass(frozen=True)
class CvfConfig:
    """Defaults follow the paper where it says something; the rest is ours. Raises BadOption for values out of range."""

    steps: int = option(80, "Steps", "Optimiser steps. [ours]", low=1, high=20000, step=10, advanced=False)
    null_space: str = option(
        "soft",
        "Null space",
        "How updates are held off what retained pictures use: soft slows the used directions down, hard lets only unused ones change, ratio those with most forget energy per retained energy (keeps most where there are only moments), off is the ablation. [paper: constraint; ours: soft, ratio]",
        choices=("soft", "hard", "ratio", "off"),
        advanced=False,
    )
    drift_budget: float = option(
        0.05,
        "Drift budget",
        "Most that a layer's retained outputs may change, relative root mean square; predicted from stored moments and enforced at each step. [ours]",
        low=1e-6,
        high=10.0,
        advanced=False,
    )
    reference: str = option(
        "stranger",
        "Look away to",
        "Where features of forgotten pictures are pulled: stranger (people the model never saw), blurred (the same picture with the marked region blurred, or all of it where none is marked), base (a checkpoint that never learned them). [ours]",
        choices=("stranger", "blurred", "base"),
        advanced=False,
    )
    base_model: str = option(
        "", "Base checkpoint", "Folder or hub id of the checkpoint for the reference 'base'. [ours]"
    )
    moments: str = option(
        "",
        "Stored moments",
        "Folder with moments of what was kept and forgotten before; they join the null space, and stand for retained pictures where there are none. [paper: continual mode; ours: form]",
    )
    reach: float = option(
        0.3,
        "Reach",
        "Hard null space: size of the change beside the weight, 0 to 10, for which the free directions must keep the drift budget. [ours]",
        low=1e-3,
        high=10.0,
    )
    directions: int = option(
        32, "Directions", "Ratio null space: how many directions per layer may change. [ours]", low=1, high=4096, step=1
    )
    soft_level: float = option(
        0.1,
        "Soft level",
        "Soft null space: energy, in units of the mean, at which a direction moves at half speed. [ours]",
        low=1e-6,
        high=1e3,
    )
    train: str = option(
        "visual",
        "What is trained",
        "visual: vision tower and projector. projector and everything (with the language model, unconstrained) are the paper's ablations. [paper]",
        choices=("visual", "projector", "everything"),
    )
    blocks: int = option(
        2,
        "Trained blocks",
        "How many of the vision tower's last blocks are trained beside the projector; -1 trains all. [ours]",
        low=-1,
        high=200,
        step=1,
    )
    rate: float = option(
        1.5e-3, "Learning rate", "Peak learning rate of Adam, one cosine cycle. [ours]", low=1e-7, high=1.0
    )
    temperature: float = option(0.2, "Temperature", "Temperature of the contrastive loss. [ours]", low=0.01, high=10.0)
    pool: str = option(
        "mean+std",
        "Pooling",
        "What of a picture's visual tokens the contrastive loss compares: their mean and standard deviation, or the mean alone. [ours]",
        choices=("mean+std", "mean"),
    )
    contrast_weight: float = option(
        1.0,
        "Weight of contrast",
        "Weight of the contrastive loss on visual features. [paper: loss; ours: weight]",
        low=0.0,
        high=1000.0,
    )
    answer_weight: float = option(
        4.0,
        "Weight of answers",
        "Weight of the answers through the frozen language model; 0 leaves features alone. [ours]",
        low=0.0,
        high=1000.0,
    )
    retain_weight: float = option(
        300.0,
        "Weight of retention",
        "Weight of keeping retained visual tokens where they were. [ours]",
        low=0.0,
        high=10000.0,
    )
    company: int = option(
        0,
        "Pictures in company",
        "How many further pictures are made in which somebody retained stands beside a forgotten subject, who is unlearned there too; 0 is off. They come on top of what a step draws, and want more steps: with 60 and 140 steps the demo gives 4 to 12 % of the facts in company instead of 12 to 16 %, in nearly twice the time. [ours]",
        low=0,
        high=10000,
        step=1,
    )
    forget_batch: int = option(
        8, "Forget pictures", "Pictures of the forget set per step. [ours]", low=1, high=512, step=1
    )
    retain_batch: int = option(16, "Retained pictures", "Retained pictures per step. [ours]", low=1, high=1024, step=1)
    questions: int = option(6, "Questions", "Questions per step for the answer term. [ours]", low=1, high=512, step=1)
    retain_questions: int = option(
        6,
        "Retained questions",
        "Questions about retained pictures per step, answered through the frozen language model. [ours]",
        low=0,
        high=512,
        step=1,
    )
    rank: int = option(
        0,
        "Rank of what is stored",
        "Each layer's change is cut to this rank when it is stored; 0 stores it whole. [ours]",
        low=0,
        high=4096,
        step=1,
    )
    seed: int = option(0, "Seed", "Seed of sampling.", low=0, high=2**31 - 1, step=1)

    def __post_init__(self) -> None:
        check_options(self)
