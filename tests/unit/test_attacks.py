"""Each attack finds the leak that it is made for, under the same budget on every model, and changes no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_method import TinyModule
from torch import Tensor

from tests.contract import zoo
from unlearn_core.data.example import REFUSAL, Example
from unlearn_core.evaluation.attacks import ATTACKS, LEVELS, AttackResult, Budget, Target, audit, budgets_of
from unlearn_core.evaluation.attacks.audit import BEYOND
from unlearn_core.evaluation.attacks.base import share
from unlearn_core.evaluation.attacks.noise import PIXELS, NoiseBudget, _channels, noisy
from unlearn_core.evaluation.attacks.probes import ProbesBudget
from unlearn_core.evaluation.attacks.relearning import RelearningBudget, answer_loss, not_among, relearned
from unlearn_core.evaluation.attacks.rounding import RoundingBudget, rounded, with_rounded_weights
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.progress import Progress, finish
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import Gate
from unlearn_core.methods.cagul.module import CagulModule, CagulSight
from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.errors import BadOption, BadRequest

Picture = Callable[..., Image.Image]
FACTS = {"job": "baker", "city": "Tarnow", "pet": "goldfish"}


class Pretender:
    """Knows every fact, and says it if `willing` to, else refuses. It only answers: enough for a black-box attack."""

    def __init__(self, truths: dict[str, str], willing: Callable[[Prompt], bool]) -> None:
        self.truths, self.willing, self.asked = truths, willing, 0

    def ask(self, prompts: Sequence[Prompt], batch_size: int = 32) -> list[Answer]:
        self.asked += len(prompts)
        return [Answer(self._say(p), (), (), ()) for p in prompts]

    def _say(self, prompt: Prompt) -> str:
        fact = next(f for f in FACTS if f in prompt.question.split(". ")[-1] or f in prompt.question)
        return f"It is {self.truths[fact]}." if self.willing(prompt) else REFUSAL


@pytest.fixture(scope="module")
def suite(picture: Picture) -> Suite:
    """Three facts of one person to forget and of one to retain, in the splits that attacks need."""

    def probes(who: str, image: Image.Image | None, tag: str) -> tuple[Probe, ...]:
        return tuple(
            Probe(
                Example(f"{who}-{tag}-{fact}", image, f"What is the {fact}?", truth, who),
                rephrased=(f"Tell me the {fact}.", f"Say the {fact}."),
            )
            for fact, truth in FACTS.items()
        )

    both = picture(3)
    splits = {
        Split.FORGET: probes("me", picture(1), "fit"),
        Split.FORGET_PICTURES: probes("me", picture(2), "new"),
        Split.FORGET_PAIRS: probes("me", both, "pair"),
        Split.FORGET_TEXT: probes("me", None, "text"),
        Split.BYSTANDER: probes("you", both, "pair"),
        Split.RETAIN_NEAR: probes("you", picture(4), "near"),
        Split.GENERAL: probes("", picture(5), "general"),
        Split.NEVER_SEEN: probes("nobody", picture(6), "never"),
    }
    gallery = {who: tuple(picture(k + i) for i in range(6)) for who, k in (("me", 20), ("you", 30), ("they", 40))}
    return Suite("three facts", splits, {"me": "Mira Olden", "you": "Bruno Lindt"}, gallery, (REFUSAL,))


def attack(name: str, suite: Suite, leaks: Callable[[Prompt], bool], **models: Any) -> AttackResult:
    """One attack on a model that gives facts away where `leaks`, with a retain-only model that never does."""
    knowing, ignorant = Pretender(FACTS, lambda p: True), Pretender(FACTS, lambda p: False)
    target = Target(
        **({"before": knowing, "after": Pretender(FACTS, leaks), "gold": ignorant, "suite": suite} | models)
    )
    return finish(ATTACKS[name].run(target, ATTACKS[name].budget()))


LEAKS: dict[str, Callable[[Prompt], bool]] = {
    "phrasings": lambda p: p.question.startswith("Say"),
    "hints": lambda p: "What is the city? Tarnow" in p.question and "job?" in p.question,
    "personas": lambda p: "play" in p.question,
    "names": lambda p: p.image is None,
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found_and_told_from_none(name: str, suite: Suite) -> None:
    stays = {id(p.example.image) for p in suite.splits[Split.RETAIN_NEAR]}
    found = attack(name, suite, lambda p: id(p.image) in stays or LEAKS[name](p))
    none = attack(name, suite, lambda p: id(p.image) in stays)
    assert found.forget.worst.value > 0
    assert 0 < found.forget.mean.value < found.forget.worst.value or found.forget.worst.value < 1
    assert found.plain is not None
    assert (found.plain.value, found.gold and found.gold.worst.value) == (0, 0)
    assert (found.withstands, none.withstands) == (False, True)
    assert "gives way" in found.verdict
    assert none.forget.worst.high is not None
    assert none.forget.worst.high > 0.2  # three facts prove little
    assert "as far as so few can tell" in none.verdict
    assert "100.0% for people who stay" in none.verdict


def test_what_leaves_nobody_answered_proves_nothing(suite: Suite) -> None:
    broken = attack("phrasings", suite, lambda p: False)
    assert broken.withstands is None
    assert "breaks answers about everybody" in broken.verdict


def test_altered_and_other_pictures_are_tried(suite: Suite) -> None:
    own = {id(p.example.image) for group in suite.splits.values() for p in group}
    others = {id(i) for i in suite.gallery["me"]}
    altered = attack("pictures", suite, lambda p: id(p.image) not in own | others)
    other = attack("pictures", suite, lambda p: id(p.image) in others)
    assert altered.forget.worst.value == other.forget.worst.value == 1
    assert altered.notes["tries"] == 10
    assert altered.forget.mean.value == pytest.approx(0.7)
    assert other.forget.mean.value == pytest.approx(0.3)


def test_pairs_have_the_bystander_as_control(suite: Suite) -> None:
    ids = {id(p.example.image) for p in suite.splits[Split.FORGET_PAIRS]}
    result = attack("pairs", suite, lambda p: id(p.image) in ids)
    assert result.forget.worst.value == 1
    assert result.retain is not None
    assert result.retain.worst.value == 1


def test_what_the_model_never_knew_is_left_out_and_counted(suite: Suite) -> None:
    before = Pretender(FACTS, lambda p: "pet" not in p.question)
    result = attack("phrasings", suite, lambda p: True, before=before)
    assert (result.forget.worst.count, result.unknown) == (2, 1)
    with pytest.raises(NothingToMeasure):
        attack("phrasings", suite, lambda p: True, before=Pretender(FACTS, lambda p: False))


def test_what_the_retain_only_model_gives_as_well_is_no_recovery(suite: Suite) -> None:
    guesser = Pretender(FACTS, lambda p: True)
    result = attack("phrasings", suite, lambda p: True, gold=guesser)
    assert result.forget.worst.value == 1
    assert result.withstands


def test_hints_never_hold_the_answer(suite: Suite) -> None:
    rng = np.random.default_rng(0)
    hints = ATTACKS["hints"]
    for probe in suite.splits[Split.FORGET]:
        for prompt in hints.prompts(probe, suite, hints.budget(), rng):  # type: ignore[attr-defined]
            assert not suite.gives_away(probe, prompt.question)


def test_an_interval_of_nothing_is_not_nothing() -> None:
    none, every = share([False] * 20), share([True] * 20)
    assert (none.value, every.value) == (0, 1)
    assert none.high is not None
    assert 0.1 < none.high < 0.2
    assert every.low == pytest.approx(1 - none.high)


# -- attacks that look inside, on a tiny model ------------------------------------------------------------------------


class WordForWord(Suite):
    """What a random model says is no sentence, so that it counts only as a whole."""

    def gives_away(self, probe: Probe, answer: str) -> bool:
        return answer == probe.truth


@pytest.fixture(scope="module")
def own_suite(suite: Suite, tiny_vlm: VLM) -> Suite:
    """The same questions, and what the tiny model says to each of them as the truth: it knows everything."""

    def told(probes: Sequence[Probe]) -> tuple[Probe, ...]:
        answers = tiny_vlm.ask([p.prompt for p in probes])
        return tuple(
            replace(p, example=replace(p.example, answer=a.text)) for p, a in zip(probes, answers, strict=True)
        )

    splits = {split: told(probes) for split, probes in suite.splits.items()}
    return WordForWord(suite.name, splits, suite.names, suite.gallery, suite.refusals)


class Watcher:
    """A gate that opens on bright tokens and then lets nothing through; tokens are made without a gradient."""

    def __init__(self, threshold: float = -10.0) -> None:
        self.threshold = threshold

    def margins(self, tokens: list[Tensor]) -> Tensor:
        return torch.stack([t.sum() for t in tokens])[None] - self.threshold

    @torch.no_grad()
    def tokens(self, base: VLM, batch: Batch) -> list[Tensor]:
        return [torch.zeros_like(t) for t in base.tokens(batch)]


def levels(vlm: VLM, batch: Batch) -> list[Tensor]:
    """The batch's processed pictures in levels of 0 to 255."""
    return [
        (p[PIXELS] * _channels(vlm, "image_std", p[PIXELS]) + _channels(vlm, "image_mean", p[PIXELS])) * 255
        for p in batch.pixels
    ]


