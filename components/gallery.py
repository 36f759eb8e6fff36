"""Pictures that can be asked about and subjects that can be forgotten.

`Collection` is what the pages need of any source of pictures. `DemoWorld` draws the fictitious people that the embedded model
was taught; `Uploads` is for models that come without a collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from PIL import Image

from unlearn_core.data.example import ForgetRequest
from unlearn_core.demo import recorded, world
from unlearn_core.demo import request as demo_request
from unlearn_core.demo.build import VOCABULARY
from unlearn_core.demo.suite import demo_suite
from unlearn_core.evaluation.progress import Job
from unlearn_core.evaluation.suite import Suite
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.images import open_image
from unlearn_core.vlm.presets import RETAIN_ONLY


@dataclass(frozen=True)
class Ask:
    """A question that can be asked of a picture, with its true answer.

    `label` names it in a word or two. `secret` marks an answer that is forgotten when the subject is.
    """

    label: str
    group: str
    question: str
    answer: str
    secret: bool = False


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture on the page. `ref` finds it again; `subject` is whom a forget request would name, if anybody."""

    ref: str
    title: str
    image: Image.Image | None
    asks: tuple[Ask, ...] = ()
    subject: str | None = None


@dataclass(frozen=True, eq=False)
class Card:
    """A picture to choose."""

    id: str
    label: str
    group: str
    image: Image.Image | None


@dataclass(frozen=True)
class Recorded:
    """A result that comes with a collection.

    Args:
        subject: whom it forgets. bundle: the file. how: when and how it came about, in a sentence.
    """

    subject: str
    bundle: Path
    how: str


class Collection(Protocol):
    about: str
    """One sentence on what the model can be asked, shown beside an upload."""

    def cards(self) -> tuple[Card, ...]:
        """Everything that can be looked at; `id` is a ref."""
        ...

    def subjects(self) -> tuple[Card, ...]:
        """Everybody who can be forgotten; `id` names the subject."""
        ...

    def shown(self, ref: str) -> Shown: ...

    def another(self, ref: str) -> str | None:
        """The ref of another picture of the same subject, if there is one."""
        ...

    def name(self, subject: str) -> str: ...

    def subject(self, subject: str) -> Shown:
        """A picture of a subject that can be forgotten."""
        ...

    def stays(self, subjects: Sequence[str]) -> tuple[str, ...]:
        """What a request about these subjects leaves as it is, in plain sentences."""
        ...

    def request(self, subjects: Sequence[str]) -> Job[ForgetRequest]: ...

    def suite(self, request: ForgetRequest, *, thorough: bool) -> Suite | None:
        """Questions about a request on pictures that no fit saw; None where it is about people of somebody's own."""
        ...

    def retain_only(self, subjects: Sequence[str]) -> Path | None:
        """Folder of a model that was taught the same but for these subjects, if there is one."""
        ...

    def recorded(self) -> Recorded | None:
        """Somebody who was forgotten beforehand, to be shown at once."""
        ...


_GROUPS = {
    "private": "Private facts",
    "name": "Private facts",
    "describe": "Private facts",
    "visual": "What can be seen",
    "general": "What can be seen",
    "text": "Asked by name",
    "world": "General knowledge",
}
UPLOAD = "upload"
UPLOAD_SIDE = 2048
"""Uploads are kept at most this wide and high, in pixels, so that a session cannot hold gigabytes."""
WHO = "Who is this person?"
"""What is asked of a picture when nothing else was."""
STRANGERS = tuple(range(0, 16, 2))
SCENES = 8
NO_PICTURE = "words"


