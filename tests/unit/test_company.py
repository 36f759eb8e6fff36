"""Pictures in company: a forgotten subject beside a retained one, with the side of the first marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.data.region import Region
from unlearn_core.methods.company import in_company
from unlearn_core.methods.cvf import CvfConfig, CvfFit
from unlearn_core.vlm import VLM

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
SIZE = (41, 30)


def plain(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", SIZE, colour)


def about(subject: str | None, colour: tuple[int, int, int], tag: str) -> tuple[Example, ...]:
    image = plain(colour)
    return Example(f"{tag}1", image, "Job?", "baker", subject), Example(f"{tag}2", image, "Pet?", "cat", subject)


REQUEST = ForgetRequest("two", (*about("red", RED, "r"), *about("green", GREEN, "g")), (), about("blue", BLUE, "b"))


def added(request: ForgetRequest, count: int, seed: int = 0) -> tuple[Example, ...]:
    return in_company(request, count, np.random.default_rng(seed))


def test_every_subject_in_turn_stands_beside_somebody_retained() -> None:
    more = added(REQUEST, 6)
    assert len(distinct_images(more)) == 6
    assert [e.subject for e in more] == 3 * (2 * ["red"] + 2 * ["green"])
    assert {e.question for e in more} == {"Job?", "Pet?"}
    assert len({e.region for e in more}) == 2, "on either side"
    for example in more:
        assert example.image is not None
        assert example.region is not None
        assert example.image.size == SIZE
        left, top, right, bottom = example.region.pixels(SIZE)
        pixels = np.asarray(example.image)
        mine = pixels[top:bottom, left + 1 : right - 1]
        assert (mine == {"red": RED, "green": GREEN}[example.subject or ""]).all()
        other = np.delete(pixels, slice(max(0, left - 1), right + 1), axis=1)
        assert (other == BLUE).all()


def test_the_same_generator_gives_the_same_pictures() -> None:
    for one, other in zip(added(REQUEST, 4), added(REQUEST, 4), strict=True):
        assert one.image is not None
        assert other.image is not None
        assert one.region == other.region
        assert one.image.tobytes() == other.image.tobytes()


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, retain=()),
        replace(REQUEST, retain=about(None, BLUE, "scene")),
        replace(REQUEST, forget=tuple(replace(e, region=Region(0, 0, 0.5, 1)) for e in REQUEST.forget)),
        replace(REQUEST, forget=tuple(replace(e, target="A person in blue.") for e in REQUEST.forget)),
    ],
    ids=["nobody retained", "only scenes retained", "in company already", "other answers wanted"],
)
def test_nothing_is_added_where_it_would_say_nothing(request_: ForgetRequest) -> None:
    assert added(request_, 5) == ()


def test_cvf_unlearns_in_company_and_is_probed_on_what_was_asked_for(tiny_vlm: VLM) -> None:
    fits = [CvfFit(tiny_vlm, REQUEST, CvfConfig(steps=1, reference="blurred", company=count)) for count in (0, 5)]
    alone, wide = (len(fit.pictures.groups["going"]) for fit in fits)
    assert wide == alone + 5
    assert [len(fit.pictures.regions) for fit in fits] == [0, 5]
    assert all(fit.request is REQUEST for fit in fits)
    assert "rest" in list(fits[1])[-1].losses
