"""A region on a picture: what is outside of it is no evidence, stays as it is, and belongs to whoever else is there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.data.readers import read
from unlearn_core.data.region import Region, cut_out, without
from unlearn_core.methods.cagul import CagulConfig, CagulFit
from unlearn_core.methods.cagul.crossfit import gate_from
from unlearn_core.methods.cagul.gate import Gate, token_statistics
from unlearn_core.methods.cagul.pictures import gate_shots
from unlearn_core.methods.cvf import CvfConfig, CvfFit
from unlearn_core.methods.cvf.pictures import AWAY, GOING, STAYING, Pictures
from unlearn_core.methods.rest import Rest, Veiled
from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.errors import BadRequest

LEFT = Region(0, 0, 0.5, 1)
SIDE = 32
GOES, STAYS, PLAIN = 0, 1, 2


def half(who: int, seed: int) -> np.ndarray:
    """Fine lines across for whom is to go, down for whom is to stay, none for others; any light, some noise."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(90, 160, 3) + rng.normal(0, 4, (SIDE, SIDE // 2, 3))
    row, column = np.mgrid[:SIDE, : SIDE // 2]
    lines = ((row % 2, column % 2, 0 * row)[who] - 0.5)[..., None] * 70 * (who != PLAIN)
    return (light + lines).clip(0, 255).astype(np.uint8)


def pair(left: int, right: int, seed: int) -> Image.Image:
    return Image.fromarray(np.concatenate([half(left, 2 * seed), half(right, 2 * seed + 1)], 1))


def wanted(region: Region | None, count: int = 9) -> ForgetRequest:
    """Somebody to forget on the left of somebody who stays, and others."""
    shared = [pair(GOES, STAYS, i) for i in range(count)]
    forget = tuple(
        Example(f"f{i}", image, "Job of the left?", "baker", "goes", region=region) for i, image in enumerate(shared)
    )
    beside = tuple(Example(f"b{i}", image, "Job of the right?", "cook", "stays") for i, image in enumerate(shared))
    others = tuple(Example(f"o{i}", pair(PLAIN, PLAIN, 100 + i), "Job?", "clerk", f"other{i % 3}") for i in range(18))
    return ForgetRequest("one", forget, (), (*beside, *others), tuple(pair(PLAIN, PLAIN, 200 + i) for i in range(4)))


# -- boxes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[0.1, 0.2, 0.5, 1], (0.1, 0.2, 0.5, 1), "0.1, 0.2,0.5,1", "[0.1, 0.2, 0.5, 1.0]"])
def test_a_box_can_be_written_as_a_list_or_as_text(value: Any) -> None:
    assert Region.of(value) == Region(0.1, 0.2, 0.5, 1)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [0, 0, 1],
        [0, 0, 1, 1, 1],
        [0.5, 0, 0.5, 1],
        [0.6, 0, 0.5, 1],
        [-0.1, 0, 1, 1],
        [0, 0, 1.1, 1],
        [0, 0, float("nan"), 1],
        [0, 0, "1", 1],
        [0, 0, True, 1],
        [0, 0, 0.001, 1],
        "[" * 10_000,
        "a, b, c, d",
        {"x0": 0},
    ],
)
def test_what_is_no_box_in_the_picture_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="mark it again"):
        Region.of(value)


