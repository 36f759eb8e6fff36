"""The trained copy of vision tower and projector, its constrained layers, and cached inputs of its first trained block."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unlearn_core.methods.cvf.module import smallest
from unlearn_core.methods.null_space import ConstrainedChange, NullSpaceFitter
from unlearn_core.methods.precision import own_precision
from unlearn_core.methods.weights import Change
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadOption
from unlearn_core.vlm.room import in_batches
from unlearn_core.vlm.tower import HalfSeen, see_half, see_rest

Fitters = dict[str, NullSpaceFitter]


class Student:
    """A copy of the tower's last blocks and the projector whose linear weights may change within a null space.

    Args:
        blocks: how many of the tower's last blocks are trained beside the projector; -1 for all.
        language: train a copy of the language model's linear layers too, without constraint.

    Raises:
        BadOption: there is no linear layer in what is to be trained.
    """

    def __init__(self, vlm: VLM, blocks: int, language: bool = False) -> None:
        self.vlm = vlm
        family = vlm.family
        self.start = 0 if blocks < 0 else max(0, len(family.blocks(vlm.model)) - blocks)
        paths = (*family.seeing_parts(), *([family.language] if language else []))
        self.parts = {path: copy.deepcopy(vlm.model.get_submodule(path)) for path in paths}
        self.seeing = vlm.with_parts(self.parts)
        model = self.seeing.model
        self.layers = self._linear_layers([*family.blocks(model)[self.start :], *family.projectors(model)])
        if not self.layers:
            raise BadOption(
                "The projector of this model has no linear layer that could be trained by itself. "
                "Please train at least one block of the vision tower too."
            )
        self.reading = self._linear_layers([self.parts[family.language]]) if language else {}
        for layer in self.reading.values():
            layer.weight.requires_grad_(True)
        self.changes: dict[str, ConstrainedChange] = {}

    def _linear_layers(self, trained: Sequence[nn.Module]) -> dict[str, nn.Linear]:
        """Layers by path: biases, norms and embeddings have no input-side null space and stay frozen."""
        ours = {id(layer) for part in trained for layer in part.modules() if isinstance(layer, nn.Linear)}
        return {
            f"{path}.{name}".rstrip("."): layer
            for path, part in self.parts.items()
            for name, layer in part.named_modules()
            if isinstance(layer, nn.Linear) and id(layer) in ours
        }

    @property
    def parameters(self) -> list[Tensor]:
        return [*(c.change for c in self.changes.values()), *(layer.weight for layer in self.reading.values())]

    # -- before training ----------------------------------------------------------------------------------------------

    def fitters(self) -> Fitters:
        """One for each layer, still without data."""
        return {name: NullSpaceFitter(layer.in_features, layer.weight.device) for name, layer in self.layers.items()}

    def read(
        self, images: Sequence[Image.Image], fitters: Fitters | None
    ) -> tuple[list[HalfSeen], list[Float[Tensor, "n d"]]]:
        """Each picture as far as the frozen blocks see it, and its tokens; fitters, if given, see every layer's inputs."""
        half: list[HalfSeen] = []
        tokens: list[Tensor] = []
        sums = {} if fitters is None else fitters
        for inner, seen, noted in in_batches(images, len(images), lambda part: self._read(part, fitters is not None)):
            half += inner
            tokens += seen
            for name, fitter in noted.items():
                sums.setdefault(name, NullSpaceFitter(len(fitter.sum), fitter.sum.device)).merge(fitter)
        return half, tokens

    def _read(
        self, images: Sequence[Image.Image], noting: bool
    ) -> tuple[list[HalfSeen], list[Float[Tensor, "n d"]], Fitters]:
        """As `read`, in one pass. Its fitters are new ones: those of a pass that fails halfway must not count."""
        fitters: Fitters = {}
        with ExitStack() as hooks:
            for name, layer in self.layers.items() if noting else ():
                fitters[name] = NullSpaceFitter(layer.in_features, layer.weight.device)
                hook = layer.register_forward_pre_hook(lambda _, args, f=fitters[name]: f.update(args[0]))
                hooks.callback(hook.remove)
            return *see_half(self.seeing, self.seeing.pixels(images), self.start), fitters

    def read_original(self, images: Sequence[Image.Image]) -> tuple[list[HalfSeen], list[Float[Tensor, "n d"]]]:
        """What `read` gave before anything changed. No other thread may see with the original meanwhile."""
        with own_precision(self.vlm.device):
            return see_half(self.vlm, self.vlm.pixels(images), self.start)

    def constrain(self, name: str, change: ConstrainedChange) -> None:
        """From now on this layer's weight is its old one plus `change`."""
        layer = self.layers[name]
        layer.weight.requires_grad_(False)
        parametrize.register_parametrization(layer, "weight", change)
        self.changes[name] = change

    # -- while training -----------------------------------------------------------------------------------------------

    @contextmanager
    def step(self) -> Iterator[None]:
        """Inside, each constrained weight is computed once."""
        with parametrize.cached():
            yield

    def tokens(self, pictures: Sequence[HalfSeen]) -> list[Float[Tensor, "n d"]]:
        """Visual tokens of pictures that were read, as the trained blocks and the projector see them now."""
        return see_rest(self.seeing, pictures, self.start)

    @torch.no_grad()
    def weight_changes(self, rank: int) -> dict[str, Change]:
        """Every layer's change so far, cut to `rank` if that is not 0."""
        changes: dict[str, Change] = {}
        for name, change in self.changes.items():
            left, right = change.factors()
            changes[f"{name}.weight"] = smallest(left.clone(), right.clone(), rank)
        for name, layer in self.reading.items():
            before = self.vlm.model.get_submodule(name)
            changes[f"{name}.weight"] = (layer.weight.detach() - before.get_parameter("weight"),)
        return changes
