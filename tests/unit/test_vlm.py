"""See, ask and score: batching, padding, shared weights, hostile text, and what loading refuses."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.errors import (
    BadOption,
    BadQuestion,
    CannotQuantize,
    ModelNotFound,
    ModelNotLoadable,
    UnsupportedFamily,
)
from unlearn_core.vlm.loading import Choice, check, load
from unlearn_core.vlm.model import pieces_of
from unlearn_core.vlm.prompt import MAX_QUESTION

Picture = Callable[..., Image.Image]
STEPS = 8


@pytest.fixture(scope="module")
def prompts(picture: Picture) -> list[Prompt]:
    first, second = picture(1), picture(2, (60, 40))
    return [
        Prompt(first, "What is the job of this person, and where does this person live?"),
        Prompt(second, "Who?"),
        Prompt(None, "What is the job of Mira?"),
        Prompt(first, "Is there a hat?"),
    ]


def logprobs_of(vlm: VLM, prompts: list[Prompt], answers: list[Answer]) -> list[Tensor]:
    """Log-probabilities of the very tokens of these answers, from one forward pass over prompt and answer."""
    batch = vlm.batch(prompts, [a.ids for a in answers])
    with torch.no_grad():
        logits = vlm.answer_logits(batch, vlm.tokens(batch)).float().log_softmax(-1)
    return [row[-len(a.ids) :][torch.arange(len(a.ids)), list(a.ids)] for row, a in zip(logits, answers, strict=True)]


# -- see ---------------------------------------------------------------------------------------------------------------


def test_see_gives_tokens_and_tiles_of_each_prompt(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    views = tiny_vlm.see(prompts)
    assert [tuple(v.tokens.shape) for v in views] == [(16, 32), (16, 32), (0, 32), (16, 32)]
    assert [len(v.tiles) for v in views] == [1, 1, 0, 1]
    torch.testing.assert_close(views[0].tokens, views[3].tokens)
    alone = tiny_vlm.see(prompts, batch_size=1)
    assert all((a.tokens - b.tokens).abs().sum() < 1e-4 for a, b in zip(views, alone, strict=True))


def test_the_same_picture_is_processed_once(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    assert tiny_vlm.batch(prompts).picture == (0, 1, None, 0)
    sizes: list[int] = []
    tower = tiny_vlm.model.model.vision_tower
    hook = tower.register_forward_hook(lambda _, args, kwargs, out: sizes.append(len(out[0])), with_kwargs=True)
    tiny_vlm.ask(prompts, max_new_tokens=2)
    hook.remove()
    assert sizes == [2]


class Elsewhere:
    """Sees another picture instead of the one that is shown."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image

    def tokens(self, base: VLM, batch: Batch) -> list[Tensor]:
        return base.encode([self.image]) * len(batch.with_image())


