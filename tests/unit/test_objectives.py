"""Losses are tested by the values and gradients they must and must not produce."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from unlearn_core.methods.objectives import answer_cross_entropy, answer_divergence, info_nce, scaled_error


def test_cross_entropy_reads_answer_positions_only() -> None:
    logits = torch.randn(2, 5, 7, requires_grad=True)
    targets = (torch.tensor([1, 2, 3]), torch.tensor([4]))
    losses = answer_cross_entropy(logits, targets)
    torch.testing.assert_close(losses[0], F.cross_entropy(logits[0, 2:], targets[0]))
    torch.testing.assert_close(losses[1], F.cross_entropy(logits[1, 4:], targets[1]))
    losses.sum().backward()
    assert logits.grad is not None
    assert bool((logits.grad[0, :2] == 0).all())
    assert bool((logits.grad[1, :4] == 0).all())


def test_divergence_is_zero_at_the_reference_and_positive_elsewhere() -> None:
    reference = torch.randn(2, 4, 9)
    assert float(answer_divergence(reference, reference, [4, 2]).abs().max()) < 1e-6
    assert float(answer_divergence(reference + torch.randn(2, 4, 9), reference, [4, 2]).min()) > 0


def test_info_nce_prefers_positives() -> None:
    anchor = F.normalize(torch.randn(3, 8), dim=-1)
    far = torch.randn(3, 10, 8)
    good = info_nce(anchor, anchor[:, None], far, 0.1)
    bad = info_nce(anchor, -anchor[:, None], far, 0.1)
    assert float(good) < float(bad)


def test_info_nce_pulls_to_positives_and_pushes_from_negatives() -> None:
    anchor = torch.tensor([[1.0, 1.0]], requires_grad=True)
    info_nce(anchor, torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]]), 1.0).backward()
    assert anchor.grad is not None
    assert anchor.grad[0, 0] < 0 < anchor.grad[0, 1]


def test_scaled_error_is_in_units_of_variance() -> None:
    old = torch.zeros(4, 3)
    new = torch.tensor([1.0, 2.0, 3.0]).expand(4, 3)
    torch.testing.assert_close(scaled_error(new, old, torch.tensor([1.0, 4.0, 9.0])), torch.tensor(1.0))