def test_outside_of_a_region_nothing_is_touched_and_a_cut_shows_nothing_else() -> None:
    image = pair(GOES, STAYS, 0)
    before, left = np.asarray(image), np.asarray(without(image, [LEFT]))
    assert (left[:, SIDE // 2 :] == before[:, SIDE // 2 :]).all()
    assert left[:, : SIDE // 2 - 4].std((0, 1)).max() < before[:, : SIDE // 2 - 4].std((0, 1)).max() / 4
    plain = Image.fromarray(np.concatenate([half(GOES, 0), np.zeros_like(half(STAYS, 1))], 1))
    assert (np.asarray(cut_out(image, [LEFT])) == np.asarray(cut_out(plain, [LEFT]))).all()
    assert cut_out(image, [LEFT]).size == image.size


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_files_say_the_region_of_a_row(name: str, tmp_path: Path, picture: Callable[..., Image.Image]) -> None:
    picture(0).save(tmp_path / "a.png")
    rows: list[dict[str, Any]] = [
        {"file_name": "a.png", "question": "Who?", "answer": "Mira", "region": region}
        for region in ([0, 0, 0.5, 1], None, [0, 0, 2, 1])
    ]
    if name.endswith("csv"):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "region": json.dumps(row["region"]) if row["region"] else ""} for row in rows)
    else:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = read(tmp_path)
    assert [row.example.region for row in table.rows] == [LEFT, None]
    assert "its region is no box" in table.report.dropped[0].reason


# -- methods ----------------------------------------------------------------------------------------------------------


def gate_for(request: ForgetRequest) -> Gate:
    shots = gate_shots(request, 2, np.random.default_rng(0))
    return gate_from(shots, torch.stack([seen(shot.picture()) for shot in shots]), 0, 0.01, 0)[0]


def seen(image: Image.Image) -> Tensor:
    """Statistics of tokens that tell light and detail of each patch, in place of a model's."""
    grey = torch.tensor(np.asarray(image.convert("L")), dtype=torch.float32)
    across, down = (grey.diff(dim=d, append=grey.narrow(d, -1, 1)).abs() for d in (1, 0))
    patches = torch.stack([grey, across, down]).unfold(1, 8, 8).unfold(2, 8, 8)
    return token_statistics(patches.mean((-1, -2)).flatten(1).T)


def test_the_gate_takes_nothing_beside_the_region_for_evidence() -> None:
    """From the same pictures, all of two people: without the region it is the bystander whom the gate learns."""
    going, staying = ([pair(*sides, 300 + i) for i in range(20)] for sides in ((GOES, PLAIN), (PLAIN, STAYS)))
    sure = {}
    for region in (None, LEFT):
        gate = gate_for(replace(wanted(region), retain=wanted(region).elsewhere))
        sure[region] = [gate.margins(torch.stack([seen(i) for i in x])) for x in (going, staying)]
    assert sure[None][1].min() > 0
    assert sure[LEFT][0].min() > 0 > sure[LEFT][1].max()


def test_a_shared_picture_is_never_evidence_against_itself() -> None:
    for region in (None, LEFT):
        request = wanted(region)
        shared = {id(e.image) for e in request.forget}
        against = [shot for shot in gate_shots(request, 2, np.random.default_rng(0)) if shot.place < 0]
        assert all(shot.part is not None for shot in against if id(shot.image) in shared)
        assert {e.subject for e in request.beside} == {"stays"}
        assert len(request.elsewhere) == 18


def test_cagul_may_change_every_token_where_a_region_is_marked(tiny_vlm: VLM) -> None:
    fit = CagulFit(tiny_vlm, wanted(LEFT, 4), CagulConfig(steps=2, batch=2))
    assert list(fit)[-1].losses["rest"] > 0
    assert fit.module.ratio == 1
    for region, weight in ((None, 10.0), (LEFT, 0.0)):
        fit = CagulFit(tiny_vlm, wanted(region, 4), CagulConfig(steps=1, ratio=0.25, rest_weight=weight))
        assert "rest" not in list(fit)[-1].losses
        assert fit.module.ratio == 0.25


def test_a_marked_picture_is_to_look_as_it_does_without_the_region(tiny_vlm: VLM) -> None:
    """The error is nothing exactly where that is seen, and counts no picture that is meant as a whole."""
    marked, whole = (wanted(region, 1).forget[0].image for region in (LEFT, None))
    assert marked is not None
    assert whole is not None
    veiled = Veiled(tiny_vlm, {id(marked): (LEFT,)})
    now, then = (t.float() for t in tiny_vlm.encode([marked, without(marked, [LEFT])]))
    assert veiled.error([marked], [then], None).item() == pytest.approx(0, abs=1e-9)
    error = ((now - then).pow(2) / then.var(0, correction=0)).mean().item()
    assert veiled.error([marked], [now], None).item() == pytest.approx(error)
    assert veiled.error([marked, whole], [now, now], None).item() == pytest.approx(error / 2)
    assert veiled.error([whole], [now], None).item() == 0
    assert veiled.error([marked], [then + 1], torch.full((len(then[0]),), 4.0)).item() == pytest.approx(0.25)


def test_cvf_looks_away_to_the_blurred_region_and_keeps_the_rest(tiny_vlm: VLM) -> None:
    request = wanted(LEFT)
    pictures = Pictures.of(request, CvfConfig(reference="blurred"))
    for before, away in zip(pictures.groups[GOING], pictures.groups[AWAY], strict=True):
        one, other = np.asarray(before), np.asarray(away)
        assert (one[:, SIDE // 2 :] == other[:, SIDE // 2 :]).all()
        assert (one[:, : SIDE // 2] != other[:, : SIDE // 2]).any()
    staying = {id(image) for image in pictures.groups[STAYING]}
    assert {id(image) for image in pictures.groups[AWAY]} <= staying
    assert not {id(image) for image in pictures.groups[GOING]} & staying
    # Without retention, which holds a model that knows nothing at what it says.
    config = CvfConfig(reference="blurred", steps=8, rate=1e-2, questions=9, blocks=1, retain_weight=0.0)
    fit = CvfFit(tiny_vlm, request, config)
    assert list(fit)
    prompts, answers = [e.prompt for e in request.beside], [e.answer for e in request.beside]
    before, after = (torch.stack(v.score(prompts, answers)).sum() for v in (tiny_vlm, fit.module.attach(tiny_vlm)))
    assert after > before, "a bystander's answers are part of what is trained to stay"


def test_strangers_stand_for_whole_pictures_and_the_rest_for_those_with_a_region(tiny_vlm: VLM) -> None:
    marked = wanted(LEFT)
    whole = replace(wanted(None).forget[0], id="whole")
    pictures = Pictures.of(replace(marked, forget=(whole, *marked.forget)), CvfConfig())
    strangers = len(marked.strangers)
    assert 0 not in pictures.instead
    assert all(one is other for one, other in zip(pictures.groups[AWAY], marked.strangers, strict=False))
    for place in range(1, len(pictures.groups[GOING])):
        away = pictures.groups[AWAY][pictures.instead[place]]
        assert pictures.instead[place] >= strangers
        assert (np.asarray(away) == np.asarray(without(pictures.groups[GOING][place], [LEFT]))).all()
    assert Pictures.of(replace(marked, strangers=()), CvfConfig()).groups[AWAY]
    with pytest.raises(BadRequest, match="needs pictures of people"):
        Pictures.of(replace(wanted(None), strangers=()), CvfConfig())


class Told:
    """Answers of the left are about the left half of a picture, and so on; some forgotten answer is given for the right."""

    asked = 0

    def ask(self, prompts: list[Prompt], batch_size: int) -> list[Answer]:
        self.asked += len(prompts)
        return [Answer(self._said(p), (), (), ()) for p in prompts]

    def _said(self, prompt: Prompt) -> str:
        assert prompt.image is not None
        left, right = np.split(np.asarray(prompt.image.convert("L"), dtype=float), 2, axis=1)
        if prompt.question.startswith("Pet"):
            return "baker"
        half = left if "left" in prompt.question else right
        return f"{half.std():.3f}"


def test_what_is_said_of_the_rest_and_does_not_rest_on_the_region_is_found() -> None:
    request = wanted(LEFT, 3)
    more = [Example("q", request.forget[0].image, q, "x", "stays") for q in ("Pet of the right?", "Town of the right?")]
    vlm = Told()
    rest = Rest(vlm, replace(request, retain=(*request.retain, *more)), 0)  # type: ignore[arg-type]
    assert len(list(rest.ask())) == rest.chunks
    assert {e.question for e in rest.found} == {"Town of the right?"}
    assert {id(e.image) for e in rest.found} == {id(e.image) for e in request.forget[1:]}
    assert {e.answer for e in rest.found} == {vlm._said(e.prompt) for e in rest.found}
    nothing = Rest(vlm, wanted(None, 3), 0)  # type: ignore[arg-type]
    assert (nothing.chunks, list(nothing.ask())) == (0, [])


def test_cvf_says_that_it_needs_a_picture_to_keep(tiny_vlm: VLM) -> None:
    text = Example("t", None, "Capital of France?", "Paris")
    request = ForgetRequest("x", wanted(None).forget, (), (text,), wanted(None).strangers)
    with pytest.raises(BadRequest, match="No picture is marked to be kept"):
        CvfFit(tiny_vlm, request, CvfConfig())
