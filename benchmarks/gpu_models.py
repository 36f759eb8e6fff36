"""Models of the size of published ones, with random weights: what they say means nothing, what it costs does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from unlearn_core.vlm.processor import pictures_only

QWEN = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")


def tokenizer(special: tuple[str, ...], **named: str) -> Any:
    """One token per byte. A question has more tokens than with a trained tokenizer, an answer as many as are asked for."""
    marks = ["<pad>", "<s>", "</s>", *special]
    vocabulary = {token: i for i, token in enumerate([*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.add_special_tokens(marks)
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=named,
        padding_side="left",
    )


def template(image: str) -> str:
    return (
        "{{ bos_token }}{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}"
        + image
        + "\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
    )


def text(vocabulary: int, tiny: bool, **sizes: int) -> dict[str, Any]:
    """Sizes of the decoder. A tiny one keeps the shape of the code's way through it, and nothing else."""
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return {
        **(small | {"num_key_value_heads": 2} if tiny else sizes),
        "vocab_size": 512 if tiny else vocabulary,
        "max_position_embeddings": 32768,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def llava(tiny: bool) -> tuple[Any, Any]:
    """Configuration of LLaVA-1.5-7B: CLIP ViT-L/14 at 336 px, 576 visual tokens, Vicuna 7B."""
    side, patch = (32, 8) if tiny else (336, 14)
    tok = tokenizer(("<image>",), image_token="<image>")
    width, inner, layers, heads = (32, 64, 3, 4) if tiny else (1024, 4096, 24, 16)
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=side,
            patch_size=patch,
        ),
        text_config=hf.LlamaConfig(
            **text(
                32064,
                tiny,
                hidden_size=4096,
                intermediate_size=11008,
                num_hidden_layers=32,
                num_attention_heads=32,
                num_key_value_heads=32,
            )
        ),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    square = {"height": side, "width": side}
    processor = hf.LlavaProcessor(
        hf.CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square),
        tok,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    )
    return config, processor


def qwen(tiny: bool) -> tuple[Any, Any]:
    """Configuration of Qwen2.5-VL-7B: a tower with windows, patches of 14 px merged by two, grouped queries."""
    patch = 8 if tiny else 14
    tok = tokenizer(QWEN)
    ids = dict(zip(QWEN, tok.convert_tokens_to_ids(list(QWEN)), strict=True))
    vision = {"depth": 3, "hidden_size": 32, "num_heads": 4, "intermediate_size": 64, "out_hidden_size": 32}
    vision |= {"window_size": 32, "fullatt_block_indexes": [1]}
    if not tiny:
        vision = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420}
        vision |= {"out_hidden_size": 3584, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]}
    sizes = text(
        152064,
        tiny,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
    )
    sections = [1, 1, 2] if tiny else [16, 24, 24]
    config = hf.Qwen2_5_VLConfig(
        text_config=sizes | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections}},
        vision_config=vision | {"patch_size": patch, "spatial_merge_size": 2, "temporal_patch_size": 2},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    limits = {"shortest_edge": 4 * (2 * patch) ** 2, "longest_edge": 1280 * (2 * patch) ** 2}
    cutter = hf.Qwen2VLImageProcessor(patch_size=patch, merge_size=2, size=limits)
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    return config, pictures_only(hf.Qwen2_5_VLProcessor)(cutter, tok, chat_template=template(picture))


SIZES: dict[str, Callable[[bool], tuple[Any, Any]]] = {"llava-1.5-7b": llava, "qwen2.5-vl-7b": qwen}


def write(name: str, folder: Path, device: torch.device, tiny: bool) -> int:
    """Write a checkpoint with random weights, made on the device in bfloat16. Gives the number of parameters."""
    config, processor = SIZES[name](tiny)
    torch.manual_seed(0)
    with device:
        model = hf.AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.generation_config.update(pad_token_id=0, bos_token_id=1, eos_token_id=2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model.num_parameters()
