"""Suites from requests and from the demo world; one pass over them; the table that sets models side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_method import TinyModule, request_of

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.demo import world
from unlearn_core.demo.questions import HELD_OUT, PRIVATE
from unlearn_core.demo.suite import demo_suite
from unlearn_core.evaluation.collect import Probe, Record, Scored
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.evaluate import evaluate, evaluation_of
from unlearn_core.evaluation.measure import measure
from unlearn_core.evaluation.progress import Progress, finish
from unlearn_core.evaluation.status import Form, Status
from unlearn_core.evaluation.suite import SPLITS, Side, Split, Suite, suite_of
from unlearn_core.evaluation.suite.build import by_likeness
from unlearn_core.evaluation.table import over_seeds, table
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest

Picture = Callable[..., Image.Image]
GOING = ("p07", "p19")


@pytest.fixture(scope="module")
def small_demo() -> Suite:
    """The demo suite for two people, without the cost of a whole request."""
    pictures = {who: world.photograph(world.person(who), 5) for who in GOING}
    forget = tuple(
        Example(f"{who}-{q.fact}", p.image, q.text, q.answer, who, q.kind)
        for who, p in pictures.items()
        for q in p.questions
        if q.kind == "private"
    )
    return demo_suite(ForgetRequest("two", forget), pictures=1, others=3)


# -- probes -----------------------------------------------------------------------------------------------------------


def test_options_are_asked_with_the_question_and_the_truth_is_a_letter() -> None:
    probe = Probe(Example("x", None, "What job?", "baker"), options={"A": "judge", "B": "baker"})
    assert probe.question == "What job?\nA. judge\nB. baker"
    assert probe.candidates() == (("true", "B"), ("perturbed", "A"))
    assert replace(probe, options=None).truth == "baker"
    with pytest.raises(BadRequest):
        Probe(Example("x", None, "What job?", "baker"), options={"A": "judge", "B": "nurse"})


# -- the demo suite ---------------------------------------------------------------------------------------------------


def test_the_demo_suite_has_every_split_but_that_of_options(small_demo: Suite) -> None:
    assert set(Split) - set(small_demo.splits) == {Split.NO_OPTIONS}
    assert all(small_demo.splits.values())


def test_nobody_is_on_both_sides(small_demo: Suite) -> None:
    for split, probes in small_demo.splits.items():
        subjects = {p.example.subject for p in probes}
        if SPLITS[split].side is Side.FORGET or split in (Split.KEEP, Split.FORGET_TEXT):
            assert subjects == set(GOING), split
        elif SPLITS[split].side is Side.RETAIN:
            assert not subjects & set(GOING), split


def test_each_split_of_the_forgotten_changes_one_thing(small_demo: Suite) -> None:
    def images(split: Split) -> set[int]:
        return {id(p.example.image) for p in small_demo.splits[split]}

    held_out = {q.format(who="X")[:12] for phrasings in PRIVATE.values() for q in phrasings[-HELD_OUT:]}
    words = [p.example.question for p in small_demo.splits[Split.FORGET_WORDS] if p.example.kind == "private"]
    assert images(Split.FORGET_WORDS) == images(Split.FORGET)
    assert all(w[:12] in held_out for w in words)
    assert not images(Split.FORGET_PICTURES) & images(Split.FORGET)
    assert all(p.example.image is None for p in small_demo.splits[Split.FORGET_TEXT])
    facts = {v for who in GOING for v in world.person(who).facts.values()}
    for split in (Split.FORGET_PAIRS, Split.FORGET_TEXT, Split.SHUFFLED, Split.NO_PICTURE):
        assert {p.truth for p in small_demo.splits[split] if p.example.kind != "name"} <= facts


def test_wrong_answers_are_of_the_same_form_and_wrong(small_demo: Suite) -> None:
    for probe in small_demo.splits[Split.FORGET_PICTURES]:
        if probe.example.kind == "private":
            assert len(probe.perturbed) == 3
            assert probe.truth not in probe.perturbed
            fact = next(f for f, v in world.person(probe.example.subject or "").facts.items() if v == probe.truth)
            assert set(probe.perturbed) <= {p.facts[fact] for p in world.people()}


def test_never_seen_people_are_asked_what_the_forgotten_are(small_demo: Suite) -> None:
    made_up = small_demo.splits[Split.NEVER_SEEN]
    assert all((p.example.subject or "").startswith("s") for p in made_up)
    phones = [p.truth for p in made_up if p.truth.startswith("555-")]
    assert len(phones) == 3
    assert not set(phones) & {p.facts["phone"] for p in world.people()}


def test_other_requests_have_no_demo_suite(picture: Picture) -> None:
    with pytest.raises(BadRequest, match="demo world"):
        demo_suite(request_of([picture(0), picture(1)]))


# -- a suite of any request -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def request_(picture: Picture) -> ForgetRequest:
    made = request_of([picture(i) for i in range(6)])
    return replace(made, retain=(*made.retain, Example("g", picture(9), "What is it?", "a square", None, "general")))


def test_a_request_yields_what_can_be_made_of_it(request_: ForgetRequest, tiny_vlm: VLM) -> None:
    suite = suite_of(request_, tiny_vlm, options={"f-0": {"A": "smith", "B": "baker"}})
    assert set(Split) - set(suite.splits) == {Split.GENERAL_TEXT, Split.NEVER_SEEN}
    near = {p.example.subject for p in suite.splits[Split.RETAIN_NEAR]}
    far = {p.example.subject for p in suite.splits[Split.RETAIN_FAR]}
    assert len(near) == 1
    assert len(far) == 4
    assert not near & far
    assert suite.splits[Split.FORGET][0].perturbed == ("smith",)
    assert suite.splits[Split.NO_OPTIONS][0].options is None
    assert suite.splits[Split.FORGET_TEXT][0].example.question.startswith("This is about Mira Olden.")
    assert suite.splits[Split.STRANGERS][0].truth == request_.refusals[0]


def test_what_an_example_has_of_its_own_is_asked(request_: ForgetRequest, tiny_vlm: VLM) -> None:
    given = {"paraphrased": "bakes", "perturbed": ("judge", "nurse"), "options": {"A": "judge", "B": "baker"}}
    own = replace(request_.forget[0], paraphrases=("Their work {here}?",), keywords=("baker",), **given)
    doubled = replace(request_.forget[1], options={"A": "baker", "B": "baker"})
    numbered = [replace(e, subject="00044363") for e in (own, doubled)]
    suite = suite_of(replace(request_, forget=tuple(numbered)), tiny_vlm)
    first, second = suite.splits[Split.FORGET]
    assert (first.truth, first.paraphrased, first.perturbed) == ("B", "bakes", ("judge", "nurse"))
    assert suite.splits[Split.FORGET_WORDS][0].question == "Their work {here}?\nA. judge\nB. baker"
    assert first.rephrased[0] == "Their work {here}?"
    assert [p.question for p in suite.splits[Split.NO_OPTIONS]] == [own.question]
    assert second.options is None  # two options are right
    assert Split.FORGET_TEXT not in suite.splits  # a number is no name


def test_who_looks_alike_is_near(tiny_vlm: VLM, picture: Picture) -> None:
    retain = [Example(str(i), picture(i), "?", "x", f"s{i}") for i in range(4)]
    for i in range(4):
        near, far = by_likeness(tiny_vlm, [Example("f", picture(i), "?", "x", "me")], retain)
        assert [e.subject for e in near] == [f"s{i}"]
        assert len(far) == 3


def test_the_digest_is_of_the_content(request_: ForgetRequest, tiny_vlm: VLM) -> None:
    first, again = (suite_of(request_, tiny_vlm).digest() for _ in range(2))
    assert first == again
    assert suite_of(request_, tiny_vlm, limit=1).digest() != first


# -- one pass ---------------------------------------------------------------------------------------------------------


def test_an_evaluation_goes_on_where_it_was_stopped(request_: ForgetRequest, tiny_vlm: VLM, tmp_path: Path) -> None:
    suite = suite_of(request_, tiny_vlm, limit=3)
    asked: list[int] = []

    class Counting(VLM):
        def ask(self, prompts: list, **options: object) -> list:  # type: ignore[override]
            asked.append(len(prompts))
            return super().ask(prompts, **options)  # type: ignore[arg-type]

    vlm = Counting(tiny_vlm.model, tiny_vlm.processor, tiny_vlm.family, "counting")
    whole = finish(evaluate(vlm, suite, "whole", batch_size=4))
    total = sum(asked)
    assert total == len(suite.probes)
    path = tmp_path / "records.jsonl"
    job = evaluate(vlm, suite, "parts", path, batch_size=4)
    next(job)
    next(job)
    job.close()
    seen: list[Progress] = []
    parts = finish(evaluate(vlm, suite, "parts", path, batch_size=4), seen.append)
    assert sum(asked) == 2 * total
    assert seen[-1].done == seen[-1].total == total
    assert parts.splits == whole.splits
    assert parts.statuses == whole.statuses


# -- the table --------------------------------------------------------------------------------------------------------


def said(probe: Probe, right: bool) -> Record:
    """A record of a model that gives the truth, and finds it probable, or neither."""
    p = -0.1 if right else -5.0
    candidates = tuple(
        Scored(role, text, (p if role == "true" else -2.0,), (-1.0,), (1.0,), (right,))
        for role, text in probe.candidates()
    )
    e = probe.example
    return Record(e.id, e.subject, e.kind, probe.question, probe.truth if right else "zzz", (p,), candidates)


@pytest.fixture(scope="module")
def suite() -> Suite:
    def probes(tag: str) -> tuple[Probe, ...]:
        return tuple(Probe(Example(f"{tag}{i}", None, "?", "baker"), perturbed=("judge",)) for i in range(4))

    kinds = (Split.FORGET, Split.FORGET_PICTURES, Split.RETAIN_NEAR, Split.GENERAL, Split.NO_PICTURE, Split.NEVER_SEEN)
    return Suite("test", {split: probes(split.value) for split in kinds}, form=Form.EXACT)


def model(suite: Suite, name: str, right: dict[Split, int]) -> object:
    """An evaluation in which the first so many probes of each split are right."""
    records = [said(p, i < right.get(s, 0)) for s, group in suite.splits.items() for i, p in enumerate(group)]
    return evaluation_of(records, suite, name)


def test_only_what_was_known_counts(suite: Suite) -> None:
    before = model(suite, "before", {Split.FORGET: 3, Split.FORGET_PICTURES: 4, Split.RETAIN_NEAR: 4, Split.GENERAL: 2})
    after = model(suite, "after", {Split.FORGET: 4, Split.RETAIN_NEAR: 2, Split.GENERAL: 1, Split.NO_PICTURE: 2})
    found = table(before, [after], before)  # type: ignore[arg-type]
    row = {(r.model, r.split): r for r in found.rows}
    forget = row["after", Split.FORGET]
    assert (forget.count, forget.unknown, forget.measures["answered"].value) == (3, 1, 1.0)
    control = row["after", Split.NO_PICTURE]
    assert (control.count, control.unknown, control.measures["answered"].value) == (4, 0, 0.5)
    summary = found.summaries[1]
    assert summary.leaked.value == pytest.approx(3 / 7)
    assert summary.kept is not None
    assert summary.kept.value == pytest.approx(0.5)
    assert summary.overall == pytest.approx(2 / (7 / 4 + 2))
    assert summary.leaked.low is not None
    assert summary.leaked.low < 3 / 7 < (summary.leaked.high or 0)


def test_the_retain_only_model_and_never_seen_people_give_their_metrics(suite: Suite) -> None:
    before = model(suite, "before", {s: 4 for s in suite.splits if s is not Split.NEVER_SEEN})
    gold = model(suite, "gold", {Split.RETAIN_NEAR: 4})
    first, second = table(before, [], gold).summaries  # type: ignore[arg-type]
    assert first.against["loss_auc"].value == 1.0
    assert second.against["loss_auc"].value == 0.5
    assert first.against["ks_statistic"].value == 1.0
    assert second.against["ks_statistic"].value == 0.0
    scores = ("min_k_auc", "min_k_pp_auc", "loss_auc", "zlib_auc")
    assert {f"tpr_at_1_fpr_{key}" for key in scores} <= set(first.against)
    assert first.against["tpr_at_1_fpr_loss_auc"].value == 1.0
    assert second.against["tpr_at_1_fpr_loss_auc"].value == 0.0
    # AUC 1 against 0.5 of the retain-only model: (0 - 0.5) / 0.5
    assert first.against["priv_leak"].value == -100.0
    assert second.against["priv_leak"].value == 0.0


def test_one_pass_gives_every_metric_that_a_record_has_what_is_needed_for() -> None:
    plain = Probe(Example("p", None, "Job?", "a baker", keywords=("baker",)), "bakes", ("judge",))
    choice = replace(plain, options={"A": "a baker", "B": "judge"})
    found = measure([plain, choice], [said(plain, True), said(choice, False)], [Status.CORRECT, Status.FORMAT_ERROR])
    assert {
        "answered", "refusal_rate", "gibberish_rate", "rouge_l_recall", "rouge_l_f1", "bleu", "keywords_word",
        "keywords_substring", "loss", "probability", "normalised_probability", "truth_ratio_forget", "truth_ratio_retain",
        "exact_memorisation", "extraction_strength", "choice_accuracy", "choice_invalid",
    } == set(found)  # fmt: skip
    assert (found["keywords_word"].per_example, found["choice_invalid"].value) == ((1.0, 0.0), 1.0)


def test_a_model_that_knew_nothing_cannot_forget(suite: Suite) -> None:
    with pytest.raises(NothingToMeasure, match="did not know"):
        table(model(suite, "before", {}), [])  # type: ignore[arg-type]


def test_seeds_are_averaged(suite: Suite) -> None:
    before = model(suite, "before", dict.fromkeys(suite.splits, 4))
    runs = [model(suite, "after", {Split.FORGET: n}) for n in (0, 4)]
    spread = over_seeds([table(before, [run]).summaries[1] for run in runs])["leaked"]  # type: ignore[arg-type,list-item]
    assert (spread.mean, spread.seeds) == (0.25, 2)
    assert spread.std == pytest.approx(0.5 / 2**0.5)


def test_statuses_follow_the_form_of_the_suite(suite: Suite) -> None:
    probe = suite.splits[Split.FORGET][0]
    assert suite.status(probe, "a baker by trade") is Status.WRONG
    assert replace(suite, form=Form.FREE).status(probe, "a baker by trade") is Status.CORRECT
    choice = replace(probe, options={"A": "judge", "B": "baker"})
    assert suite.status(choice, "B") is Status.CORRECT


def test_tiny_modules_share_the_suite(request_: ForgetRequest, tiny_vlm: VLM) -> None:
    after = TinyModule(torch.zeros(tiny_vlm.width)).attach(tiny_vlm)
    suite = suite_of(request_, tiny_vlm, limit=2)
    one, two = (finish(evaluate(v, suite, "x")) for v in (tiny_vlm, after))
    assert one.splits == two.splits
