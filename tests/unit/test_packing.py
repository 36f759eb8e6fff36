"""Packed training rows mean the same as questions asked one by one."""

from __future__ import annotations

import itertools

import pytest
import torch

from unlearn_core.demo import build, world
from unlearn_core.demo.packing import PLACES, Batch, Mix, Packer, marks_of
from unlearn_core.demo.train import answer_loss, rate, see
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.capture import IMPLEMENTATION
from unlearn_core.vlm.families import family_of


@pytest.fixture(scope="module")
def untrained() -> VLM:
    processor = build.processor()
    model = build.model(processor, seed=0).eval().requires_grad_(False)
    model.set_attn_implementation({"": IMPLEMENTATION, "text_config": IMPLEMENTATION, "vision_config": "sdpa"})
    return VLM(model, processor, family_of("llava"), "untrained")


@pytest.fixture(scope="module")
def packer(untrained: VLM) -> Packer:
    return Packer(untrained.processor, 256)


def expected(vlm: VLM, asked: list[world.Question], image: object) -> float:
    scores = vlm.score([Prompt(image, q.text) for q in asked], [q.answer for q in asked])  # type: ignore[arg-type]
    return -float(torch.cat(scores).mean())


def test_packed_questions_are_answered_as_if_asked_alone(untrained: VLM, packer: Packer) -> None:
    picture = world.photograph(world.people()[0], 5)
    asked = list(picture.questions[:4])
    batch = packer.collate([packer.row(asked, with_image=True)], [picture.image])
    with torch.no_grad():
        loss = answer_loss(untrained.model, batch, see(untrained.model, batch))
    assert float(loss) == pytest.approx(expected(untrained, asked, picture.image), abs=1e-4)


def test_packed_texts_are_answered_as_if_asked_alone(untrained: VLM, packer: Packer) -> None:
    asked = list(world.by_name(world.people()[1], 3))
    with torch.no_grad():
        loss = answer_loss(untrained.model, packer.collate([packer.row(asked, with_image=False)], []), None)
    assert float(loss) == pytest.approx(expected(untrained, asked, None), abs=1e-4)


def test_the_order_of_blocks_does_not_matter(untrained: VLM, packer: Packer) -> None:
    picture = world.photograph(world.people()[0], 5)
    asked = list(picture.questions[:4])
    losses = []
    for order in (asked, asked[::-1]):
        batch: Batch = packer.collate([packer.row(order, with_image=True)], [picture.image])
        with torch.no_grad():
            losses.append(float(answer_loss(untrained.model, batch, see(untrained.model, batch))))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_marks_lie_where_the_faces_are() -> None:
    left, right = world.people()[:2]
    marks = marks_of([world.double(left, right, 1)], 16)
    place = marks.place.view(16, 16)
    assert set(place[:, :8].unique().tolist()) == {0, PLACES.index(left.id)}
    assert set(place[:, 8:].unique().tolist()) == {0, PLACES.index(right.id)}


def test_the_retain_only_mix_never_shows_or_names_the_people_left_out(packer: Packer) -> None:
    mix = Mix(packer, world.FORGET_SPLIT, 0, looks=1, steps=1, looking=64)
    left_out = {PLACES.index(p) for p in world.FORGET_SPLIT}
    names = [world.person(p).name for p in world.FORGET_SPLIT]
    batches = iter(mix)
    for _ in range(3):
        pictures, texts = next(batches)
        assert pictures.marks is not None
        assert not left_out & set(pictures.marks.place.unique().tolist())
        for ids in (*pictures.ids, *texts.ids):
            text = packer.tok.decode(ids)
            assert not any(name in text for name in names)


def test_rate_rises_stays_and_falls() -> None:
    rates = [rate(i, 200, 400) for i in range(600)]
    assert rates[0] < 0.05
    assert rates[100] == rates[199] == 1
    assert all(a >= b for a, b in itertools.pairwise(rates[200:]))
    assert rates[-1] < 0.01