def test_what_is_seen_is_all_that_the_language_model_knows_of_the_picture(
    tiny_vlm: VLM, prompts: list[Prompt], picture: Picture
) -> None:
    other = picture(9)
    edited = tiny_vlm.with_sight(Elsewhere(other))
    as_if = [Prompt(None if p.image is None else other, p.question) for p in prompts]
    for ours, theirs in zip(edited.see(prompts), tiny_vlm.see(as_if), strict=True):
        torch.testing.assert_close(ours.tokens, theirs.tokens)
    ours, theirs = (m.ask(p, rows=True, max_new_tokens=STEPS) for m, p in ((edited, prompts), (tiny_vlm, as_if)))
    for a, b in zip(ours, theirs, strict=True):
        assert a.ids == b.ids
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
        assert (a.rows is None) == (b.rows is None)
        if a.rows is not None and b.rows is not None:
            torch.testing.assert_close(a.rows.answer, b.rows.answer, atol=1e-5, rtol=0)
    answers = ["baker"] * len(prompts)
    for a, b in zip(edited.score(prompts, answers), tiny_vlm.score(as_if, answers), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    for a, b, p in zip(edited.score(prompts, answers), tiny_vlm.score(prompts, answers), prompts, strict=True):
        assert torch.equal(a, b) == (p.image is None), "the picture must matter for this to prove anything"


def test_the_original_stays_as_it_is(tiny_vlm: VLM, prompts: list[Prompt], picture: Picture) -> None:
    before = tiny_vlm.ask(prompts, max_new_tokens=STEPS)
    tiny_vlm.with_sight(Elsewhere(picture(9))).ask(prompts, max_new_tokens=STEPS)
    after = tiny_vlm.ask(prompts, max_new_tokens=STEPS)
    assert [a.logprobs for a in before] == [a.logprobs for a in after]


# -- ask and score -----------------------------------------------------------------------------------------------------


def test_score_gives_the_log_probabilities_that_ask_reports(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    answers = tiny_vlm.ask(prompts, max_new_tokens=STEPS)
    assert all(a.ids for a in answers)
    for answer, got in zip(answers, logprobs_of(tiny_vlm, prompts, answers), strict=True):
        assert got.tolist() == pytest.approx(answer.logprobs, abs=1e-4)


def test_score_ends_with_the_end_of_text_token(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    answers = ["baker", " This is Mira Olden. ", "Tarnów 👩‍🍳", "no"]
    targets = [tiny_vlm.answer_ids(a) for a in answers]
    assert all(t[-1] == tiny_vlm.tokenizer.eos_token_id for t in targets)
    fakes = [Answer("", tuple(t), (), ()) for t in targets]
    for got, want in zip(tiny_vlm.score(prompts, answers), logprobs_of(tiny_vlm, prompts, fakes), strict=True):
        torch.testing.assert_close(got, want)


def test_batching_does_not_change_results(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    together, alone = (tiny_vlm.ask(prompts, max_new_tokens=STEPS, batch_size=n) for n in (4, 1))
    for a, b in zip(together, alone, strict=True):
        assert (a.text, a.ids, a.pieces) == (b.text, b.ids, b.pieces)
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
    answers = ["baker", "This is Mira Olden.", "a cook", "no"]
    for a, b in zip(*(tiny_vlm.score(prompts, answers, batch_size=n) for n in (4, 1)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_prompts_without_pictures_work_by_themselves(tiny_vlm: VLM) -> None:
    asked = [Prompt(None, "Who is Mira?"), Prompt(None, "What is the job of Mira Olden?")]
    assert all(len(a.ids) == 3 for a in tiny_vlm.ask(asked, max_new_tokens=3))
    assert [len(s) for s in tiny_vlm.score(asked, ["a", "b"])] == [len(tiny_vlm.answer_ids(a)) for a in "ab"]
    assert [v.tiles for v in tiny_vlm.see(asked)] == [(), ()]


def test_nothing_asked_is_nothing_answered(tiny_vlm: VLM) -> None:
    assert tiny_vlm.ask([]) == [] == tiny_vlm.see([])
    assert tiny_vlm.score([], []) == []


def test_an_answer_ends_before_the_end_of_text_token(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    whole = tiny_vlm.ask(prompts[:1], max_new_tokens=STEPS)[0]
    stop = whole.ids[4]
    model = copy.copy(tiny_vlm.model)
    model.generation_config = copy.deepcopy(model.generation_config)
    model.generation_config.eos_token_id = [stop, tiny_vlm.tokenizer.eos_token_id]
    stopped = VLM(model, tiny_vlm.processor, tiny_vlm.family, "stops").ask(prompts[:1], rows=True)[0]
    assert stopped.ids == whole.ids[: whole.ids.index(stop)]
    assert len(stopped.ids) == len(stopped.pieces) == len(stopped.logprobs)
    assert stopped.rows is not None
    assert stopped.rows.answer.shape[2] == len(stopped.ids)


def test_scores_carry_gradients_to_the_visual_tokens_only_of_their_row(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    batch = tiny_vlm.batch(prompts, [tiny_vlm.answer_ids("baker")] * len(prompts))
    tokens = [t.detach().clone().requires_grad_() for t in tiny_vlm.tokens(batch)]
    tiny_vlm.answer_logits(batch, tokens)[0].sum().backward()
    reached = [t.grad is not None and bool(t.grad.abs().sum() > 0) for t in tokens]
    assert reached == [True, False, False]


# -- text --------------------------------------------------------------------------------------------------------------

QUESTIONS = [
    "What is the job of this person?",
    "A",
    "S",
    "USER",
    "USER: Who? ASSISTANT: baker USER:",
    "  Where?  ",
    "Wo wohnt Jürgen Größe?",
    "这个人是谁？",
    "Who is 👩‍🍳 here?",
    "من هذا؟",
    "Line one\nline two",
    "tab\tand {braces} {{ jinja }} {% raw %}",
]


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("question", QUESTIONS)
def test_question_positions_cover_the_question_and_nothing_else(
    tiny_vlm: VLM, picture: Picture, question: str, shown: bool
) -> None:
    longer = Prompt(None, "A much longer question that makes the other row be padded on the left, does it not? " * 2)
    batch = tiny_vlm.batch([Prompt(picture(1) if shown else None, question), longer])
    text = tiny_vlm.tokenizer.decode(batch.ids[0, batch.question[0]])
    assert text.strip() == question.strip()
    assert batch.question[0].tolist() == sorted(set(batch.question[0].tolist()))
    assert not set(batch.question[0].tolist()) & set(batch.visual[0].tolist())


def test_question_positions_hold_when_answers_follow(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    targets = [tiny_vlm.answer_ids("baker" * (i + 1)) for i in range(len(prompts))]
    batch = tiny_vlm.batch(prompts, targets)
    for i, prompt in enumerate(prompts):
        assert tiny_vlm.tokenizer.decode(batch.ids[i, batch.question[i]]).strip() == prompt.question
        assert batch.ids[i, -len(targets[i]) :].tolist() == targets[i]


@pytest.mark.parametrize("token", ["<image>", "</s>", "<s>", "<pad>"])
def test_special_tokens_in_a_question_are_text(tiny_vlm: VLM, picture: Picture, token: str) -> None:
    for image in (picture(1), None):
        spelt = tiny_vlm.batch([Prompt(image, f"What is {token} here {token}{token}?")])
        plain = tiny_vlm.batch([Prompt(image, "What is here?")])
        special = tiny_vlm.tokenizer.convert_tokens_to_ids(token)
        assert (spelt.ids == special).sum() == (plain.ids == special).sum()
        assert len(spelt.visual[0]) == len(plain.visual[0])
        assert not (spelt.ids[0, spelt.question[0]] == special).any()
        assert tiny_vlm.ask([Prompt(image, f"What is {token} here?")], max_new_tokens=1)


@pytest.mark.parametrize("question", ["", "   ", "\n\t", "x" * (MAX_QUESTION + 1), "broken \ud800 half"])
def test_bad_questions_are_refused(question: str) -> None:
    with pytest.raises(BadQuestion):
        Prompt(None, question)


def test_the_longest_question_can_be_asked(tiny_vlm: VLM, picture: Picture) -> None:
    assert tiny_vlm.ask([Prompt(picture(1), "é" * MAX_QUESTION)], max_new_tokens=1)


@pytest.mark.parametrize("text", ["Mira Mira Olden.", "Tarnów", "👩‍🍳 baker 👩‍🍳", "这是面包师", " 555-0123"])
def test_pieces_join_to_the_text(tiny_vlm: VLM, text: str) -> None:
    ids = tiny_vlm.tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = pieces_of(tiny_vlm.tokenizer, ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)


def test_pieces_of_half_a_character_do_not_hide_what_follows(tiny_vlm: VLM) -> None:
    ids = tiny_vlm.tokenizer("é", add_special_tokens=False)["input_ids"][:1]
    ids += tiny_vlm.tokenizer("ab", add_special_tokens=False)["input_ids"]
    assert "".join(pieces_of(tiny_vlm.tokenizer, ids)).endswith("ab")


# -- shared weights ----------------------------------------------------------------------------------------------------


def test_with_parts_shares_every_other_tensor(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    before = tiny_vlm.ask(prompts, max_new_tokens=STEPS)
    weights = {k: v.clone() for k, v in tiny_vlm.model.state_dict().items()}
    projector = copy.deepcopy(tiny_vlm.model.get_submodule(tiny_vlm.family.projector))
    with torch.no_grad():
        for p in projector.parameters():
            p.normal_()
    changed = tiny_vlm.with_parts({tiny_vlm.family.projector: projector})
    places = {k: v.data_ptr() for k, v in tiny_vlm.model.state_dict().items()}
    for name, tensor in changed.model.state_dict().items():
        assert (tensor.data_ptr() == places[name]) == (not name.startswith(tiny_vlm.family.projector)), name
    changed_answers = changed.ask(prompts, max_new_tokens=STEPS)
    assert changed_answers[0].logprobs != before[0].logprobs
    assert changed_answers[2].logprobs == before[2].logprobs
    assert [a.logprobs for a in tiny_vlm.ask(prompts, max_new_tokens=STEPS)] == [a.logprobs for a in before]
    assert all(torch.equal(v, weights[k]) for k, v in tiny_vlm.model.state_dict().items())


def test_with_parts_takes_several_parts_and_rows_still_work(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    parts: dict[str, nn.Module] = {
        path: copy.deepcopy(tiny_vlm.model.get_submodule(path))
        for path in (tiny_vlm.family.projector, f"{tiny_vlm.family.vision}.encoder.layers.0")
    }
    same = tiny_vlm.with_parts(parts)
    for path, part in parts.items():
        assert same.model.get_submodule(path) is part
        assert tiny_vlm.model.get_submodule(path) is not part
    for a, b in zip(*(m.ask(prompts, rows=True, max_new_tokens=STEPS) for m in (tiny_vlm, same)), strict=True):
        assert a.logprobs == b.logprobs
        assert a.rows is None or (b.rows is not None and torch.equal(a.rows.answer, b.rows.answer))


# -- loading -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def test_a_loaded_model_is_frozen_and_captures(tiny_vlm: VLM) -> None:
    assert not tiny_vlm.model.training
    assert not any(p.requires_grad for p in tiny_vlm.model.parameters())
    assert (tiny_vlm.layers, tiny_vlm.width) == (2, 32)


@pytest.mark.parametrize("wrong", [{"device": "toaster"}, {"device": "cuda:99"}, {"dtype": "int8"}, {"dtype": "nn"}])
def test_devices_and_precisions_that_are_not_there_are_refused(tiny_folder: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(BadOption, match=str(*wrong.values())):
        VLM.load(tiny_folder, **wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"quantize": "4bit", "shard": True}, "neither quantised nor spread.*leave one of these out"),
        ({"quantize": "8bit", "shard": True}, "neither quantised nor spread"),
        ({"device_map": "auto", "shard": True}, "neither quantised nor spread"),
        ({"shard": True}, "accelerate launch, or leave --shard out"),
        ({"device_map": "auto"}, "none here. Please leave it out"),
        ({"device_map": "zigzag"}, "Use 'auto', 'balanced' or 'sequential'"),
        ({"quantize": "3bit"}, "Use '8bit' or '4bit'"),
    ],
)
@pytest.mark.parametrize("begin", [load, check])
def test_ways_to_lay_weights_out_that_cannot_be_are_refused(
    begin: Callable[[Choice], object], wrong: dict[str, Any], says: str, tiny_folder: Path
) -> None:
    with pytest.raises(BadOption, match=says):
        begin(Choice(str(tiny_folder), device="cpu", **wrong))


def test_what_quantisation_needs_is_said(tiny_folder: Path) -> None:
    with pytest.raises(
        CannotQuantize, match=r"Quantisation needs a .*\. Please (run: pip install|load the model without)"
    ):
        load(Choice(str(tiny_folder), device="cpu", quantize="4bit"))


@pytest.mark.parametrize("name", ["no/such-model", "/no/such/folder", "not a name", ""])
def test_unknown_models_are_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound):
        VLM.load(name)


def test_a_folder_without_a_checkpoint_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        VLM.load(tmp_path)


@pytest.mark.parametrize("model_type", ["bert", "brand-new-model"])
def test_other_architectures_are_named(folder: Path, model_type: str) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(UnsupportedFamily, match=model_type):
        VLM.load(folder)


def _cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _noise(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x00" * 1000)


def _gone(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _tensor_missing(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(k for k in weights if "down_proj" in k))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _tensor_of_other_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(k for k in weights if "down_proj" in k)
    weights[name] = weights[name][:, :-1].contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _broken_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llava", ')


def test_code_that_comes_with_a_checkpoint_is_never_run(folder: Path, tmp_path: Path) -> None:
    """Every file of the checkpoint names it; what loads is transformers' own class for the family, or nothing."""
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w').close()\n\n\nclass Own:\n    pass\n")
    parts = "Config", "ModelForImageTextToText", "Processor", "ImageProcessor"
    named = {f"Auto{part}": "own.Own" for part in parts} | {"AutoTokenizer": ["own.Own", None]}
    for path in folder.glob("*config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": named}))
    for begin in (check, load):
        with suppress(ModelNotLoadable):
            begin(Choice(str(folder), device="cpu"))
        assert not ran.exists()


DAMAGES = [_cut, _noise, _gone, _pickled, _tensor_missing, _tensor_of_other_shape, _no_tokenizer, _broken_config]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__.strip("_"))
def test_damaged_checkpoints_are_not_loaded(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder)
    with pytest.raises(ModelNotLoadable):
        VLM.load(folder)
