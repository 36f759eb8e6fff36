"""The language model in 8 or 4 bits, through bitsandbytes. All that sees stays as it is: it is what is unlearned."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from unlearn_core.vlm.errors import BadOption, CannotQuantize
from unlearn_core.vlm.families import Family

CHOICES = ("8bit", "4bit")


def check(quantize: str, device: torch.device) -> None:
    """Raises BadOption for a choice that there is not, CannotQuantize if a GPU or the package is missing."""
    if quantize not in CHOICES:
        raise BadOption(f"There is no quantisation '{quantize}'. Use '8bit' or '4bit', or leave it out.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise CannotQuantize(
            "Quantisation needs a package that is not installed. "
            "Please run: pip install 'vlm-unlearning-studio[quantize]', or load the model without quantisation."
        )
    if device.type != "cuda":
        raise CannotQuantize(
            f"Quantisation needs a GPU, and the device is '{device}'. "
            "Please load the model without quantisation, in bfloat16 if memory is short."
        )


def settings(quantize: str, family: Family, dtype: torch.dtype) -> Any:
    """What transformers is told: everything but the language model's linear layers is left alone.

    4 bits are NF4 (Dettmers et al. 2023, arXiv 2305.14314), computed in `dtype`; 8 bits are LLM.int8().
    """
    kept = [*family.seeing_parts(), "lm_head"]
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=kept,
    )