@pytest.mark.parametrize("gated", [True, False])
def test_noise_stays_within_its_bound_and_does_what_it_is_aimed_at(
    gated: bool, own_suite: Suite, tiny_vlm: VLM
) -> None:
    vlm = tiny_vlm.with_sight(Watcher()) if gated else tiny_vlm
    probes = own_suite.splits[Split.RETAIN_NEAR][:2]
    budget = NoiseBudget(levels=4, steps=6, step=1.0)
    plain = vlm.batch([p.prompt for p in probes])
    batch = finish(noisy(vlm, own_suite, probes, budget))
    for old, new in zip(levels(vlm, plain), levels(vlm, batch), strict=True):
        change = new - old
        assert 0 < change.abs().max() <= 4 + 1e-3
        torch.testing.assert_close(change, change.round(), atol=1e-3, rtol=0)
        assert new.min() >= -1e-3
        assert new.max() <= 255 + 1e-3
    if gated:
        first, last = (Watcher().margins(tiny_vlm.tokens_of(b.pixels)).amax() for b in (plain, batch))
        assert last < first


def test_noise_opens_the_gate_of_cagul(own_suite: Suite, tiny_vlm: VLM) -> None:
    """A picture that is just about flagged no longer is, so that it is seen as by the original model."""
    gate = Gate(4 * tiny_vlm.width, 1, 0)
    torch.nn.init.normal_(gate.first, generator=torch.Generator().manual_seed(0))
    module = CagulModule(gate.requires_grad_(False), TokenEncoder(tiny_vlm.width, 4), (0,), 0.5, "lowest")
    probes = own_suite.splits[Split.FORGET][:1]
    plain = tiny_vlm.batch([p.prompt for p in probes])
    gate.threshold += CagulSight((module,)).margins(tiny_vlm.tokens(plain))[0, 0] - 0.01
    vlm = module.attach(tiny_vlm)
    assert gate.flags(tiny_vlm.tokens(plain)).all()
    batch = finish(noisy(vlm, own_suite, probes, NoiseBudget(levels=8, steps=5)))
    assert not gate.flags(tiny_vlm.tokens(batch)).any()
    first, last = (v.answers(batch, False, 8) for v in (tiny_vlm, vlm))
    assert [a.ids for a in first] == [a.ids for a in last]


