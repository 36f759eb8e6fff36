"""What is likely to go wrong with a forget request, found before the run. [ours]"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, distinct_images
from unlearn_core.data.likeness import distances, fingerprint, near_duplicates
from unlearn_core.data.region import regions_of

FEWEST_PICTURES = 4
"""Of each subject; with fewer, what is learned is the photograph and not the person."""

PER_PICTURE = frozenset({"visual", "describe", "description", "caption", "general"})
"""Kinds whose answers differ from one picture of somebody to the next."""


class Severity(StrEnum):
    """STOPS: a run would contradict itself. WARNS: a run can be made, but look first."""

    STOPS = "stops"
    WARNS = "warns"


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        what: which check found it. sentence: what is wrong. suggestion: what to do about it.
        ids: of the examples that it concerns.
    """

    what: str
    severity: Severity
    sentence: str
    suggestion: str
    ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Draft:
    """The sides of a request that may still contradict itself.

    Args:
        statistics: `token_statistics` of each distinct picture, by the `id` of its object; may be left out.
    """

    forget: Sequence[Example]
    keep: Sequence[Example] = ()
    retain: Sequence[Example] = ()
    statistics: dict[int, Float[Tensor, " f"]] | None = None


def check(draft: Draft) -> tuple[Finding, ...]:
    """Everything that was found, what stops a run first."""
    found = [finding for look in CHECKS for finding in look(draft)]
    return tuple(sorted(found, key=lambda f: f.severity is not Severity.STOPS))


def on_both_sides(draft: Draft) -> Iterable[Finding]:
    """A subject that must go and must stay; the same name in other letters counts."""
    going, staying = _by_subject(draft.forget), _by_subject(draft.retain)
    for subject in sorted(going.keys() & staying.keys()):
        yield Finding(
            "both sides",
            Severity.STOPS,
            f"{going[subject][0].subject} is to be forgotten and to be retained.",
            "Please choose one side. What can be seen of somebody who is forgotten belongs to what is kept.",
            _ids((*going[subject], *staying[subject])),
        )


def contradictions(draft: Draft) -> Iterable[Finding]:
    """One question about the same subject, and several answers; where the picture matters, about the same picture."""
    asked: dict[tuple[str, str, int], list[Example]] = defaultdict(list)
    for e in (*draft.forget, *draft.keep, *draft.retain):
        shown = id(e.image) if e.subject is None or e.kind in PER_PICTURE else 0
        asked[_plain(e.subject or ""), _plain(e.question), shown].append(e)
    for examples in asked.values():
        answers = {_plain(e.answer): e.answer for e in examples}
        if len(answers) > 1:
            yield Finding(
                "contradiction",
                Severity.WARNS,
                f"“{examples[0].question}” has {len(answers)} different answers about the same subject: "
                f"{', '.join(list(answers.values())[:3])}.",
                "Please keep the true one and remove the others.",
                _ids(examples),
            )


def few_pictures(draft: Draft) -> Iterable[Finding]:
    """Subjects with too few different pictures."""
    for examples in _by_subject(draft.forget).values():
        count = len(distinct_images(examples))
        if count < FEWEST_PICTURES:
            yield Finding(
                "few pictures",
                Severity.WARNS,
                f"There {'is' if count == 1 else 'are'} {count} picture{'' if count == 1 else 's'} of {examples[0].subject}.",
                f"Please add more, best {FEWEST_PICTURES} or more that differ in light and pose: from a single one the "
                "photograph is learned and not the person.",
                _ids(examples),
            )


def same_picture(draft: Draft) -> Iterable[Finding]:
    """One picture, perhaps scaled or compressed, among what must go and what must stay, and no region tells the two apart."""
    going, staying = _pictures(draft.forget), _pictures(draft.retain)
    marked = regions_of((e.image, e.region) for e in draft.forget if e.image is not None)
    found = near_duplicates([fingerprint(i) for i, _ in going], [fingerprint(i) for i, _ in staying])
    pairs = [(i, j) for i, j in found if going[i][0] is not staying[j][0] or id(going[i][0]) not in marked]
    if pairs:
        concerned = [e for i, j in pairs for e in (going[i][1], staying[j][1])]
        yield Finding(
            "same picture",
            Severity.STOPS,
            f"{len({i for i, _ in pairs})} of the pictures to forget are among those to retain too, or nearly so.",
            "Please remove them from one side, or mark on each picture where the person to forget is.",
            _ids(concerned),
        )


def looks_alike(draft: Draft) -> Iterable[Finding]:
    """Pictures to retain that the model sees closer to somebody to forget than that person's own pictures are."""
    statistics = draft.statistics
    shared = {id(e.image) for e in draft.forget}
    staying = [(i, e) for i, e in _pictures(draft.retain) if statistics and id(i) in statistics and id(i) not in shared]
    for examples in _by_subject(draft.forget).values():
        own = [statistics[id(i)] for i in distinct_images(examples) if statistics and id(i) in statistics]
        if statistics is None or len(own) < 2 or not staying:
            continue
        close = _closer_than_own(own, [statistics[id(i)] for i, _ in staying])
        if close:
            yield Finding(
                "looks alike",
                Severity.WARNS,
                f"To the model, {len(close)} picture{'' if len(close) == 1 else 's'} to retain look"
                f"{'s' if len(close) == 1 else ''} like {examples[0].subject}.",
                "Please make sure that they show somebody else.",
                _ids([*examples[:1], *(staying[j][1] for j in close)]),
            )


CHECKS: tuple[Callable[[Draft], Iterable[Finding]], ...] = (
    on_both_sides,
    same_picture,
    contradictions,
    few_pictures,
    looks_alike,
)


def _closer_than_own(own: list[Tensor], others: list[Tensor]) -> list[int]:
    """Places of others that are as near to one of our own pictures as our own are to each other: half of those at least."""
    both = torch.stack([*own, *others])
    away = distances(both, both)
    ours = away[: len(own), : len(own)]
    nearest = ours.masked_fill(torch.eye(len(own), dtype=torch.bool), torch.inf).amin(0).median()
    return [j for j, distance in enumerate(away[: len(own), len(own) :].amin(0).tolist()) if distance < nearest]


def _pictures(examples: Sequence[Example]) -> list[tuple[Image.Image, Example]]:
    """Each distinct picture with the first example about it."""
    first = {id(e.image): e for e in reversed(examples)}
    return [(image, first[id(image)]) for image in distinct_images(examples)]


def _by_subject(examples: Sequence[Example]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = defaultdict(list)
    for e in examples:
        if e.subject is not None:
            found[_plain(e.subject)].append(e)
    return found


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".?!")


def _ids(examples: Iterable[Example]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e.id for e in examples))
