"""Gradient x attention: of where a word looked, what raised its probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from unlearn_core.attention.scoring import Scorer
from unlearn_core.vlm import VLM, Answer, Prompt, Rows
from unlearn_core.vlm.capture import Trace, tracing


def gradient_rows(vlm: VLM, prompt: Prompt, answer: Answer, tokens: Sequence[int]) -> Rows:
    """Rows of chosen answer tokens in which each attention weight is multiplied with the derivative of the tokens'
    log-probability by it; what would lower the probability is 0 (the rule of Chefer, Gur and Wolf, arXiv 2103.15679, for
    the rows that predict the tokens). [related]

    One forward and one backward pass; the answer is not generated again. `answer[:, :, t]` belongs to `tokens[t]`, and the
    unit is nats.

    Raises:
        ValueError: the answer was asked for without rows, or no token is chosen.
        UnsupportedFamily: the model's attention to pictures cannot be read.
    """
    if answer.rows is None or len(tokens) == 0:
        raise ValueError("Gradients need an answer with rows, and at least one of its tokens.")
    vlm.require_rows()
    score = Scorer.of(vlm, prompt, answer, tokens)
    before = score.batch.ids.shape[1] - len(answer.ids) - 1
    trace = Trace(before + torch.as_tensor(list(tokens)))
    with torch.enable_grad(), tracing(trace):
        total = score(score.tokens[None]).sum()
        layers = [trace.kept[k] for k in sorted(trace.kept)]
        slopes = torch.autograd.grad(total, [nudge for _, nudge in layers])
    visual = score.batch.visual[0].to(total.device)
    raised = [(probs * slope)[0][..., visual] for (probs, _), slope in zip(layers, slopes, strict=True)]
    rows = torch.stack(raised).clamp(min=0).cpu()
    kept = list(tokens)
    return replace(
        answer.rows,
        answer=rows,
        on_question=answer.rows.on_question[..., kept],
        on_answer=answer.rows.on_answer[..., kept],
    )
