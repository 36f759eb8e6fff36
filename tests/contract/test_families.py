"""What every family must do. A family that is added to the zoo is tested by all of it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from zoo import ZOO, save

from unlearn_core import bundle
from unlearn_core.attention import Scorer, boxes, faithfulness, gradient_rows, places_at, token_map
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import BASELINES, module_from_pretrained
from unlearn_core.methods.base import Module
from unlearn_core.methods.cagul import CagulConfig, CagulFit
from unlearn_core.methods.cagul.module import CagulModule
from unlearn_core.methods.cvf import CvfConfig, CvfFit
from unlearn_core.methods.cvf.student import Student
from unlearn_core.vlm import VLM, Prompt, Tile
from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.errors import BadImage, BadOption, UnsupportedFamily
from unlearn_core.vlm.families import FAMILIES
from unlearn_core.vlm.sharding import shard
from unlearn_core.vlm.tower import see_half, see_rest

Picture = Callable[..., Image.Image]
STEPS = 6
WIDE, TALL, SQUARE = (96, 64), (40, 72), (64, 64)


@pytest.fixture(scope="session", params=ZOO)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each family on disk."""
    folder = tmp_path_factory.mktemp(request.param)
    save(request.param, folder)
    return folder


@pytest.fixture(scope="session")
def vlm(folder: Path) -> VLM:
    return VLM.load(folder, device="cpu")


@pytest.fixture(scope="session")
def prompts(picture: Picture) -> list[Prompt]:
    """Pictures of three shapes, one of them twice, and a prompt without one; questions of differing lengths."""
    first = picture(1, WIDE)
    return [
        Prompt(first, "What is the job of this person, and where does this person live?"),
        Prompt(picture(2, TALL), "Who?"),
        Prompt(None, "What is the job of Mira?"),
        Prompt(picture(3, SQUARE), "Is there a hat?"),
        Prompt(first, "Where?"),
    ]


def test_every_family_has_a_model_in_the_zoo() -> None:
    assert set(ZOO) - {"paligemma2"} == set(FAMILIES)


def test_checkpoints_in_the_older_layout_load_alike(
    vlm: VLM, folder: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    """As on the hub: a file for each part of the processor, those for pictures named after the torchvision kind."""
    older = Path(shutil.copytree(folder, tmp_path / "older"))
    whole = json.loads((older / "processor_config.json").read_text())
    cutter = whole.pop("image_processor")
    cutter["image_processor_type"] = cutter["image_processor_type"].removesuffix("Pil") + "Fast"
    (older / "processor_config.json").write_text(json.dumps(whole))
    (older / "preprocessor_config.json").write_text(json.dumps(cutter | {"processor_class": whole["processor_class"]}))
    (older / "video_preprocessor_config.json").write_text('{"video_processor_type": "Qwen2VLVideoProcessor"}')
    assert outcome(VLM.load(older, device="cpu"), prompts[:2]) == outcome(vlm, prompts[:2])


# -- see ---------------------------------------------------------------------------------------------------------------


def test_there_are_as_many_places_as_tokens(vlm: VLM, prompts: list[Prompt]) -> None:
    batch = vlm.batch(prompts)
    tokens = vlm.tokens(batch)
    placed = [len(v) for v in batch.visual if len(v)]
    assert placed == ([len(t) for t in tokens] if vlm.family.in_sequence else [1] * len(tokens))
    assert all(t.shape[1] == vlm.width for t in tokens)
    for view in vlm.see(prompts):
        places = torch.cat([t.index for t in view.tiles]) if view.tiles else torch.zeros(0)
        assert len(places) == len(places.unique())
        assert len(places) <= len(view.tokens)
        assert all(len(t.index) == t.rows * t.cols for t in view.tiles)
        assert bool(view.tiles) == bool(len(view.tokens))


def test_pictures_are_seen_alike_alone_and_together(vlm: VLM, prompts: list[Prompt]) -> None:
    together, alone = vlm.see(prompts), vlm.see(prompts, batch_size=1)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.tokens, b.tokens, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [WIDE, TALL, SQUARE])