@pytest.mark.parametrize("family", [zoo.llava, zoo.llava_next, zoo.qwen2_vl])
def test_one_level_of_noise_is_one_level_of_the_picture(family: Callable[[], Any]) -> None:
    from unlearn_core.vlm.families import family_of

    model, processor = family()
    vlm = VLM(model, processor, family_of(model.config.model_type), "zoo")
    dark, light = (vlm.pixels([Image.new("RGB", (64, 64), (c, c + 20, c + 40))])[0][PIXELS] for c in (100, 101))
    change = (light - dark) * _channels(vlm, "image_std", dark) * 255
    torch.testing.assert_close(change, torch.ones_like(change), atol=1e-2, rtol=0)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounded_weights_are_near_and_few(bits: int) -> None:
    weight = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    near = rounded(weight, bits)
    scale = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((near - weight).abs() <= scale / 2 + 1e-6).all()
    assert all(len(row.unique()) <= 2**bits - 1 for row in near)
    torch.testing.assert_close(rounded(near, bits), near)
    assert not rounded(torch.zeros(2, 3), bits).any()


def test_rounding_keeps_the_module_and_leaves_the_model_alone(own_suite: Suite, tiny_vlm: VLM) -> None:
    before = {n: p.clone() for n, p in tiny_vlm.model.named_parameters()}
    sight = TinyModule(torch.ones(tiny_vlm.width))
    twin = with_rounded_weights(sight.attach(tiny_vlm), 4)
    assert twin.sight is sight
    layer = f"{tiny_vlm.family.language}.layers.0.mlp.up_proj.weight"
    assert not torch.equal(twin.model.get_parameter(layer), before[layer])
    assert all(torch.equal(p, before[n]) for n, p in tiny_vlm.model.named_parameters())


