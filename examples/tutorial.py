"""From a question to a bundle, on the embedded demo model: ask, look, forget, compare, export, load again.

    python examples/tutorial.py

Takes about a minute on two cores. Everything it writes goes into a folder of its own, which is named at the end.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unlearn_core import METHODS, VLM, export, from_pretrained
from unlearn_core.attention import look
from unlearn_core.bundle import Made, base_of
from unlearn_core.demo.request import exam, forget_request
from unlearn_core.evaluation.refusals import declines
from unlearn_core.vlm.loading import DEMO

WHO = "p07"
"""One of the fifty people whom the demo model knows."""


def main(steps: int = 120, pictures: int = 24, retain_pictures: int = 6, **options: Any) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tutorial-"))
    vlm = VLM.load(DEMO)

    # Questions on photographs and in words that the fit below never sees.
    asked = [e for e in exam([WHO], pictures=1, others=3) if e.kind in ("forget private", "retain private")]
    prompts = [example.prompt for example in asked]
    before = vlm.ask(prompts)
    for example, answer in zip(asked[:3], before, strict=False):
        print(f"{example.question}  {answer.text}  (truth: {example.answer})")

    # Where did the whole first answer look?
    (folder / "map.png").write_bytes(look(vlm, prompts[0]).png())

    # Forget one person. The model itself stays as it is: `module` is what was learned.
    request = forget_request([WHO], pictures=pictures, retain_pictures=retain_pictures)
    method = METHODS["cagul"]
    config = method.config(steps=steps, **options)
    fit = method.start(vlm, request, config)
    for step in fit:
        if step.forget is not None:
            print(f"{step.phase}: {step.forget:.0%} still answered, {step.retain:.0%} kept")

    # Before and after, side by side: they share all weights.
    unlearned = fit.module.attach(vlm)
    for example, one, other in zip(asked, before, unlearned.ask(prompts), strict=True):
        said = "declines" if declines(other.text) else "answers"
        print(f"{example.kind}: {one.text} -> {other.text} ({said})")

    # Take it away. What is written is loaded again and asked the same questions before it is kept.
    path = folder / "bundle.zip"
    made = Made("cagul", asdict(config))
    export(
        fit.module, vlm, path, title="Forget one person", report=fit.report, limits=[], made=made, prompts=prompts[:4]
    )

    # Anywhere else, these two lines are all it takes; the original is still there.
    again = from_pretrained(path, base=DEMO)
    assert [a.ids for a in again.ask(prompts)] == [a.ids for a in unlearned.ask(prompts)]
    assert [a.ids for a in base_of(again).ask(prompts)] == [a.ids for a in before]
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask, look, forget, compare, export and load again.")
    parser.add_argument("--steps", type=int, default=120, help="of the token encoder")
    print(main(parser.parse_args().steps))
