"""Keep chosen attention rows while SDPA computes the output.

Registers the attention implementation `vlm_rows`: plain SDPA, and inside `capturing(...)` in addition an explicit
softmax of the wanted rows only. No map of sequence length squared is ever stored, nor built where SDPA can do without.
Inside `tracing(...)` the wanted rows stand in the graph, for gradients. Outside both nothing is added. While answers are generated only the queries are put aside; their rows are computed together at the end, which
takes a fraction of the time of one small softmax per token and layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

IMPLEMENTATION = "vlm_rows"


class LayersDone(Exception):
    """Raised inside a forward pass when the last wanted layer is stored and the rest of the pass is not needed."""


@dataclass
class Waiting:
    """Generated tokens of one layer whose rows are still to be computed.

    `steps` holds each token's query (b, h, 1, d), mask and number of keys. `keys` are those of the latest token; they
    begin with the keys of every token before it, as long as none is dropped.
    """

    keys: Float[Tensor, "b hk k d"]
    scaling: float | None
    softcap: float | None
    steps: list[tuple[Tensor, Tensor | None, int]] = field(default_factory=list)


@dataclass
class Capture:
    """What to keep of a left-padded batch, and what was kept.

    Args:
        rows: positions in the prefill whose rows are kept; ragged rows are filled up with any valid position.
        cols: key positions that are kept, likewise ragged; some may lie beyond the prompt, in what is yet to come.
        layers: which decoder layers, or None for all.
        stop_after: end the pass with `LayersDone` once this layer is stored.

    `kept[layer]` is complete when `capturing` ends: first the rows of the prefill, (b, heads, r, c), then those of the
    generated tokens, in order, in one or more pieces (b, heads, tokens, c).
    """

    rows: Int[Tensor, "b r"]
    cols: Int[Tensor, "b c"]
    layers: frozenset[int] | None = None
    stop_after: int | None = None
    kept: dict[int, list[Float[Tensor, "b h r c"]]] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, Waiting] = field(default_factory=dict)


@dataclass
class Trace:
    """Attention rows of one prompt that stand in the graph of its forward pass, so that a gradient reaches them.

    Args:
        rows: positions whose rows are traced.

    `kept[layer]` holds the rows (1, heads, r, keys) without graph, and zeros of the same shape that were added to them:
    what depends on the pass can be differentiated by these.
    """

    rows: Int[Tensor, " r"]
    kept: dict[int, tuple[Float[Tensor, "1 h r k"], Float[Tensor, "1 h r k"]]] = field(default_factory=dict)


_active: ContextVar[Capture | None] = ContextVar("vlm_rows", default=None)
_traced: ContextVar[Trace | None] = ContextVar("vlm_rows_traced", default=None)


@contextmanager
def capturing(capture: Capture) -> Iterator[Capture]:
    """Make `capture` the one that this thread's forward passes fill."""
    token = _active.set(capture)
    try:
        yield capture
    finally:
        _active.reset(token)
    for layer in list(capture.waiting):
        _finish(capture, layer)


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Put the rows of `trace` into the graph of this thread's forward passes, which must be of one prompt without cache."""
    token = _traced.set(trace)
    try:
        yield trace
    finally:
        _traced.reset(token)


def _take(x: Tensor, index: Int[Tensor, "b k"], dim: int) -> Tensor:
    """Select per batch row: x (b, h, ..) along `dim` (2 or 3) by `index`."""
    if x.shape[0] == 1 and index.shape[0] > 1:
        x = x.expand(index.shape[0], *x.shape[1:])
    view = [index.shape[0], 1, 1, 1]
    view[dim] = index.shape[1]
    shape = list(x.shape)
    shape[dim] = index.shape[1]
    return x.gather(dim, index.view(view).expand(shape))


