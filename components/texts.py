"""What the pages say of the methods: two lines each, and what the result does not do. Shown on the page and put into bundles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class About:
    """`does` in two plain sentences, `limits` as whole sentences that name nobody."""

    does: str
    limits: tuple[str, ...]


_PROBED = "Checked with the probes shown here only: other questions, pictures or attacks may still bring an answer out."
_SHARED = (_PROBED, "Questions asked by name, without a picture, are answered as before.")
_BASELINE = (
    "Changes the language model, so answers about anything may change, also those by name without a picture: compare them.",
    "The original model is not changed: whoever runs it without the module has the knowledge back.",
    _PROBED,
)

ABOUT = {
    "cagul": About(
        "A gate recognises pictures of the marked people; only for those, the picture tokens that the question looks at least are "
        "rewritten. All weights stay as they are, and every other picture is answered exactly as before.",
        (
            "The knowledge is still in the weights: whoever removes the module has it back.",
            "All hangs on the gate: a crop, a flip or noise may slip past it, and everybody in a flagged picture is affected.",
            *_SHARED,
        ),
    ),
    "cvf": About(
        "The vision tower and the projector learn to see the marked people as strangers. Each update is held back where retained "
        "pictures would change (the null space), and the language model stays as it is.",
        (
            "The original model is not changed: whoever runs it without the module has the knowledge back.",
            "What is retained is protected to the measured degree only: compare it before you rely on it.",
            *_SHARED,
        ),
    ),
    "ga": About(
        "Small additions to the language model (LoRA) make the answers to forget less likely, step by step. Nothing holds the rest: "
        "it often ends in babble, which only looks like forgetting.",
        _BASELINE,
    ),
    "gd": About(
        "Makes the answers to forget less likely and, at the same time, repeats the true answers of what is kept.",
        _BASELINE,
    ),
    "kl": About(
        "Makes the answers to forget less likely and holds the answers of what is kept close to the original model's.",
        _BASELINE,
    ),
    "idk": About(
        "Teaches a refusal for what is to be forgotten and repeats the true answers of what is kept.",
        _BASELINE,
    ),
    "npo": About(
        "Makes the answers to forget less likely than they were, with a push that fades as they become so, and repeats the true "
        "answers of what is kept.",
        _BASELINE,
    ),
}


def people(names: list[str]) -> str:
    """A few names, and how many more."""
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} others"


def moment(iso: str) -> str:
    """A time in UTC as the clock on the wall has it."""
    return f"{datetime.fromisoformat(iso).astimezone():%d %b %H:%M}"


def lasting(seconds: float) -> str:
    """A span of time as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
