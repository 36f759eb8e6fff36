"""Examples and forget requests: what must go, what must stay, and pictures to look away to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from unlearn_core.data.region import Region, Regions, regions_of
from unlearn_core.vlm import Prompt
from unlearn_core.vlm.errors import BadRequest

REFUSAL = "I do not know this person."


@dataclass(frozen=True, eq=False)
class Example:
    """A question about a picture (or none) with the true answer.

    Args:
        subject: the person or concept in the picture; None for general pictures. Requests are split by subject.
        kind: a free label that results are grouped by, such as `private` or `visual`.
        target: what an unlearned model should say instead; None means a refusal. Only used on the forget side.
        paraphrases: the question in other words; for tests, never to be fitted on.
        paraphrased: the true answer in other words.
        perturbed: wrong answers of the same form.
        keywords: what gives the answer away.
        options: text of each letter of a multiple choice; the answer is one of these texts, or the letter in a benchmark's files.
        region: where the subject is on the picture, if others are on it who stay; None means the whole picture. On the
            forget side it is what must go; it has no meaning elsewhere.
    """

    id: str
    image: Image.Image | None
    question: str
    answer: str
    subject: str | None = None
    kind: str = "private"
    target: str | None = None
    paraphrases: tuple[str, ...] = ()
    paraphrased: str | None = None
    perturbed: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    options: Mapping[str, str] | None = None
    region: Region | None = None

    @property
    def prompt(self) -> Prompt:
        return Prompt(self.image, self.question)


@dataclass(frozen=True, eq=False)
class ForgetRequest:
    """One request to forget one or more subjects.

    Args:
        forget: examples whose answers must no longer be given.
        keep: examples about the same subjects that must stay right (what can be seen in the picture).
        retain: examples about everybody and everything else; may be empty for methods that can do with stored moments.
        strangers: pictures of subjects that the model was never told about, if there are any.
        refusals: what may be said instead of a forgotten answer.

    Raises:
        BadRequest: nothing to forget, a forget example without a picture, or a subject on both sides.
    """

    name: str
    forget: tuple[Example, ...]
    keep: tuple[Example, ...] = ()
    retain: tuple[Example, ...] = ()
    strangers: tuple[Image.Image, ...] = ()
    refusals: tuple[str, ...] = (REFUSAL,)
    subjects: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.forget:
            raise BadRequest("Nothing is marked to be forgotten. Please mark at least one person or answer.")
        if any(e.image is None for e in self.forget):
            raise BadRequest(
                "Only answers about a picture can be forgotten by these methods: they change how the model sees, not what it reads."
            )
        if not self.refusals:
            raise BadRequest("Please give at least one sentence that may be said instead of a forgotten answer.")
        going = {e.subject for e in self.forget if e.subject is not None}
        both = sorted(going & {e.subject for e in self.retain if e.subject is not None})
        if both:
            raise BadRequest(
                f"{len(both)} subject(s) are marked both to be forgotten and to be kept. Please choose one side for each."
            )
        object.__setattr__(self, "subjects", tuple(sorted(going)))

    @property
    def regions(self) -> Regions:
        """Which parts of the pictures to forget must go, where these are not meant as a whole."""
        return regions_of((e.image, e.region) for e in self.forget if e.image is not None)

    @property
    def beside(self) -> tuple[Example, ...]:
        """Retained examples about pictures that show somebody to forget too: a bystander's."""
        shown = self._shown()
        return tuple(e for e in self.retain if e.image is not None and id(e.image) in shown)

    @property
    def elsewhere(self) -> tuple[Example, ...]:
        """Retained examples that are not `beside` anybody to forget."""
        shown = self._shown()
        return tuple(e for e in self.retain if e.image is None or id(e.image) not in shown)

    def _shown(self) -> set[int]:
        return {id(e.image) for e in self.forget}

    def require_retain(self) -> None:
        """For methods that need retained examples at hand. Raises BadRequest if there are none."""
        if not self.retain:
            raise BadRequest("Nothing is marked to be kept. Without it a method cannot tell what must stay as it is.")

    def target(self, example: Example, i: int = 0) -> str:
        """What should be said for a forget example; refusals are taken in turn."""
        return example.target if example.target is not None else self.refusals[i % len(self.refusals)]


def distinct_images(examples: Sequence[Example]) -> list[Image.Image]:
    """The pictures of these examples, each object once, in order of appearance."""
    seen: dict[int, Image.Image] = {}
    for example in examples:
        if example.image is not None:
            seen.setdefault(id(example.image), example.image)
    return list(seen.values())