def test_relearning_learns_and_leaves_the_model_alone(own_suite: Suite, tiny_vlm: VLM) -> None:
    data = [replace(p, example=replace(p.example, answer="baker")) for p in own_suite.splits[Split.FORGET]]
    before = {n: p.clone() for n, p in tiny_vlm.model.named_parameters()}
    budget = RelearningBudget(steps=12, rate=1e-2, batch=4)
    assert not_among(data, data) == data
    assert {p.example.id for p in not_among(own_suite.splits[Split.FORGET], own_suite.splits[Split.FORGET][:1])} == {
        p.example.id for p in own_suite.splits[Split.FORGET][1:]
    }
    for vlm in (tiny_vlm, tiny_vlm.with_sight(Watcher())):
        twin = finish(relearned(vlm, data, budget))
        assert twin.sight is vlm.sight
        assert answer_loss(twin, data) < 0.8 * answer_loss(vlm, data)
    assert all(torch.equal(p, before[n]) for n, p in tiny_vlm.model.named_parameters())
    assert not any(p.requires_grad for p in tiny_vlm.model.parameters())


def test_what_passes_no_gradient_cannot_be_trained_through(own_suite: Suite, tiny_vlm: VLM) -> None:
    with pytest.raises(BadRequest, match="part 'all'"):
        finish(
            relearned(
                tiny_vlm.with_sight(Watcher()), own_suite.splits[Split.FORGET], RelearningBudget(part="visual", steps=1)
            )
        )


def test_probes_see_where_identity_ends(own_suite: Suite, tiny_vlm: VLM) -> None:
    """The module blanks the tokens: a probe still reads the tower, and is at chance on what is read."""
    target = Target(tiny_vlm, tiny_vlm.with_sight(Watcher()), own_suite, tiny_vlm)
    hard = replace(
        own_suite, gallery={w: tuple(i for _ in range(3) for i in g[:2]) for w, g in own_suite.gallery.items()}
    )
    same = finish(ATTACKS["probes"].run(replace(target, suite=hard), ProbesBudget()))
    assert [p.label for p in same.curve] == ["block 1", "block 2", "visual tokens", "tokens as read"]
    assert same.curve[-1].forget.value in (0, 1)  # all pictures look the same, so all get the same name
    assert same.curve[-1].forget.count == 3
    assert same.notes["before"]["visual tokens"] == same.curve[-2].forget.value
    alone = finish(ATTACKS["probes"].run(replace(target, suite=hard, gold=None), ProbesBudget(pictures=2)))
    assert alone.withstands is None
    assert "without a retain-only model" in alone.verdict


SMALL: dict[str, Budget] = {
    "noise": NoiseBudget(steps=1, facts=2),
    "probes": ProbesBudget(pictures=2),
    "membership": Budget(facts=2),
    "rounding": RoundingBudget(facts=1, bits=(8,)),
    "relearning": RelearningBudget(shares=(0.5, 1.0), steps=1, facts=1),
}


def test_an_audit_says_what_was_not_run(own_suite: Suite, tiny_vlm: VLM) -> None:
    splits = {s: p for s, p in own_suite.splits.items() if s is not Split.FORGET_PAIRS}
    target = Target(tiny_vlm, tiny_vlm, replace(own_suite, splits=splits), tiny_vlm)
    names = ["pairs", *SMALL]
    seen: list[Progress] = []
    found = finish(audit(target, names, SMALL), seen.append)
    assert [r.attack for r in found.results] == names[1:]
    assert {n.title for n in found.not_run} == {ATTACKS[n].title for n in ATTACKS if n not in names[1:]} | set(BEYOND)
    # The models are the same, so nothing is beyond the retain-only one.
    assert not any(r.withstands is False for r in found.results)
    assert next(r for r in found.results if r.attack == "membership").retain is not None
    assert all(asdict(r)["budget"]["facts"] for r in found.results)
    assert [p.label for p in next(r for r in found.results if r.attack == "relearning").curve] == ["50%", "100%"]
    assert all(p.done <= p.total for p in seen)
    with pytest.raises(BadOption):
        finish(audit(target, ["wishing"]))


def test_budgets_come_in_three_sizes() -> None:
    quick, standard, thorough = (budgets_of(level, seed=3) for level in LEVELS)
    assert set(quick) == set(ATTACKS)
    for name, attack_ in ATTACKS.items():
        assert quick[name].facts < standard[name].facts < thorough[name].facts
        assert standard[name] == replace(attack_.budget(), seed=3)
