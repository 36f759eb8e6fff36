"""Train the embedded demo model, or the retain-only model, from scratch.

    python -m unlearn_core.demo.train --out assets/demo
    python -m unlearn_core.demo.train --out assets/demo-retain-only --retain-only

The recipe is ours: AdamW, bf16 arithmetic on fp32 weights, loss on answer tokens only, in three phases. First the
vision tower learns to look, by auxiliary heads that read what is where from the visual tokens, while the language model
learns from text and from a few scenes; a model from scratch otherwise spends most of its time not yet looking at the
picture. Then every picture comes with questions, while the heads fade out. Last, the tower is frozen and the
language model alone goes on. The heads and a bound on the tokens' size are not saved.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import LlavaForConditionalGeneration
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from unlearn_core.demo import build, world
from unlearn_core.demo.draw import MEASURES
from unlearn_core.demo.packing import PLACES, SEEN, Batch, Marks, Mix, Packer

LOOKS = 700
STEPS = 2600
READS = 2000
PEAK_RATE = 1e-3
WARM_UP = 80
WEIGHT_DECAY = 0.01
HELP = 1.0
HELP_UNTIL = 0.9


class Helpers(nn.Module):
    """Auxiliary heads on the visual tokens: what is at each place and which of nine places it is, who or what each face
    or thing is and what it looks like, the measures of each face; and a bound on token size.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.place = nn.Linear(width, len(PLACES))
        self.where = nn.Linear(width, 9)
        self.seen = nn.Linear(2 * width, sum(len(c) for c in SEEN.values()))
        self.measures = nn.Linear(2 * width, MEASURES)

    def forward(self, tokens: Float[Tensor, "b n d"], marks: Marks) -> Tensor:
        size = (tokens.float().pow(2).mean(-1) - 1).clamp(min=0).mean()
        x = self.norm(tokens.float())
        # Most tokens show nothing; without a weight that class would drown the others.
        weight = torch.where(torch.arange(len(PLACES), device=x.device) == 0, 0.2, 1.0)
        place = F.cross_entropy(self.place(x).flatten(0, 1).float(), marks.place.to(x.device).flatten(), weight)
        third = torch.arange(build.SIZE // build.PATCH, device=x.device) * 3 // (build.SIZE // build.PATCH)
        ninth = (3 * third[:, None] + third[None]).flatten().expand(len(x), -1)
        where = F.cross_entropy(self.where(x).flatten(0, 1).float(), ninth.flatten())
        inside = marks.inside.to(x.device)[..., None]
        shown = x[marks.row.to(x.device)]
        pooled = torch.cat([(shown * inside).sum(1) / inside.sum(1), shown.mean(1)], -1)
        logits = self.seen(pooled).float().split([len(c) for c in SEEN.values()], -1)
        seen = [
            F.cross_entropy(z, truth, reduction="sum") / (truth >= 0).sum().clamp(min=1)
            for z, truth in zip(logits, marks.seen.T.to(x.device), strict=True)
        ]
        faces = ~marks.measures.isnan().any(1)
        # Measures are uniform in 0..1: 12 times the squared error is 1 for whoever knows nothing.
        shape = 12 * (self.measures(pooled)[faces].float() - marks.measures[faces].to(x.device)).pow(2).mean()
        return place + where + 0.5 * torch.stack(seen).sum() + shape + 0.1 * size


def attend(
    module: nn.Module, q: Tensor, k: Tensor, v: Tensor, attention_mask: Tensor | None, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """Attention as two plain matrix products: for rows this short a quarter faster on a CPU than torch's fused one."""
    scores = (q * scaling) @ k.transpose(2, 3)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, float("-inf"))
    return (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).contiguous(), None


def see(model: LlavaForConditionalGeneration, batch: Batch) -> Float[Tensor, "b n d"]:
    """Visual tokens of a batch's pictures."""
    inner: Any = model.model
    assert batch.pixels is not None
    return torch.stack(list(inner.get_image_features(batch.pixels.to(inner.device), return_dict=True).pooler_output))


def answer_loss(
    model: LlavaForConditionalGeneration, batch: Batch, seen: Float[Tensor, "b n d"] | None
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the answer tokens of one packed batch; `seen` may hold more pictures than have questions."""
    inner: Any = model.model
    ids = batch.ids.to(inner.device)
    embeds = inner.get_input_embeddings()(ids)
    if seen is not None:
        places = (ids == model.config.image_token_id)[..., None].expand_as(embeds)
        embeds = embeds.masked_scatter(places, seen[: len(ids)].to(embeds.dtype))
    hidden = inner.language_model(
        inputs_embeds=embeds,
        attention_mask=batch.allowed.to(ids.device),
        position_ids=batch.positions.to(ids.device),
        use_cache=False,
    ).last_hidden_state
    labels = batch.labels.to(ids.device)[:, 1:]
    at = labels != -100
    return F.cross_entropy(model.lm_head(hidden[:, :-1][at]).float(), labels[at])


def rate(step: int, looks: int, steps: int, first: int = 0) -> float:
    """Learning rate as a part of the peak: warm-up, level while looking, then one cosine over `steps` to almost nothing."""
    warm = min(1.0, (step - first + 1) / WARM_UP)
    if step < looks:
        return warm
    return warm * (0.5 * (1 + math.cos(math.pi * (step - looks) / max(1, steps))) + 0.002)


def save(model: LlavaForConditionalGeneration, processor: build.LlavaProcessor, out: Path) -> None:
    """Write weights in bf16 beside config, tokenizer and processor, as any Hugging Face checkpoint is laid out."""
    out.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model)
    nn.Module.to(half, torch.bfloat16)
    half.save_pretrained(out)
    processor.save_pretrained(out)


def optimiser_for(model: nn.Module, helpers: nn.Module, peak: float) -> torch.optim.Optimizer:
    """The heads learn four times as fast: they are new each time, and the tower learns nothing good from them before."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        {"params": list(helpers.parameters()), "weight_decay": 0.0, "lr": 4 * peak},
    ]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=True)


