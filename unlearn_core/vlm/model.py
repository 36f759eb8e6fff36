"""The VLM: see, ask, score. An unlearned model is a VLM that shares all weights and only sees differently."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial, update_wrapper
from pathlib import Path
from types import MethodType
from typing import Any, Protocol, TypeVar

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from unlearn_core.vlm.batch import Batch, collate, pixels_of
from unlearn_core.vlm.capture import Capture, LayersDone, capturing
from unlearn_core.vlm.card import UNKNOWN
from unlearn_core.vlm.errors import BadRequest, UnsupportedFamily
from unlearn_core.vlm.families import Family, Pixels
from unlearn_core.vlm.images import to_rgb
from unlearn_core.vlm.prompt import Answer, Prompt, Rows, Tile, View
from unlearn_core.vlm.room import Room, in_batches
from unlearn_core.vlm.sharding import is_sharded

M = TypeVar("M", bound=nn.Module)

BATCH = 32
MAX_NEW_TOKENS = 48


class Sight(Protocol):
    """How an unlearned model sees: visual tokens for each row of a batch that shows a picture."""

    def tokens(self, base: VLM, batch: Batch) -> list[Float[Tensor, "n d"]]: ...


class VLM:
    """A frozen vision-language model with three verbs.

    Where memory does not suffice for a batch, the verbs go on with half as much at a time; if not even one prompt fits,
    they raise OutOfMemory.

    Args:
        model: a transformers image-text-to-text model, in eval mode, its attention set to `capture.IMPLEMENTATION`.
        processor: its processor.
        family: facts of its architecture.
        name: what it was loaded from.
        sight: None for the original model; otherwise what an unlearning module puts between picture and language model.
        base: the model that `sight` starts from.
        license: of the original model, as its card names it; `unknown` where that is not known.

    `sharded` says whether this process holds only its part of the language model. All processes must then run it equally
    often.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: Any,
        family: Family,
        name: str,
        sight: Sight | None = None,
        base: VLM | None = None,
        license: str = UNKNOWN,
    ) -> None:
        self.model, self.processor, self.family, self.name = model, processor, family, name
        self.sight, self.base, self.license = sight, base, license
        self.sharded = is_sharded(model)
        self._training = Room(firm=self.sharded)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        quantize: str | None = None,
        device_map: str | None = None,
    ) -> VLM:
        """Load a checkpoint of a known family from a folder or the hub; see `loading.Choice` and `loading.load`."""
        from unlearn_core.vlm.loading import Choice, load

        return load(Choice(str(name_or_path), revision, device, dtype, quantize, device_map))

    @property
    def device(self) -> torch.device:
        embeddings: Any = self.model.get_input_embeddings()
        return embeddings.weight.device

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def layers(self) -> int:
        """Number of decoder layers of the language model."""
        return self.model.config.get_text_config().num_hidden_layers

    @property
    def width(self) -> int:
        """Width d of a visual token as the language model reads it."""
        return self.family.width(self.model)

    def with_sight(self, sight: Sight) -> VLM:
        """The same model, seeing through `sight`."""
        return VLM(self.model, self.processor, self.family, self.name, sight, self)

    def with_parts(self, parts: Mapping[str, nn.Module]) -> VLM:
        """The same model with some submodules (by path) replaced; all other weights are shared, nothing is copied.

        Raises:
            BadRequest: the model sees through something that was fitted to the parts as they are.
        """
        if self.sight is not None:
            raise BadRequest(
                "This model sees through a module that was fitted to its present weights. "
                "Please withdraw that one first, or attach the one that changes weights before it."
            )
        return VLM(replace_modules(self.model, parts), self.processor, self.family, self.name, None, self)

    # -- batches ------------------------------------------------------------------------------------------------------

    def batch(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]] | None = None) -> Batch:
        """Tokenise, pad and process pictures; nothing is run."""
        return collate(self.processor, self.family, prompts, self.model.config.image_token_id, answers)

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer as it follows a prompt, with the end-of-text token."""
        return [*self.tokenizer(" " + text.strip(), add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    # -- see ----------------------------------------------------------------------------------------------------------

    def encode(self, images: Sequence[Image.Image], batch_size: int = BATCH) -> list[Float[Tensor, "n d"]]:
        """Visual tokens of pictures straight from vision tower and projector, without any sight."""
        parts = in_batches(images, batch_size, lambda part: self.tokens_of(self.pixels(part)))
        return [tokens for part in parts for tokens in part]

    def pixels(self, images: Sequence[Image.Image]) -> list[Pixels]:
        """What the vision tower needs for each picture. Raises BadImage for one that the model cannot take."""
        return [pixels_of(self.processor, self.family, image) for image in images]

    def tokens_of(self, pixels: Sequence[Pixels]) -> list[Float[Tensor, "n d"]]:
        """Visual tokens of processed pictures in one pass of the vision tower, without any sight."""
        return self.family.tokens(self.model, [self._move(p) for p in pixels])

    def tokens(self, batch: Batch) -> list[Float[Tensor, "n d"]]:
        """Visual tokens for each row of the batch that shows a picture, as the language model will read them."""
        if self.sight is not None and self.base is not None:
            return self.sight.tokens(self.base, batch)
        if not batch.pixels:
            return []
        seen = self.tokens_of(batch.pixels)
        return [seen[p] for p in batch.picture if p is not None]

    @torch.no_grad()
    def see(self, prompts: Sequence[Prompt], batch_size: int = BATCH) -> list[View]:
        """The visual tokens of each prompt and where they lie on its picture."""
        return [view for part in in_batches(prompts, batch_size, self._views) for view in part]

    def _views(self, prompts: Sequence[Prompt]) -> list[View]:
        batch = self.batch(prompts)
        tokens, nothing = iter(self.tokens(batch)), torch.zeros(0, self.width)
        seen = [nothing if picture is None else next(tokens) for picture in batch.picture]
        return [View(t, self._tiles(batch, row)) for row, t in enumerate(seen)]

    def _tiles(self, batch: Batch, row: int) -> tuple[Tile, ...]:
        which = batch.picture[row]
        if which is None:
            return ()
        return self.tiles(batch.images[which], batch.pixels[which])

    def tiles(self, image: Image.Image, pixels: Pixels) -> tuple[Tile, ...]:
        """Where the visual tokens of a processed picture lie on it."""
        return self.family.tiles(self.model, self.processor, pixels, to_rgb(image).size)

    # -- ask ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def ask(
        self,
        prompts: Sequence[Prompt],
        *,
        rows: bool = False,
        logits: bool = False,
        max_new_tokens: int = MAX_NEW_TOKENS,
        batch_size: int = BATCH,
    ) -> list[Answer]:
        """Greedy answers. With `rows`, each answer carries the attention of its tokens and of the question's tokens; with
        `logits`, what its tokens were chosen by.

        Raises:
            UnsupportedFamily: rows are asked of a model whose visual tokens do not stand in its sequence.
        """
        return [a for _, part in self.ask_in_order(prompts, rows, max_new_tokens, batch_size, logits) for a in part]

    @torch.no_grad()
    def ask_in_order(
        self, prompts: Sequence[Prompt], rows: bool, max_new_tokens: int, batch_size: int, logits: bool = False
    ) -> Iterator[tuple[Batch, list[Answer]]]:
        """As `ask`, batch by batch, so that a caller can show progress or stop in between."""

        def asked(part: Sequence[Prompt]) -> tuple[Batch, list[Answer]]:
            batch = self.batch(part)
            return batch, self.answers(batch, rows, max_new_tokens, logits)

        yield from in_batches(prompts, batch_size, asked)

    @torch.no_grad()
    def answers(self, batch: Batch, rows: bool, max_new_tokens: int, logits: bool = False) -> list[Answer]:
        """As `ask`, for one batch."""
        inputs = self.inputs(batch, self.tokens(batch))
        if rows:
            self.require_rows()
        capture = _capture_of(batch, room=max_new_tokens) if rows else None
        model: Any = self.model

        def run() -> Any:
            return model.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )

        if capture is None:
            out = run()
        else:
            with capturing(capture):
                out = run()
        new = out.sequences[:, batch.ids.shape[1] :].cpu()
        chosen_by = torch.stack(out.logits, 1)
        logprobs = chosen_by.float().log_softmax(-1).cpu()
        stops = self._stop_ids()
        answers = []
        for i in range(len(batch)):
            ids = _until(new[i].tolist(), stops)
            chosen = logprobs[i, torch.arange(len(ids)), torch.tensor(ids, dtype=torch.long)].tolist()
            kept = (
                self._rows(batch, capture, i, len(ids))
                if capture is not None and batch.picture[i] is not None
                else None
            )
            pieces = pieces_of(self.tokenizer, ids)
            by = chosen_by[i, : len(ids) + 1] if logits else None
            answers.append(Answer("".join(pieces).strip(), tuple(ids), pieces, tuple(chosen), kept, by))
        return answers

    def _stop_ids(self) -> set[int]:
        eos = self.model.generation_config.eos_token_id
        stops = set(eos) if isinstance(eos, list) else {eos}
        return (stops | {self.tokenizer.eos_token_id}) - {None}

    def _rows(self, batch: Batch, capture: Capture, i: int, length: int) -> Rows:
        n, q = len(batch.visual[i]), len(batch.question[i])
        kept = [capture.kept[k] for k in sorted(capture.kept)]
        said = torch.stack([torch.cat([first[i, :, -1:], *(x[i] for x in more)], 1) for first, *more in kept])
        said = said[:, :, : max(1, length)].cpu()
        asked = torch.stack([first[i, :, :q, :n] for first, *_ in kept]).cpu()
        widths = [max(1, *map(len, places)) for places in (batch.visual, batch.question)]
        on_picture, on_question, on_answer = said.split([*widths, said.shape[3] - sum(widths)], 3)
        pieces = pieces_of(self.tokenizer, batch.ids[i, batch.question[i]].tolist())
        shares = on_question[..., :q].sum(-1), on_answer.sum(-1)
        return Rows(on_picture[..., :n].clone(), asked, pieces, self._tiles(batch, i), *shares)

    # -- score --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[str], batch_size: int = BATCH
    ) -> list[Float[Tensor, " t"]]:
        """Log-probability of each token of the given answers (end-of-text token last)."""
        pairs = list(zip(prompts, (self.answer_ids(a) for a in answers), strict=True))
        return [x for part in in_batches(pairs, batch_size, self._scores) for x in part]

    def _scores(self, pairs: Sequence[tuple[Prompt, list[int]]]) -> list[Float[Tensor, " t"]]:
        batch = self.batch([prompt for prompt, _ in pairs], [target for _, target in pairs])
        out = []
        for row, target in zip(self.answer_logits(batch, self.tokens(batch)), batch.targets or (), strict=True):
            logprobs = row[-len(target) :].float().log_softmax(-1).cpu()
            out.append(logprobs[torch.arange(len(target)), target])
        return out

    def answer_logits(self, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]]) -> Float[Tensor, "b t v"]:
        """Logits that predict the answer tokens of a batch with targets; shorter answers stand at the right edge.

        Differentiable in `tokens`. Only the answer's positions go through the language model's head. If gradients are
        wanted and what they need does not fit into memory, the rows go through in parts that the backward pass computes
        again: as many questions in a step, the same gradients up to rounding, in more time.
        """
        if not torch.is_grad_enabled():
            return self._logits(batch, range(len(batch)), *tokens)

        def logits(rows: Sequence[int]) -> Tensor:
            if len(rows) == len(batch):
                return self._logits(batch, rows, *tokens)
            own = [t for row, t in zip(batch.with_image(), tokens, strict=True) if row in rows]
            return checkpoint(self._logits, batch, rows, *own, use_reentrant=False)

        return torch.cat(list(in_batches(range(len(batch)), len(batch), logits, self._training)))

    def _logits(self, batch: Batch, rows: Sequence[int], *tokens: Float[Tensor, "n d"]) -> Float[Tensor, "r t v"]:
        """Of some rows of a batch, whose visual tokens are given, as wide as those of the whole batch."""
        assert batch.targets is not None
        longest = max(len(t) for t in batch.targets)
        part = batch if len(rows) == len(batch) else batch.take(rows)
        out = self.model(**self.inputs(part, tokens), use_cache=False, logits_to_keep=longest + 1)
        return out.logits[:, :-1]

    # -- attention of the question, for methods -----------------------------------------------------------------------

    @torch.no_grad()
    def question_attention(
        self, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]], layers: Sequence[int]
    ) -> list[Float[Tensor, "layers heads q n"]]:
        """Raw attention from the question's tokens to the visual tokens, per row of a batch where every row has a picture.

        The pass ends after the highest of the wanted layers.

        Raises:
            UnsupportedFamily: as for `require_rows`.
        """
        self.require_rows()
        capture = _capture_of(batch, frozenset(layers), max(layers))
        try:
            with capturing(capture):
                self.model(**self.inputs(batch, tokens), use_cache=False, logits_to_keep=1)
        except LayersDone:
            pass
        return [
            torch.stack(
                [capture.kept[k][0][i, :, : len(batch.question[i]), : len(batch.visual[i])] for k in sorted(layers)]
            )
            for i in range(len(batch))
        ]

    def require_rows(self) -> None:
        """Raises UnsupportedFamily if the decoder reads pictures in another way than through its sequence."""
        if not self.family.in_sequence:
            raise UnsupportedFamily(
                f"Models of type '{self.family.model_type}' read pictures through layers of their own. What does not apply to "
                "them: attention to a picture cannot be shown, so there are no maps, and CAGUL, which goes by it, cannot "
                "forget. What does: asking, CVF, the baselines, comparing, and bundles."
            )

    def require_whole(self) -> None:
        """Raises BadRequest if processes share the language model, which then all of them must run equally often."""
        if self.sharded:
            raise BadRequest(
                "Of this model each process holds only a part, and this method needs all of it in each. "
                "Please load it without sharding, or use a baseline."
            )

    # -- plumbing -----------------------------------------------------------------------------------------------------

    def inputs(self, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]]) -> dict[str, Any]:
        """Keyword arguments of the transformers model for a batch whose visual tokens are given."""
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask.long()}
        inputs |= self.family.inputs(self.model, batch, tokens)
        return {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in inputs.items()}

    def _move(self, pixels: Pixels) -> Pixels:
        dtype = self.model.dtype
        return {k: v.to(self.device, dtype if v.is_floating_point() else v.dtype) for k, v in pixels.items()}


def replace_modules(model: PreTrainedModel, parts: Mapping[str, nn.Module]) -> PreTrainedModel:
    """A shallow copy of `model` with other submodules at some paths. Tensors elsewhere are the very same objects."""
    out = _apart(model)
    for path, part in parts.items():
        *above, last = path.split(".")
        node: nn.Module = out
        for step in above:
            child = node._modules[step]
            assert child is not None
            node._modules[step] = node = _apart(child)
        node._modules[last] = part
    return out


def _apart(module: M) -> M:
    """A shallow copy with a table of submodules of its own.

    What accelerate puts around `forward`, to move inputs between devices, is bound to the module: it is bound anew, or the
    copy would run the original.
    """
    out = copy.copy(module)
    out._modules = dict(module._modules)
    inside = module.__dict__.get("_old_forward")
    if inside is not None:
        own = MethodType(inside.__func__, out)
        out.__dict__["_old_forward"] = own
        out.__dict__["forward"] = update_wrapper(partial(module.__dict__["forward"].func, out), own)
    return out


def pieces_of(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """The text that each token adds. A character split over tokens is given to the last of them."""
    pieces, done = [], ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if text.endswith("\ufffd") and end < len(ids):
            pieces.append("")
            continue
        pieces.append(text[len(done) :])
        done = text
    return tuple(pieces)


def _capture_of(
    batch: Batch, layers: frozenset[int] | None = None, stop_after: int | None = None, room: int = 0
) -> Capture:
    """Keep the question's rows and the last row, at the columns of the visual tokens, of the question's tokens, and of
    as many tokens after the prompt as there is `room` for."""
    length = batch.ids.shape[1]
    rows = _ragged([*batch.question], length - 1)
    rows = torch.cat([rows, torch.full((len(batch), 1), length - 1)], 1)
    coming = torch.arange(length, length + room).expand(len(batch), room)
    cols = torch.cat([_ragged([*batch.visual], 0), _ragged([*batch.question], 0), coming], 1)
    return Capture(rows, cols, layers, stop_after)


def _ragged(indices: list[Int[Tensor, " k"]], fill: int) -> Int[Tensor, "b k"]:
    longest = max(1, max(len(x) for x in indices))
    out = torch.full((len(indices), longest), fill)
    for i, x in enumerate(indices):
        out[i, : len(x)] = x
    return out


def _until(ids: list[int], stops: set[int]) -> list[int]:
    for i, token in enumerate(ids):
        if token in stops:
            return ids[:i]
    return ids
