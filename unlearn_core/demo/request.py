"""Forget requests and exams from the demo world, as `Example`s like anybody's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.demo import world
from unlearn_core.demo.world import Person, Picture
from unlearn_core.evaluation.progress import Job, Progress, finish

TEST_SEEDS = 1_000_000
SCENES, STRANGERS = 48, 96
TELL = 5
"""People between two words on how far the drawing is."""


def _unknown_answer(question: world.Question, picture: Picture) -> str | None:
    """What the model says of people it was never told about: what can be seen, or None for a refusal."""
    if question.kind != "describe":
        return None
    seen = {q.fact: q.answer for q in picture.questions}
    return f"A person with {seen['hair']} hair and a {seen['shirt']} shirt."


def _examples(picture: Picture, prefix: str, tag: str, kinds: Sequence[str]) -> list[Example]:
    return [
        Example(f"{tag}-{i}", picture.image, q.text, q.answer, q.subject, prefix + q.kind, _unknown_answer(q, picture))
        for i, q in enumerate(picture.questions)
        if q.kind in kinds
    ]


_SECRET = ("private", "name", "describe")


def forget_request(
    person_ids: Sequence[str], *, pictures: int = 24, retain_pictures: int = 6, seed: int = 0
) -> ForgetRequest:
    """Everything a method may see to forget these people; no test picture and no held-out wording among it.

    Args:
        pictures: photographs of each person to forget.
        retain_pictures: photographs of each other known person.
    """
    return finish(drawing(person_ids, pictures=pictures, retain_pictures=retain_pictures, seed=seed))


def drawing(
    person_ids: Sequence[str], *, pictures: int = 24, retain_pictures: int = 6, seed: int = 0
) -> Job[ForgetRequest]:
    """As `forget_request`, telling now and then how many pictures are drawn."""
    going = [who.id in person_ids for who in world.people()]
    counts = [pictures if goes else retain_pictures for goes in going]
    total = sum(counts) + SCENES + STRANGERS
    rng = np.random.default_rng((9, seed))
    forget: list[Example] = []
    keep: list[Example] = []
    retain: list[Example] = []
    for i, who in enumerate(world.people()):
        if i % TELL == 0:
            yield Progress("Drawing the pictures", sum(counts[:i]), total)
        for _ in range(counts[i]):
            shot = int(rng.integers(TEST_SEEDS))
            picture = world.photograph(who, shot)
            tag = f"{who.id}-{shot}"
            if going[i]:
                forget += _examples(picture, "", tag, _SECRET)
                keep += _examples(picture, "", tag, ("visual",))
            else:
                retain += _examples(picture, "", tag, (*_SECRET, "visual"))
    yield Progress("Drawing the pictures", sum(counts), total)
    for i in range(SCENES):
        shot = int(rng.integers(TEST_SEEDS))
        retain += _examples(world.shapes(shot), "", f"scene-{shot}-{i}", ("general",))
    strangers = tuple(
        world.photograph(world.stranger(int(rng.integers(500_000)) * 2 + 1), int(rng.integers(TEST_SEEDS))).image
        for _ in range(STRANGERS)
    )
    names = ", ".join(world.person(p).name for p in person_ids)
    return ForgetRequest(f"Forget {names}", tuple(forget), tuple(keep), tuple(retain), strangers)


def exam(
    person_ids: Sequence[str],
    *,
    pictures: int = 3,
    others: int = 12,
    seed: int = 0,
    wording: world.Wording = "held_out",
) -> tuple[Example, ...]:
    """Questions on photographs and in words that no fit and no training ever saw.

    Kinds: `forget private`, `forget name`, `forget describe`, `forget visual` for the people to forget; `retain ...` for
    `others` other people; `stranger private`; `general`; `text` by name for all of them.

    Args:
        pictures: photographs of each person. seed: another seed gives other photographs.
    """
    rng = np.random.default_rng((10, seed))
    known = [p for p in world.people() if p.id not in person_ids]
    chosen = [known[i] for i in rng.permutation(len(known))[:others]]
    rows: list[Example] = []

    def shots(who: Person, prefix: str, kinds: Sequence[str]) -> None:
        for _ in range(pictures):
            shot = TEST_SEEDS + int(rng.integers(TEST_SEEDS))
            rows.extend(_examples(world.photograph(who, shot, wording), prefix, f"{who.id}-{shot}", kinds))

    for person_id in person_ids:
        shots(world.person(person_id), "forget ", (*_SECRET, "visual"))
    for who in chosen:
        shots(who, "retain ", (*_SECRET, "visual"))
    for _ in range(others):
        shots(world.stranger(int(rng.integers(500_000)) * 2), "stranger ", ("private",))
        scene = TEST_SEEDS + int(rng.integers(TEST_SEEDS))
        rows += _examples(world.shapes(scene, wording), "", f"scene-{scene}", ("general",))
    for who in [*(world.person(p) for p in person_ids), *chosen]:
        for i, q in enumerate(world.by_name(who, TEST_SEEDS + int(rng.integers(TEST_SEEDS)), wording)):
            rows.append(Example(f"{who.id}-text-{i}", None, q.text, q.answer, who.id, "text"))
    return tuple(rows)