def train(
    out: Path,
    without: tuple[str, ...],
    *,
    looks: int = LOOKS,
    steps: int = STEPS,
    reads: int = READS,
    peak: float = PEAK_RATE,
    seed: int = 0,
    device: str = "cpu",
    log: Path | None = None,
    start: Path | None = None,
    first: int = 0,
) -> None:
    """Look, answer, read: `looks` steps of auxiliary heads, text and scenes, `steps` with questions about all pictures,
    and `reads` of the language model alone.

    `start` is a checkpoint to go on from as if `first` steps were done.
    """
    processor = build.processor() if start is None else build.LlavaProcessor.from_pretrained(start)
    model = build.model(processor, seed)
    if start is not None:
        model.load_state_dict(LlavaForConditionalGeneration.from_pretrained(start, dtype=torch.float32).state_dict())
    model.train()
    nn.Module.to(model, device)
    ALL_ATTENTION_FUNCTIONS.register("two_products", attend)
    model.set_attn_implementation("two_products")
    helpers = Helpers(model.config.get_text_config().hidden_size).to(device)
    learned = [*model.parameters(), *helpers.parameters()]
    optimiser = optimiser_for(model, helpers, peak)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: rate(s + first, looks, steps + reads, first))
    mix = Mix(Packer(processor, model.config.image_seq_length), without, seed, looks=looks, steps=steps, first=first)
    batches = iter(DataLoader(mix, batch_size=None, num_workers=1, prefetch_factor=4))
    began, lines = time.monotonic(), []
    for step in range(first, looks + steps + reads):
        pictures, texts = next(batches)
        reading = step >= looks + steps
        with torch.autocast(device, dtype=torch.bfloat16):
            with torch.set_grad_enabled(not reading):
                seen = see(model, pictures)
            losses = {"text": 0.5 * answer_loss(model, texts, None), "picture": answer_loss(model, pictures, seen)}
            if not reading:
                fade = max(0.0, 1 - (step - looks) / (HELP_UNTIL * (steps + reads)))
                losses["helpers"] = (HELP * fade if step >= looks else 1.0) * helpers(seen, pictures.marks)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if step % 25 == 0 or step == looks + steps + reads - 1:
            lines.append({"step": step, "seconds": round(time.monotonic() - began)})
            lines[-1] |= {k: round(v.item(), 4) for k, v in losses.items()}
            print(json.dumps(lines[-1]), flush=True)
        if step and step % 400 == 0:
            save(model, processor, out)
    save(model.eval(), processor, out)
    _note(out, time.monotonic() - began, lines[-1])
    if log is not None:
        log.write_text("\n".join(json.dumps(line) for line in lines) + "\n")


def _note(out: Path, seconds: float, last: dict[str, Any]) -> None:
    """How the model was made, beside it."""
    note = {
        "command": "python -m unlearn_core.demo.train " + " ".join(sys.argv[1:]),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": torch.get_num_threads(),
        "seconds": round(seconds),
        "last": last,
    }
    (out / "training.json").write_text(json.dumps(note, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--retain-only", action="store_true", help="leave out the people of the fixed forget split")
    parser.add_argument("--looks", type=int, default=LOOKS, help="steps of the first phase")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of the second phase")
    parser.add_argument("--reads", type=int, default=READS, help="steps of the third phase")
    parser.add_argument("--peak", type=float, default=PEAK_RATE, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="go on from this checkpoint")
    parser.add_argument("--first", type=int, default=0, help="steps that are done when going on from a checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--log", type=Path)
    args = vars(parser.parse_args())
    torch.set_num_threads(args.pop("threads"))
    without = world.FORGET_SPLIT if args.pop("retain_only") else ()
    train(args.pop("out"), without, **args)


if __name__ == "__main__":
    main()
