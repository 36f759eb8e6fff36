"""A suite: every question of a full evaluation, in named splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.status import Form, Status, status
from unlearn_core.evaluation.suite.splits import Split
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.images import to_rgb


@dataclass(frozen=True, eq=False)
class Suite:
    """All questions of an evaluation.

    Args:
        splits: what there is; a split that cannot be made from the data at hand is missing, not empty.
        names: what each subject is called, for attacks by name.
        gallery: pictures of each subject, for attacks that need more pictures than there are questions.
        refusals: sentences that count as refusals beside those that the rules know.
        form: how strictly answers are read; multiple choice is read as such everywhere.

    Raises:
        BadRequest: there is nothing to forget in it.
    """

    name: str
    splits: Mapping[Split, tuple[Probe, ...]]
    names: Mapping[str, str] = field(default_factory=dict)
    gallery: Mapping[str, tuple[Image.Image, ...]] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    form: Form = Form.FREE

    def __post_init__(self) -> None:
        if not self.splits.get(Split.FORGET):
            raise BadRequest("There is no question to forget in this suite. Please mark at least one.")

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Split after split."""
        return tuple(probe for group in self.splits.values() for probe in group)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Who is to be forgotten."""
        return tuple(
            dict.fromkeys(p.example.subject for p in self.splits[Split.FORGET] if p.example.subject is not None)
        )

    def gives_away(self, probe: Probe, answer: str) -> bool:
        """Whether an answer states the truth, in whatever words: what counts for an attack, also where the form is strict."""
        form = Form.FREE if probe.options is None else Form.CHOICE
        return status(answer, probe.truth, self.refusals, form, probe.options) is Status.CORRECT

    def status(self, probe: Probe, answer: str) -> Status:
        """Where an answer to a probe stands."""
        form = self.form if probe.options is None else Form.CHOICE
        return status(answer, probe.truth, self.refusals, form, probe.options)

    def digest(self) -> str:
        """SHA-256 in hexadecimal over splits, questions, given answers and pixels: the same suite has the same digest."""
        return digest_of({split.value: group for split, group in self.splits.items()})


def digest_of(groups: Mapping[str, Sequence[Probe]]) -> str:
    """SHA-256 in hexadecimal over names of groups, questions, given answers and pixels."""
    out, pictures = hashlib.sha256(), {}
    for name, group in groups.items():
        for probe in group:
            image = probe.example.image
            if image is not None and id(image) not in pictures:
                pictures[id(image)] = pixel_digest(image)
            shown = None if image is None else pictures[id(image)]
            out.update(repr((name, probe.question, probe.candidates(), shown)).encode())
    return out.hexdigest()


def pixel_digest(image: Image.Image) -> str:
    """SHA-256 in hexadecimal over size and pixels of a picture in RGB."""
    rgb = to_rgb(image)
    return hashlib.sha256(f"{rgb.width}x{rgb.height}\n".encode() + rgb.tobytes()).hexdigest()