def test_a_token_lies_where_its_pixels_are(vlm: VLM, picture: Picture, size: tuple[int, int]) -> None:
    """The pixels under a cell move that cell's token most among the tokens of its tile."""
    base = picture(0, size)
    view = vlm.see([Prompt(base, "Who?")])[0]
    cells = [(tile, r, c) for tile in view.tiles for r in range(tile.rows) for c in range(tile.cols)]
    inside = [cell for cell in cells if all(-0.01 <= x <= 1.01 for x in cell[0].cell_box(cell[1], cell[2]))]
    assert len(inside) >= 0.5 * len(cells)
    with torch.no_grad():
        seen = vlm.encode([inverted(base, *cell) for cell in inside])
    moved = [(t - view.tokens).norm(dim=-1) for t in seen]
    hits = [int(m[tile.index].argmax()) == r * tile.cols + c for m, (tile, r, c) in zip(moved, inside, strict=True)]
    assert sum(hits) >= 0.9 * len(hits), f"{sum(hits)} of {len(hits)}"


def inverted(image: Image.Image, tile: Tile, row: int, col: int) -> Image.Image:
    """The picture with one cell in its opposite colours."""
    x0, y0, x1, y1 = tile.cell_box(row, col)
    w, h = image.size
    box = round(x0 * w), round(y0 * h), round(x1 * w), round(y1 * h)
    out = image.copy()
    out.paste(ImageOps.invert(image.crop(box)), box)
    return out


NARROW = [(1, 1), (1, 60), (60, 1), (2, 90), (400, 3), (3, 1000)]


@pytest.mark.parametrize("size", NARROW, ids=str)
def test_very_small_and_narrow_pictures_are_seen_or_refused(vlm: VLM, picture: Picture, size: tuple[int, int]) -> None:
    shown = [Prompt(picture(1, size), "Who?")]
    if vlm.family.model_type.startswith("qwen") and max(size) > 200 * min(size):
        with pytest.raises(BadImage, match=f"{size[0]} x {size[1]}"):
            vlm.see(shown)
        return
    view = vlm.see(shown)[0]
    assert len(view.tokens) == len(vlm.batch(shown).visual[0]) or not vlm.family.in_sequence
    assert torch.isfinite(view.tokens).all()
    assert max(int(t.index.max()) for t in view.tiles) < len(view.tokens)
    assert vlm.ask(shown, max_new_tokens=1)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1", "LA"])
