"""Train the embedded demo model, or the retain-only model, from scratch.

    python -m unlearn_core.demo.train --out assets/demo
    python -m unlearn_core.demo.train --out assets/demo-retain-only --retain-only

The recipe is ours: AdamW with one learning-rate cycle, bf16 arithmetic on fp32 weights, loss on answer tokens only. Two
helpers shorten the time in which a model from scratch does not yet look at the picture: auxiliary heads that read what is
where from the visual tokens, and a bound on the tokens' size. Both fade out and neither is saved.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import LlavaForConditionalGeneration

from unlearn_core.demo import build, world
from unlearn_core.demo.packing import PLACES, SEEN, Batch, Marks, Mix, Packer

STEPS = 2400
PEAK_RATE = 1e-3
WARM_UP = 0.06
WEIGHT_DECAY = 0.01
HELP = 0.5
HELP_UNTIL = 0.7


class Helpers(nn.Module):
    """Auxiliary heads on the visual tokens: what is at each place, what each face looks like; and a bound on token size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.place = nn.Linear(width, len(PLACES))
        self.seen = nn.Linear(2 * width, sum(len(c) for c in SEEN.values()))

    def forward(self, tokens: Float[Tensor, "b n d"], marks: Marks) -> Tensor:
        size = (tokens.float().pow(2).mean(-1) - 1).clamp(min=0).mean()
        x = self.norm(tokens.float())
        # Most tokens show nothing; without a weight that class would drown the others.
        weight = torch.where(torch.arange(len(PLACES), device=x.device) == 0, 0.2, 1.0)
        place = F.cross_entropy(self.place(x).flatten(0, 1).float(), marks.place.to(x.device).flatten(), weight)
        inside = marks.face.to(x.device)[..., None]
        faces = x[marks.row.to(x.device)]
        pooled = torch.cat([(faces * inside).sum(1) / inside.sum(1), faces.mean(1)], -1)
        logits = self.seen(pooled).float().split([len(c) for c in SEEN.values()], -1)
        seen = [F.cross_entropy(z, marks.seen[:, i].to(x.device)) for i, z in enumerate(logits)]
        return place + torch.stack(seen).mean() + 0.1 * size


def answer_loss(
    model: LlavaForConditionalGeneration, batch: Batch, image_id: int, helpers: Helpers | None = None
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy over the answer tokens of one packed batch, and the helpers' loss (0 without pictures)."""
    helped = torch.zeros(())
    inner: Any = model.model
    device = next(model.parameters()).device
    embeds = inner.get_input_embeddings()(batch.ids.to(device))
    if batch.pixels is not None:
        seen = inner.get_image_features(batch.pixels.to(device), return_dict=True).pooler_output
        places = (batch.ids.to(device) == image_id)[..., None].expand_as(embeds)
        embeds = embeds.masked_scatter(places, torch.cat(list(seen)).to(embeds.dtype))
        if helpers is not None and batch.marks is not None:
            helped = helpers(torch.stack(list(seen)), batch.marks)
    hidden = inner.language_model(
        inputs_embeds=embeds,
        attention_mask=batch.allowed.to(device),
        position_ids=batch.positions.to(device),
        use_cache=False,
    ).last_hidden_state
    labels = batch.labels.to(device)[:, 1:]
    at = labels != -100
    logits = model.lm_head(hidden[:, :-1][at]).float()
    return F.cross_entropy(logits, labels[at]), helped


def _rate(step: int, steps: int) -> float:
    warm = max(1, int(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) + 0.002


def save(model: LlavaForConditionalGeneration, processor: build.LlavaProcessor, out: Path) -> None:
    """Write weights in bf16 beside config, tokenizer and processor, as any Hugging Face checkpoint is laid out."""
    out.mkdir(parents=True, exist_ok=True)
    half = LlavaForConditionalGeneration(model.config)
    half.load_state_dict(model.state_dict())
    half.generation_config = model.generation_config
    nn.Module.to(half, torch.bfloat16)
    half.save_pretrained(out)
    processor.save_pretrained(out)


def train(out: Path, without: tuple[str, ...], steps: int, seed: int, device: str, log: Path | None) -> None:
    processor = build.processor()
    model = build.model(processor, seed).train()
    nn.Module.to(model, device)
    packer = Packer(processor, model.config.image_seq_length)
    image_id = model.config.image_token_id
    helpers = Helpers(model.config.get_text_config().hidden_size).to(device)
    learned = [*model.parameters(), *helpers.parameters()]
    decay = [p for p in learned if p.ndim > 1]
    plain = [p for p in learned if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}],
        lr=PEAK_RATE,
        betas=(0.9, 0.98),
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: _rate(s, steps))
    batches = iter(DataLoader(Mix(packer, without, seed), batch_size=None, num_workers=1, prefetch_factor=4))
    began, lines = time.monotonic(), []
    for step in range(steps):
        pictures, texts = next(batches)
        with torch.autocast(device, dtype=torch.bfloat16):
            seen, helped = answer_loss(model, pictures, image_id, helpers)
            told, _ = answer_loss(model, texts, image_id)
        (seen + 0.5 * told + HELP * max(0.0, 1 - step / (HELP_UNTIL * steps)) * helped).backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if step % 25 == 0 or step == steps - 1:
            lines.append(
                {
                    "step": step,
                    "picture": seen.item(),
                    "text": told.item(),
                    "helpers": helped.item(),
                    "seconds": time.monotonic() - began,
                }
            )
            print(json.dumps(lines[-1]), flush=True)
        if step and step % 400 == 0:
            save(model, processor, out)
    save(model.eval(), processor, out)
    if log is not None:
        log.write_text("\n".join(json.dumps(line) for line in lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--retain-only", action="store_true", help="leave out the people of the fixed forget split")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(args.out, world.FORGET_SPLIT if args.retain_only else (), args.steps, args.seed, args.device, args.log)


if __name__ == "__main__":
    main()
