"""Pictures of a forgotten subject in company, made of two: whoever is known alone must not be known beside somebody. [ours]"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unlearn_core.data.augment import beside
from unlearn_core.data.example import Example, ForgetRequest, distinct_images


def in_company(request: ForgetRequest, count: int, rng: np.random.Generator) -> tuple[Example, ...]:
    """Questions to forget about `count` more pictures: one of each subject in turn, small beside a retained one.

    The subject's side is marked as the region, so that whoever stands beside it stays. Asked is what has no answer of its
    own to be given instead: a description would be of both. There is none if no retained picture shows a subject, or of
    a subject whose pictures all have a region: they show who is beside it.
    """
    company = distinct_images([e for e in request.elsewhere if e.subject is not None])
    asked = _asked(request)
    if not company or not asked:
        return ()
    more: list[Example] = []
    for i in range(count):
        about = asked[i % len(asked)]
        examples = about[int(rng.integers(len(about)))]
        shown = examples[0].image
        assert shown is not None, "a request has no other on the forget side"
        image, region = beside(shown, company[int(rng.integers(len(company)))], rng)
        more += [replace(e, id=f"{e.id} in company {i}", image=image, region=region) for e in examples]
    return tuple(more)


def _asked(request: ForgetRequest) -> list[list[list[Example]]]:
    """By subject and whole picture, the questions that can be asked in company too."""
    found: dict[str | None, dict[int, list[Example]]] = {}
    marked = request.regions
    for example in request.forget:
        if example.target is None and id(example.image) not in marked:
            found.setdefault(example.subject, {}).setdefault(id(example.image), []).append(example)
    return [list(pictures.values()) for pictures in found.values()]