def test_pictures_of_every_mode_are_seen(vlm: VLM, picture: Picture, mode: str) -> None:
    grey = picture(1, WIDE).convert("L")
    image = Image.fromarray(np.asarray(grey, np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    assert image.mode == mode
    if mode != "1":  # of one bit there is only black and white
        assert torch.equal(vlm.encode([image])[0], vlm.encode([grey.convert("RGB")])[0])
    assert len(vlm.ask([Prompt(image, "Who?")], max_new_tokens=1)) == 1


def test_a_turned_photograph_is_seen_upright(vlm: VLM, picture: Picture) -> None:
    lying = picture(1, WIDE)
    lying.getexif()[0x0112] = 6
    upright = lying.transpose(Image.Transpose.ROTATE_270)
    ours, theirs = vlm.see([Prompt(lying, "Who?"), Prompt(upright, "Who?")])
    torch.testing.assert_close(ours.tokens, theirs.tokens)
    assert [(t.rows, t.cols, t.box) for t in ours.tiles] == [(t.rows, t.cols, t.box) for t in theirs.tiles]


# -- ask and score -----------------------------------------------------------------------------------------------------


def test_prompts_are_those_of_the_models_own_processor(vlm: VLM, prompts: list[Prompt]) -> None:
    """The same token ids, and logits as from pixels, for a picture and a text that the processor itself puts together."""
    for prompt in prompts[:2]:
        batch = vlm.batch([prompt])
        text = vlm.family.prompt(vlm.processor, prompt.question, True)
        if vlm.family.model_type == "paligemma":  # it writes the rest of the prompt by itself
            text = f"<image>{prompt.question}"
        bos = vlm.tokenizer.bos_token
        whole = vlm.processor(
            images=[prompt.image], text=[text], return_tensors="pt", add_special_tokens=bos not in text
        )
        assert whole["input_ids"].tolist() == batch.ids.tolist()
        with torch.no_grad():
            accepted = {k: v for k, v in whole.items() if k not in ("labels", "num_crops")}
            theirs = vlm.model(**accepted).logits[0, -1]
            ours = vlm.model(**vlm.inputs(batch, vlm.tokens(batch))).logits[0, -1]
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_batching_does_not_change_answers_or_scores(vlm: VLM, prompts: list[Prompt]) -> None:
    together, alone = (vlm.ask(prompts, max_new_tokens=STEPS, batch_size=n) for n in (len(prompts), 1))
    for a, b in zip(together, alone, strict=True):
        assert a.ids == b.ids
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)
    answers = ["baker", "This is Mira Olden.", "a cook", "no", "there"]
    for a, b in zip(*(vlm.score(prompts, answers, batch_size=n) for n in (len(prompts), 1)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=0)


def test_scores_of_answers_are_those_of_generating_them(vlm: VLM, prompts: list[Prompt]) -> None:
    answers = vlm.ask(prompts, max_new_tokens=STEPS)
    assert all(len(a.ids) == STEPS for a in answers)
    batch = vlm.batch(prompts, [a.ids for a in answers])
    with torch.no_grad():
        logits = vlm.answer_logits(batch, vlm.tokens(batch)).float().log_softmax(-1)
    for row, answer in zip(logits, answers, strict=True):
        assert row[torch.arange(STEPS), list(answer.ids)].tolist() == pytest.approx(answer.logprobs, abs=1e-3)


class Edited:
    """A sight that changes the base model's tokens by `change`."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self.change = change

    def tokens(self, base: VLM, batch: Batch) -> list[Tensor]:
        return [self.change(t) for t in base.tokens(batch)]


def test_given_tokens_are_what_the_decoder_reads(vlm: VLM, prompts: list[Prompt]) -> None:
    plain = outcome(vlm, prompts)
    assert outcome(vlm.with_sight(Edited(lambda t: t.clone())), prompts) == plain
    for changed in (lambda t: -t, lambda t: t + 1):
        edited = outcome(vlm.with_sight(Edited(changed)), prompts)
        for a, b, prompt in zip(edited, plain, prompts, strict=True):
            assert (a == b) == (prompt.image is None)


def test_every_part_of_a_token_is_read(vlm: VLM, prompts: list[Prompt]) -> None:
    """Also of tokens that have several parts, such as deepstack features."""
    hidden = vlm.model.config.get_text_config().hidden_size
    for at in range(0, vlm.width, hidden):
        part = torch.zeros(vlm.width)
        part[at : at + hidden] = torch.randn(hidden, generator=torch.Generator().manual_seed(0))
        edited = vlm.with_sight(Edited(lambda t, part=part: t + part))
        assert outcome(edited, prompts[:1]) != outcome(vlm, prompts[:1])


def test_answers_carry_gradients_to_the_tokens_of_their_row(vlm: VLM, prompts: list[Prompt]) -> None:
    batch = vlm.batch(prompts, [vlm.answer_ids("baker")] * len(prompts))
    tokens = [t.detach().clone().requires_grad_() for t in vlm.tokens(batch)]
    vlm.answer_logits(batch, tokens)[0].sum().backward()
    reached = [t.grad is not None and bool(t.grad.abs().sum() > 0) for t in tokens]
    assert reached == [True, False, False, False]


def outcome(vlm: VLM, prompts: Sequence[Prompt]) -> list[tuple[Any, ...]]:
    """All numbers of answers and scores, to the last bit."""
    answers = vlm.ask(prompts, max_new_tokens=STEPS)
    scores = vlm.score(prompts, ["baker"] * len(prompts))
    return [(a.ids, a.logprobs, tuple(s.tolist())) for a, s in zip(answers, scores, strict=True)]


# -- attend ------------------------------------------------------------------------------------------------------------


def test_rows_equal_eager_attention(vlm: VLM, prompts: list[Prompt]) -> None:
    """In the prompt and in every step of generating, in a left-padded batch with a row that shows no picture."""
    if not vlm.family.in_sequence:
        with pytest.raises(UnsupportedFamily, match="cannot be shown"):
            vlm.ask(prompts, rows=True)
        return
    batch = vlm.batch(prompts)
    plain = copy.deepcopy(vlm.model)
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        out = cast(Any, plain).generate(
            **vlm.inputs(batch, vlm.tokens(batch)),
            max_new_tokens=STEPS,
            do_sample=False,
            output_attentions=True,
            return_dict_in_generate=True,
        )
    answers = vlm.ask(prompts, rows=True, max_new_tokens=STEPS)
    peak = 0.0
    for i in batch.with_image():
        rows = answers[i].rows
        assert rows is not None
        assert list(answers[i].ids) == out.sequences[i, batch.ids.shape[1] :][: len(answers[i].ids)].tolist()
        for k, prefill in enumerate(out.attentions[0]):
            want = prefill[i][:, batch.question[i]][..., batch.visual[i]]
            torch.testing.assert_close(rows.question[k], want, atol=1e-5, rtol=0)
            for t in range(len(answers[i].ids)):
                want = columns(out.attentions[t][k][i][:, -1], batch.visual[i], batch.ids.shape[1] + t)
                torch.testing.assert_close(rows.answer[k, :, t], want, atol=1e-5, rtol=0)
                peak = max(peak, float(want.max()))
    assert peak > 0.2, "attention must be peaked for this to prove anything"


def columns(row: Tensor, visual: Tensor, seen: int) -> Tensor:
    """Attention (heads, keys) on the visual tokens, where a sliding window may have dropped the oldest of `seen` keys."""
    dropped = max(0, seen - row.shape[1])
    return row[:, (visual - dropped).clamp(min=0)] * (visual >= dropped)


def test_attention_of_the_question_is_that_of_asking(vlm: VLM, prompts: list[Prompt]) -> None:
    batch = vlm.batch(prompts)
    shown = batch.with_image()
    if not vlm.family.in_sequence:
        with pytest.raises(UnsupportedFamily, match="cannot be shown"):
            vlm.question_attention(batch.take(shown), vlm.tokens(batch), [0])
        return
    got = vlm.question_attention(batch.take(shown), vlm.tokens(batch), range(vlm.layers))
    answers = vlm.ask(prompts, rows=True, max_new_tokens=1)
    for i, attention in zip(shown, got, strict=True):
        rows = answers[i].rows
        assert rows is not None
        torch.testing.assert_close(attention, rows.question, atol=1e-5, rtol=0)


def test_maps_can_be_checked_and_differentiated(vlm: VLM, prompts: list[Prompt]) -> None:
    """A point of the picture finds the token whose cell it lies in; gradients and a check reach the visual tokens."""
    if not vlm.family.in_sequence:
        return
    answer = vlm.ask(prompts[:1], rows=True, max_new_tokens=3)[0]
    rows = answer.rows
    assert rows is not None
    for box, place in zip(boxes(rows.tiles, range(rows.answer.shape[3])), places_in_order(rows.tiles), strict=True):
        assert place in places_at(rows.tiles, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    raised = gradient_rows(vlm, prompts[0], answer, [0, 2]).answer
    assert raised.shape == (*rows.answer.shape[:2], 2, rows.answer.shape[3])
    assert float(raised.max()) > 0
    score = Scorer.of(vlm, prompts[0], answer, range(3))
    with torch.no_grad():
        assert float(score(score.tokens[None])) == pytest.approx(sum(answer.logprobs), abs=1e-3)
    *_, found = faithfulness(score, token_map(rows, range(3)), rows.tiles, fractions=(0.3,), draws=2)
    assert found.all != 0
    assert 0 <= found.beaten <= 1


def places_in_order(tiles: Sequence[Tile]) -> list[int]:
    return sorted(int(i) for tile in tiles for i in tile.index)


# -- forget ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def request_(picture: Picture) -> ForgetRequest:
    sizes = [WIDE, TALL, SQUARE]

    def rows(who: str, count: int, first: int) -> tuple[Example, ...]:
        return tuple(
            Example(f"{who}{i}", picture(first + i, sizes[i % 3]), "What is the job?", "baker", who)
            for i in range(count)
        )

    strangers = tuple(picture(500 + i, sizes[i % 3]) for i in range(3))
    return ForgetRequest("test", rows("x", 4, 100), (), rows("y", 6, 900), strangers)


QUICK_CAGUL = CagulConfig(steps=2, width=16, gate_views=0, hard_negatives=0, batch=3, rate=0.05)


@pytest.fixture(scope="session")
def cagul(vlm: VLM, request_: ForgetRequest) -> CagulModule | None:
    """A fitted module, or None for a family that CAGUL refuses."""
    if not vlm.family.in_sequence:
        return None
    fit = CagulFit(vlm, request_, QUICK_CAGUL)
    assert all(np.isfinite(list(step.losses.values())).all() for step in fit)
    return fit.module


@pytest.fixture(scope="session")
def cvf_fit(vlm: VLM, request_: ForgetRequest) -> CvfFit:
    config = CvfConfig(steps=2, forget_batch=3, retain_batch=3, questions=2, rate=0.02, drift_budget=1.0)
    fit = CvfFit(vlm, request_, config)
    assert all(np.isfinite(list(step.losses.values())).all() for step in fit)
    return fit


def gated(module: CagulModule, threshold: float) -> CagulModule:
    """The module with a gate that flags all pictures or none."""
    gate = copy.deepcopy(module.gate)
    gate.threshold.fill_(threshold)
    return CagulModule(gate, module.encoder, module.layers, module.ratio, module.select)


def test_cagul_edits_what_its_gate_flags_and_nothing_else(
    vlm: VLM, cagul: CagulModule | None, prompts: list[Prompt], request_: ForgetRequest
) -> None:
    if cagul is None:
        with pytest.raises(UnsupportedFamily, match=r"no maps, and CAGUL.* cannot forget.*CVF, the baselines"):
            CagulFit(vlm, request_, QUICK_CAGUL)
        return
    plain = outcome(vlm, prompts)
    assert outcome(gated(cagul, 1e9).attach(vlm), prompts) == plain
    flagged = outcome(gated(cagul, -1e9).attach(vlm), prompts)
    for a, b, prompt in zip(flagged, plain, prompts, strict=True):
        assert (a == b) == (prompt.image is None)
    assert outcome(vlm, prompts) == plain


def test_cvf_changes_what_is_seen_and_nothing_else(vlm: VLM, cvf_fit: CvfFit, prompts: list[Prompt]) -> None:
    plain = outcome(vlm, prompts)
    unlearned = cvf_fit.module.attach(vlm)
    for a, b, prompt in zip(outcome(unlearned, prompts), plain, prompts, strict=True):
        assert (a == b) == (prompt.image is None)
    assert outcome(vlm, prompts) == plain
    old, new = vlm.model.state_dict(), unlearned.model.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == set(cvf_fit.module.changes)
    assert all(any(name.startswith(f"{path}.") for path in vlm.family.seeing_parts()) for name in changed)


def test_what_the_fit_trains_is_what_the_module_does(vlm: VLM, cvf_fit: CvfFit, request_: ForgetRequest) -> None:
    images = [e.image for e in request_.forget if e.image is not None]
    student = cvf_fit.student
    with torch.no_grad():
        half, _ = student.read(images, None)
        trained = student.tokens(half)
        attached = cvf_fit.module.attach(vlm).encode(images)
    for a, b in zip(trained, attached, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_the_tower_runs_from_the_middle_as_from_the_start(vlm: VLM, request_: ForgetRequest, start: int) -> None:
    images = [e.image for e in request_.retain if e.image is not None]
    seeing = Student(vlm, blocks=1).seeing
    blocks = vlm.family.blocks(vlm.model)
    start = min(start, len(blocks))
    half, whole = see_half(seeing, seeing.pixels(images), start)
    order = [4, 0, 3]
    with torch.no_grad():
        rest = see_rest(seeing, [half[i] for i in order], start)
    for i, tokens in zip(order, rest, strict=True):
        torch.testing.assert_close(tokens, whole[i], atol=1e-5, rtol=1e-5)
    for tokens, plain in zip(whole, vlm.encode(images), strict=True):
        assert torch.equal(tokens, plain)


@pytest.mark.parametrize("blocks", [-1, 0])
def test_all_blocks_or_none_can_be_trained(vlm: VLM, request_: ForgetRequest, blocks: int) -> None:
    config = CvfConfig(steps=1, forget_batch=2, retain_batch=2, questions=1, blocks=blocks, rate=0.02, drift_budget=1.0)
    if vlm.family.model_type == "gemma3" and blocks == 0:
        with pytest.raises(BadOption, match="at least one block"):
            CvfFit(vlm, request_, config)
        return
    fit = CvfFit(vlm, request_, config)
    assert list(fit)
    blocks_of = {id(layer) for block in vlm.family.blocks(fit.student.seeing.model) for layer in block.modules()}
    inside = [name for name, layer in fit.student.layers.items() if id(layer) in blocks_of]
    assert bool(inside) == (blocks == -1)
    assert set(fit.module.changes) == {f"{name}.weight" for name in fit.student.layers}


# -- keep and hand on --------------------------------------------------------------------------------------------------


def test_modules_are_restored_and_bundles_imported_to_the_last_bit(
    vlm: VLM, cagul: CagulModule | None, cvf_fit: CvfFit, prompts: list[Prompt], tmp_path: Path
) -> None:
    modules: list[Module] = [cvf_fit.module, *([] if cagul is None else [gated(cagul, -1e9)])]
    for module in modules:
        want = outcome(module.attach(vlm), prompts)
        module.save_pretrained(tmp_path / module.kind)
        assert outcome(module_from_pretrained(tmp_path / module.kind).attach(vlm), prompts) == want
        path = bundle.export(module, vlm, tmp_path / f"{module.kind}.zip", title="Test", report={}, limits=[])
        assert outcome(bundle.load(path, vlm).attach(vlm), prompts) == want


def test_a_baseline_fits_and_attaches(vlm: VLM, request_: ForgetRequest, prompts: list[Prompt]) -> None:
    method = BASELINES["gd"]
    fit = method.start(vlm, request_, method.config(steps=1, rank=2, batch=3, rate=0.05))
    plain = outcome(vlm, prompts[:2])
    assert all(np.isfinite(list(step.losses.values())).all() for step in fit)
    assert all(a != b for a, b in zip(outcome(fit.module.attach(vlm), prompts[:2]), plain, strict=True))
    assert outcome(vlm, prompts[:2]) == plain


def test_the_decoder_runs_the_same_layers_whatever_is_shown(vlm: VLM, prompts: list[Prompt]) -> None:
    """Processes that share its weights wait for one another at each linear layer. Where this is not so, none is shared."""

    def order(prompt: Prompt) -> list[str]:
        ran: list[str] = []
        hooks = [
            layer.register_forward_hook(lambda *_, name=name: ran.append(name))
            for name, layer in vlm.model.get_submodule(vlm.family.language).named_modules()
            if isinstance(layer, nn.Linear)
        ]
        vlm.score([prompt], ["baker"])
        for hook in hooks:
            hook.remove()
        return ran

    with_picture, without = order(prompts[0]), order(prompts[2])
    assert (with_picture == without) == vlm.family.in_sequence
    assert len(with_picture) == len(set(with_picture))
    if not vlm.family.in_sequence:
        with pytest.raises(UnsupportedFamily, match="where no picture is shown"):
            shard(vlm.model, vlm.family, vlm.device)


def test_the_original_is_as_it_was_loaded(
    vlm: VLM, folder: Path, cagul: CagulModule | None, cvf_fit: CvfFit, prompts: list[Prompt]
) -> None:
    """After CAGUL, CVF and a baseline were fitted and attached."""
    fresh = VLM.load(folder, device="cpu")
    weights = vlm.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in fresh.model.state_dict().items())
    assert outcome(vlm, prompts) == outcome(fresh, prompts)
    assert not any(module.__dict__.get("forward") for module in vlm.model.modules())