def row_softmax(
    query: Float[Tensor, "b h r d"],
    key: Float[Tensor, "b hk k d"],
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None = None,
) -> Float[Tensor, "b h r k"]:
    """softmax(q k^T * scaling + mask) in float32; key heads may be fewer than query heads (grouped queries).

    Where the model caps them, scores s become softcap * tanh(s / softcap) before they are masked.
    """
    b, h, r, d = query.shape
    hk = key.shape[1]
    grouped = torch.matmul(query.reshape(b, hk, h // hk * r, d), key.transpose(2, 3))
    scores = grouped.reshape(b, h, r, key.shape[2]).float() * (d**-0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * (scores / softcap).tanh()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask.float()
    return scores.softmax(-1)


@torch.no_grad()
def _keep(
    capture: Capture,
    layer: int,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None,
    causal: bool,
) -> None:
    q_len, k_len = query.shape[2], key.shape[2]
    seen = capture.seen.get(layer, 0) + q_len
    capture.seen[layer] = seen
    dropped = max(0, seen - k_len)  # a sliding-window cache has dropped this many old keys
    if q_len == 1 and not dropped:
        waiting = capture.waiting.setdefault(layer, Waiting(key, scaling, softcap))
        waiting.keys = key
        waiting.steps.append((query.detach(), mask, k_len))
        return
    _finish(capture, layer)
    if q_len > 1:
        rows = capture.rows.to(query.device) - (seen - q_len)
        query = _take(query, rows, 2)
        if mask is not None and mask.shape[2] > 1:
            mask = _take(mask, rows, 2)
        elif mask is None and causal:
            places = torch.arange(k_len, device=query.device)
            mask = (places <= (rows + seen - q_len - dropped)[:, :, None])[:, None]
    probs = row_softmax(query, key, None if mask is None else mask[..., :k_len], scaling, softcap)
    capture.kept.setdefault(layer, []).append(_columns(probs, capture.cols.to(query.device), dropped))


@torch.no_grad()
def _finish(capture: Capture, layer: int) -> None:
    """Compute the rows that wait in this layer."""
    waiting = capture.waiting.pop(layer, None)
    if waiting is None:
        return
    queries = torch.cat([query for query, _, _ in waiting.steps], 2)
    probs = row_softmax(queries, waiting.keys, _mask_of(waiting), waiting.scaling, waiting.softcap)
    capture.kept.setdefault(layer, []).append(_columns(probs, capture.cols.to(probs.device), 0))


def _mask_of(waiting: Waiting) -> Tensor:
    """The masks of the waiting tokens as rows of one mask; keys that came after a token are hidden from it."""
    given = [mask for _, mask, _ in waiting.steps if mask is not None]
    like = given[0] if given else torch.ones(1, 1, 1, 1, dtype=torch.bool, device=waiting.keys.device)
    hidden, shown = (False, True) if like.dtype == torch.bool else (float("-inf"), 0.0)
    rows = like.new_full((*like.shape[:2], len(waiting.steps), waiting.keys.shape[2]), hidden)
    for t, (_, mask, length) in enumerate(waiting.steps):
        rows[:, :, t, :length] = shown if mask is None else mask[:, :, 0, :length]
    return rows


def _columns(probs: Float[Tensor, "b h r k"], cols: Int[Tensor, "b c"], dropped: int) -> Float[Tensor, "b h r c"]:
    """The wanted columns; those whose keys have been dropped, or have not come yet, get no attention."""
    index = (cols - dropped)[:, None, None].expand(*probs.shape[:3], cols.shape[1])
    length = probs.shape[3]
    return probs.gather(3, index.clamp(0, length - 1)).masked_fill((index < 0) | (index >= length), 0.0)


def _capped_attention(
    query: Float[Tensor, "b h q d"],
    key: Float[Tensor, "b hk k d"],
    value: Float[Tensor, "b hk k d"],
    mask: Tensor | None,
    scaling: float | None,
    softcap: float,
    causal: bool,
) -> Float[Tensor, "b q h d"]:
    """Attention with capped scores, which SDPA does not know: the one case in which whole maps are built."""
    q_len, k_len = query.shape[2], key.shape[2]
    if mask is None and causal:
        places = torch.arange(k_len, device=query.device)
        mask = places <= places[k_len - q_len :, None]
    probs = row_softmax(query, key, None if mask is None else mask[..., :k_len], scaling, softcap)
    return _weighted(probs.nan_to_num(0.0), value)  # a row of padding attends to nothing


def _weighted(probs: Float[Tensor, "b h r k"], value: Float[Tensor, "b hk k d"]) -> Float[Tensor, "b r h d"]:
    """What rows of attention read; value heads may be fewer than query heads."""
    (b, h, r, k), hk = probs.shape, value.shape[1]
    out = torch.matmul(probs.to(value.dtype).reshape(b, hk, h // hk * r, k), value)
    return out.reshape(b, h, r, -1).transpose(1, 2).contiguous()


def _with_traced_rows(
    trace: Trace,
    layer: int,
    out: Float[Tensor, "1 q h d"],
    query: Float[Tensor, "1 h q d"],
    key: Float[Tensor, "1 hk k d"],
    value: Float[Tensor, "1 hk k d"],
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None,
    causal: bool,
) -> Float[Tensor, "1 q h d"]:
    """The output of attention, its traced rows computed anew from a softmax that stands in the graph."""
    rows, length = trace.rows.to(query.device), key.shape[2]
    if mask is not None:
        mask = (mask if mask.shape[2] == 1 else mask[:, :, rows])[..., :length]
    elif causal:
        mask = torch.arange(length, device=query.device) <= rows[:, None]
    probs = row_softmax(query[:, :, rows], key, mask, scaling, softcap)
    nudge = torch.zeros_like(probs, requires_grad=True)
    trace.kept[layer] = probs.detach(), nudge
    return out.index_copy(1, rows, _weighted(probs + nudge, value))


def rows_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: SDPA, plus the wanted rows of the active capture."""
    kwargs.pop("output_attentions", None)
    softcap = kwargs.pop("softcap", None)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    capture = _active.get()
    layer = getattr(module, "layer_idx", None)
    if capture is not None and layer is not None and (capture.layers is None or layer in capture.layers):
        _keep(capture, layer, query, key, attention_mask, scaling, softcap, causal)
        if layer == capture.stop_after:
            raise LayersDone
    if softcap is not None:
        out = _capped_attention(query, key, value, attention_mask, scaling, softcap, causal)
    else:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )
    trace = _traced.get()
    if trace is not None and layer is not None:
        out = _with_traced_rows(trace, layer, out, query, key, value, attention_mask, scaling, softcap, causal)
    return out, None


AttentionInterface.register(IMPLEMENTATION, rows_attention)
# Without its own mask entry the implementation would get no mask at all, and padding would be attended to.
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
