"""What CAGUL has learned, and how an unlearned model sees through one or several such modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearn_core.methods.cagul.encoder import TokenEncoder, attention_scores, choose_tokens
from unlearn_core.methods.cagul.gate import Gate, token_statistics
from unlearn_core.methods.saving import save_module
from unlearn_core.vlm import VLM
from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.errors import BadRequest, BundleMismatch


class CagulModule:
    """Gate and token encoder beside a frozen model. Attached, it is part of a sight; removed, everything is as before.

    Args:
        layers: decoder layers, counted from 0, whose attention ranks the tokens.
        ratio, select: how many of them are transformed, and which; see `choose_tokens`.
    """

    kind = "cagul"

    def __init__(self, gate: Gate, encoder: TokenEncoder, layers: tuple[int, ...], ratio: float, select: str) -> None:
        self.gate, self.encoder = gate, encoder
        self.layers, self.ratio, self.select = layers, ratio, select

    def attach(self, vlm: VLM) -> VLM:
        """A VLM that sees through this module, beside those through which `vlm` sees already.

        Raises:
            BundleMismatch: the module was made for a model of another width or depth.
            UnsupportedFamily: the model's attention to pictures cannot be read.
        """
        vlm.require_rows()
        inner, features = self.encoder.down.in_features, self.gate.mean.numel()
        if inner != vlm.width or features != 4 * vlm.width or max(self.layers) >= vlm.layers:
            raise BundleMismatch(
                "This module was made for a model of another size. Please load the model it was made for."
            )
        self.gate.to(vlm.device)
        self.encoder.to(vlm.device)
        others = tuple(m for m in attached_modules(vlm) if m is not self)
        return below(vlm).with_sight(CagulSight((*others, self)))

    def withdraw(self, vlm: VLM) -> VLM:
        """The VLM without this module: the others work on as they are, and after the last the model below is back.

        Raises:
            BadRequest: `vlm` does not see through this module.
        """
        modules = attached_modules(vlm)
        others = tuple(m for m in modules if m is not self)
        if len(others) == len(modules):
            raise BadRequest("This module is not attached to the model, so it cannot be withdrawn from it.")
        return below(vlm).with_sight(CagulSight(others)) if others else below(vlm)

    @torch.no_grad()
    def edited(self, base: VLM, batch: Batch, tokens: list[Float[Tensor, "n d"]]) -> list[Float[Tensor, "n d"]]:
        """The transformed tokens of a batch in which every row shows a picture, whatever the gate says of it."""
        alphas = self.scores(base, batch, tokens)
        return [self.edit(t, choose_tokens(a, self.ratio, self.select)) for t, a in zip(tokens, alphas, strict=True)]

    def scores(self, base: VLM, batch: Batch, tokens: list[Float[Tensor, "n d"]]) -> list[Float[Tensor, " n"]]:
        return attention_scores(base, batch, tokens, self.layers)

    def edit(self, tokens: Float[Tensor, "n d"], chosen: Int[Tensor, " k"]) -> Float[Tensor, "n d"]:
        return tokens.index_copy(0, chosen, self.encoder(tokens[chosen]).to(tokens.dtype))

    def tensors(self) -> dict[str, Tensor]:
        gate = {f"gate.{k}": v for k, v in self.gate.state_dict().items()}
        return gate | {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()}

    def settings(self) -> dict[str, Any]:
        return {
            "layers": list(self.layers),
            "ratio": self.ratio,
            "select": self.select,
            "gate_width": self.gate.hidden,
        }

    def save_pretrained(self, folder: Path) -> None:
        save_module(self, folder)

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> CagulModule:
        first, down = tensors["gate.first"], tensors["encoder.down.weight"]
        gate = Gate(first.shape[1], first.shape[0], int(settings["gate_width"]))
        gate.load_state_dict({k.removeprefix("gate."): v for k, v in tensors.items() if k.startswith("gate.")})
        encoder = TokenEncoder(down.shape[1], down.shape[0])
        encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")})
        layers = tuple(int(layer) for layer in settings["layers"])
        return cls(
            gate.requires_grad_(False),
            encoder.requires_grad_(False),
            layers,
            float(settings["ratio"]),
            str(settings["select"]),
        )


class CagulSight:
    """Several modules side by side, one per request. [ours]

    Every module reads the tokens and the attention of the model below, never another module's work. On a picture that
    several gates flag, the one with the largest margin over its threshold (in logits) edits. A module's pass for the
    attention covers all pictures that its own gate flags, so what it computes does not depend on who stands beside it.
    """

    def __init__(self, modules: tuple[CagulModule, ...]) -> None:
        self.modules = modules

    @torch.no_grad()
    def tokens(self, base: VLM, batch: Batch) -> list[Float[Tensor, "n d"]]:
        """The base model's tokens, transformed where a gate flags the picture and the very same tensors elsewhere."""
        plain = base.tokens(batch)
        if not plain:
            return plain
        margins = self.margins(plain)
        best = margins.argmax(0).tolist()
        rows, out = batch.with_image(), list(plain)
        for k, (module, flags) in enumerate(zip(self.modules, (margins >= 0).tolist(), strict=True)):
            flagged = [i for i, flag in enumerate(flags) if flag]
            if any(best[i] == k for i in flagged):
                edited = module.edited(base, batch.take([rows[i] for i in flagged]), [plain[i] for i in flagged])
                for i, new in zip(flagged, edited, strict=True):
                    out[i] = new if best[i] == k else out[i]
        return out

    def margins(self, tokens: list[Float[Tensor, "n d"]]) -> Float[Tensor, "modules b"]:
        """By how much each gate's score of each picture lies above its threshold, in logits; flagged from 0 on.
        Differentiable in the tokens, so that an attack can be aimed at the gates."""
        statistics = torch.stack([token_statistics(t) for t in tokens])
        return torch.stack([module.gate.margins(statistics) for module in self.modules])


def attached_modules(vlm: VLM) -> tuple[CagulModule, ...]:
    """The CAGUL modules through which a VLM sees, in the order in which they were attached."""
    return vlm.sight.modules if isinstance(vlm.sight, CagulSight) else ()


def below(vlm: VLM) -> VLM:
    """The VLM that a CAGUL sight stands on, with everything else that is attached to it; `vlm` itself if there is none."""
    return vlm.base if isinstance(vlm.sight, CagulSight) and vlm.base is not None else vlm
