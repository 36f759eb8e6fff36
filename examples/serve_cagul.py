"""Serve a CAGUL result with plain transformers: what the model sees is edited before the engine reads it.

    python examples/serve_cagul.py "What is the job of this person?" --picture picture.png --bundle bundle.zip

The studio's side turns picture and question into embeddings, the visual tokens edited where the gate flags the picture.
The engine's side is transformers alone, and knows neither picture nor bundle. See docs/serving.md for other engines.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoTokenizer

from unlearn_core.bundle import load
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import UnsupportedFamily
from unlearn_core.vlm.images import open_image
from unlearn_core.vlm.loading import DEMO


@torch.no_grad()
def embedded(unlearned: VLM, prompt: Prompt) -> Float[Tensor, "1 l d"]:
    """The whole prompt as the language model reads it: embeddings of the text, and the visual tokens in their places.

    Raises:
        UnsupportedFamily: the decoder must be told more than embeddings, such as positions in the picture.
    """
    batch = unlearned.batch([prompt])
    tokens = unlearned.tokens(batch)
    more = set(unlearned.inputs(batch, tokens)) - {"input_ids", "attention_mask", "mm_encoder_outputs"}
    words: Any = unlearned.model.get_input_embeddings()
    out = words(batch.ids.to(unlearned.device))
    if more or any(t.shape[1] != out.shape[2] for t in tokens):
        raise UnsupportedFamily(
            f"Models of type '{unlearned.family.model_type}' need more than embeddings of a prompt. "
            "Please hand all of `VLM.inputs` to their `generate` instead."
        )
    for places, seen in zip((p for p in batch.visual if len(p)), tokens, strict=True):
        out[0, places] = seen.to(out.dtype)
    return out


@torch.no_grad()
def answered(engine: Any, embeddings: Float[Tensor, "1 l d"], max_new_tokens: int = 48) -> Int[Tensor, " t"]:
    """Ids of a greedy answer by a transformers model that gets embeddings and nothing else."""
    mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)
    said = engine.generate(
        inputs_embeds=embeddings, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False
    )
    return said[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--model", default=str(DEMO), help="folder or hub id of the model that the bundle was made for")
    args = parser.parse_args()
    vlm = VLM.load(args.model)
    embeddings = embedded(load(args.bundle, vlm).attach(vlm), Prompt(open_image(args.picture), args.question))
    engine: Any = AutoModelForImageTextToText.from_pretrained(args.model, dtype=vlm.model.dtype)
    said = answered(engine.to(vlm.device).eval(), embeddings)
    print(AutoTokenizer.from_pretrained(args.model).decode(said, skip_special_tokens=True).strip())


if __name__ == "__main__":
    main()
