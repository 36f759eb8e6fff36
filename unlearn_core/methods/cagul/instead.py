"""What is to be said instead of a forgotten answer."""

from __future__ import annotations

from collections.abc import Iterator

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BadRequest

CHUNK = 32
VOICES = 3
"""Strangers of whom each question is asked."""


class Instead:
    """A refusal, or what the frozen model itself says about people it never saw, so that the two cannot be told apart. [ours]

    An example's own target comes before either.

    Raises:
        BadRequest: strangers are wanted, and the request has no pictures of any.
    """

    def __init__(self, vlm: VLM, request: ForgetRequest, target: str) -> None:
        self.vlm, self.request = vlm, request
        self.said: dict[str, list[str]] = {}
        self.prompts: list[Prompt] = []
        if target == "stranger":
            strangers = request.strangers
            if not strangers:
                raise BadRequest(
                    "The target 'stranger' needs pictures of people the model never saw. Please add some, or choose 'refusal'."
                )
            questions = sorted({e.question for e in request.forget if e.target is None})
            voices = min(VOICES, len(strangers))
            pairs = [
                (q, strangers[(j * voices + v) % len(strangers)])
                for j, q in enumerate(questions)
                for v in range(voices)
            ]
            self.prompts = [Prompt(image, q) for q, image in pairs]

    @property
    def chunks(self) -> int:
        """How many parts `ask` has."""
        return -(-len(self.prompts) // CHUNK)

    def ask(self) -> Iterator[None]:
        """Ask about strangers, part by part."""
        for at in range(0, len(self.prompts), CHUNK):
            part = self.prompts[at : at + CHUNK]
            for prompt, answer in zip(part, self.vlm.ask(part, batch_size=CHUNK), strict=True):
                if answer.text:
                    self.said.setdefault(prompt.question, []).append(answer.text)
            yield

    def __call__(self, example: Example, i: int) -> str:
        """For one example; where there is a choice, `i` makes it."""
        said = self.said.get(example.question)
        return said[i % len(said)] if said and example.target is None else self.request.target(example, i)
