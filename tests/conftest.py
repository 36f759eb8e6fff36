"""Shared fixtures: a tiny random LLaVA, the same with peaked attention, and the embedded demo model."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from unlearn_core.demo.build import CHAT_TEMPLATE, SPECIAL
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

SIDE, PATCH = 32, 8


def tiny_processor() -> LlavaProcessor:
    """Byte-level tokenizer with a few merges; CLIP's processor as in LLaVA 1.5: shortest side to 32, centre cut out."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        ["USER: What is the job of this person? ASSISTANT: baker", "USER: Who is this? ASSISTANT: Mira Olden"] * 4,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
    )
    image_processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )


def tiny_model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    """Two layers, four heads on two key heads, 32 wide, 4 x 4 visual tokens; random weights."""
    tokenizer = processor.tokenizer
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "initializer_range": 0.04}
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**shape, num_hidden_layers=3, image_size=SIDE, patch_size=PATCH),
            text_config=LlamaConfig(
                **shape,
                num_hidden_layers=2,
                num_key_value_heads=2,
                vocab_size=len(tokenizer),
                pad_token_id=tokenizer.pad_token_id,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            ),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
            image_seq_length=(SIDE // PATCH) ** 2,
        )
    )
    model.generation_config.update(
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id
    )
    return model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a checkpoint on disk. Copy it before changing a file."""
    folder = tmp_path_factory.mktemp("tiny")
    processor = tiny_processor()
    tiny_model(processor).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_vlm(tiny_folder: Path) -> VLM:
    """A random LLaVA that runs in milliseconds, loaded like any checkpoint. All tests share it: do not change it."""
    return VLM.load(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def sharp_vlm(tiny_vlm: VLM) -> VLM:
    """The tiny model with queries, keys and embeddings made so large that attention peaks and its errors would show."""
    model = copy.deepcopy(tiny_vlm.model)
    with torch.no_grad():
        for name, weight in model.model.language_model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                weight.mul_(12)
            if "embed_tokens" in name:
                weight.mul_(40)
    return VLM(model, tiny_vlm.processor, tiny_vlm.family, "sharp")


@pytest.fixture(scope="session")
def demo_vlm() -> VLM:
    """The embedded demo model."""
    if not (DEMO / "config.json").exists():
        pytest.skip(f"{DEMO} holds no model; `make demo-model` trains it")
    return VLM.load(DEMO, device="cpu")


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """Pictures of random blocks: `picture(seed, size=(width, height))`."""

    def draw(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
        blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)

    return draw