class DemoWorld:
    """The drawn people of the embedded model, photographs that it was never trained on, strangers and scenes.

    Refs are `p07@3`: somebody or something, and the number of the photograph.
    """

    about = (
        "The demo model knows its own drawn world only. It will answer about a photograph, but it has never seen one. "
        "To ask about photographs, start the studio with a model such as LLaVA: --model FOLDER."
    )

    @cached_property
    def _subjects(self) -> tuple[Card, ...]:
        return tuple(Card(p.id, p.name, "", self.subject(p.id).image) for p in world.people())

    def cards(self) -> tuple[Card, ...]:
        people = [replace(card, id=f"{card.id}@0", group="People the model knows") for card in self._subjects]
        strangers = [
            self._card(f"s{i}", f"Stranger {k}", "Strangers it was never told about")
            for k, i in enumerate(STRANGERS, 1)
        ]
        scenes = [self._card(f"scene{i}", f"Scene {i + 1}", "Scenes") for i in range(SCENES)]
        return (*people, *strangers, *scenes, Card(f"{NO_PICTURE}@0", "No picture", "Words only", None))

    def subjects(self) -> tuple[Card, ...]:
        return self._subjects

    def shown(self, ref: str) -> Shown:
        what, shot = self._parse(ref)
        seed = demo_request.TEST_SEEDS + shot
        if what == NO_PICTURE:
            asked = [*world.by_name(world.people()[shot % world.PEOPLE], seed), *world.world_facts()[:6]]
            return Shown(ref, "No picture", None, tuple(_ask(q) for q in asked))
        if what.startswith("scene"):
            picture = world.shapes(seed + 1000 * int(what[5:]))
            return Shown(ref, "A scene", picture.image, tuple(_ask(q) for q in picture.questions))
        who = world.person(what)
        picture = world.photograph(who, seed)
        return Shown(
            ref,
            who.name or "A stranger",
            picture.image,
            tuple(map(_ask, picture.questions)),
            what if who.known else None,
        )

    def another(self, ref: str) -> str | None:
        what, shot = self._parse(ref)
        return f"{what}@{shot + 1}"

    def name(self, subject: str) -> str:
        try:
            return world.person(subject).name
        except KeyError:
            return subject

    def subject(self, subject: str) -> Shown:
        self._check([subject])
        return self.shown(f"{subject}@0")

    def stays(self, subjects: Sequence[str]) -> tuple[str, ...]:
        return (
            f"Everything about the other {world.PEOPLE - len(subjects)} people.",
            "What can be seen in any picture, also of the marked people: glasses, hats, colours.",
            "Scenes and their shapes, and what the model says of strangers.",
            "Answers to questions without a picture, also about the marked people by name: both methods change how the model sees, not what it reads.",
        )

    def request(self, subjects: Sequence[str]) -> Job[ForgetRequest]:
        self._check(subjects)
        return demo_request.drawing(subjects)

    def suite(self, request: ForgetRequest, *, thorough: bool) -> Suite | None:
        if not self._known().issuperset(request.subjects) or not request.subjects:
            return None
        return demo_suite(request) if thorough else demo_suite(request, pictures=1, others=2)

    def retain_only(self, subjects: Sequence[str]) -> Path | None:
        return RETAIN_ONLY if subjects and set(subjects) <= set(world.FORGET_SPLIT) else None

    def recorded(self) -> Recorded | None:
        made = recorded.record()
        how = f"CAGUL with its default options, fitted once on {made.made}. On other photographs it still answers {recorded.STILL}."
        return Recorded(made.subject, recorded.FORGOTTEN / recorded.BUNDLE, how)

    def _card(self, what: str, label: str, group: str) -> Card:
        return Card(f"{what}@0", label, group, self.shown(f"{what}@0").image)

    def _check(self, subjects: Sequence[str]) -> None:
        if not self._known().issuperset(subjects):
            raise BadRequest("Somebody named here is not in this collection. Please choose again.")

    @staticmethod
    def _known() -> set[str]:
        return {p.id for p in world.people()}

    @staticmethod
    def _parse(ref: str) -> tuple[str, int]:
        what, _, shot = ref.partition("@")
        known = (
            what == NO_PICTURE
            or (what[:5] == "scene" and what[5:].isdigit())
            or (what[:1] in "ps" and what[1:].isdigit())
        )
        if not known or not shot.isdigit() or (what[0] == "p" and int(what[1:]) >= world.PEOPLE):
            raise BadRequest("There is no such picture in this collection. Please choose another one.")
        return what, int(shot)


NOBODY = "This model comes without a collection of people. Please bring your own pictures on the page Forget."


class Uploads:
    """No collection: only pictures that people bring."""

    about = "Ask anything about your picture."

    def cards(self) -> tuple[Card, ...]:
        return ()

    def subjects(self) -> tuple[Card, ...]:
        return ()

    def shown(self, ref: str) -> Shown:
        raise BadRequest("Please bring a picture first.")

    def another(self, ref: str) -> str | None:
        return None

    def name(self, subject: str) -> str:
        return subject

    def subject(self, subject: str) -> Shown:
        raise BadRequest(NOBODY)

    def stays(self, subjects: Sequence[str]) -> tuple[str, ...]:
        return ()

    def request(self, subjects: Sequence[str]) -> Job[ForgetRequest]:
        raise BadRequest(NOBODY)

    def suite(self, request: ForgetRequest, *, thorough: bool) -> Suite | None:
        return None

    def retain_only(self, subjects: Sequence[str]) -> Path | None:
        return None

    def recorded(self) -> Recorded | None:
        return None


def collection_for(vlm: VLM) -> Collection:
    """The demo world for a model with the demo's vocabulary, which no model for photographs comes near to; else uploads."""
    return DemoWorld() if len(vlm.tokenizer) <= VOCABULARY else Uploads()


def brought(path: str) -> Shown:
    """A picture that somebody uploaded. Raises BadImage."""
    image = open_image(path)
    image.thumbnail((UPLOAD_SIDE, UPLOAD_SIDE))
    return Shown(UPLOAD, Path(path).name, image)


def _ask(q: world.Question) -> Ask:
    label = {"world": q.text.rstrip("?"), "describe": "description"}.get(q.fact, q.fact)
    if q.kind == "general" and q.fact != "count":
        label = q.text.rstrip("?.")
    return Ask(label, _GROUPS[q.kind], q.text, q.answer, _GROUPS[q.kind] == "Private facts")
