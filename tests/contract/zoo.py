"""A tiny random model of every family, saved as an ordinary checkpoint folder.

Two decoder layers of width 32, grids of a few tokens, a byte-level tokenizer. Queries, keys and embeddings are made
large, so that attention peaks and an error in it shows, and what starts at zero gets numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from unlearn_core.vlm.processor import pictures_only

PATCH, SIDE = 8, 32
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": PATCH,
}
PINPOINTS = [[32, 64], [64, 32], [64, 64], [32, 96], [96, 32]]
SQUARE = {"height": SIDE, "width": SIDE}

Made = tuple[Any, Any]
"""A model and its processor."""


def tokenizer(special: Sequence[str] = (), **named: str) -> Any:
    """Byte-level, with `special` tokens; `named` ones are attributes of the tokenizer too, as in `image_token`."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<s>", "</s>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(["USER: What is the job of this person? ASSISTANT: baker"] * 4, trainer)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(special),
        extra_special_tokens=named,
        padding_side="left",
    )


def template(image: str) -> str:
    """A chat template that writes `image` for a picture."""
    return (
        "{{ bos_token }}{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}"
        + image
        + "\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
    )


def vocabulary(tok: Any) -> dict[str, Any]:
    return TEXT | {"vocab_size": len(tok)}


def llava() -> Made:
    tok = tokenizer(["<image>"], image_token="<image>")
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**VISION),
        text_config=hf.LlamaConfig(**vocabulary(tok)),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    processor = hf.LlavaProcessor(
        hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE),
        tok,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    )
    return hf.LlavaForConditionalGeneration(config), processor


def llava_next() -> Made:
    tok = tokenizer(["<image>"], image_token="<image>")
    config = hf.LlavaNextConfig(
        vision_config=hf.CLIPVisionConfig(**VISION),
        text_config=hf.LlamaConfig(**vocabulary(tok)),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=[-3, -2],
    )
    processor = hf.LlavaNextProcessor(
        hf.LlavaNextImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=PINPOINTS),
        tok,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    )
    return hf.LlavaNextForConditionalGeneration(config), processor


def llava_onevision() -> Made:
    side = 35  # no multiple of the patch: the tower has no token for the last three pixels
    pinpoints = [[side * rows, side * cols] for rows, cols in ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1))]
    tok = tokenizer(["<image>", "<video>"], image_token="<image>", video_token="<video>")
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**VISION | {"image_size": side}, vision_use_head=False),
        text_config=hf.Qwen2Config(**vocabulary(tok)),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        video_token_index=tok.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_aspect_ratio="anyres_max_2",
    )
    processor = pictures_only(hf.LlavaOnevisionProcessor)(
        hf.LlavaOnevisionImageProcessor(size={"height": side, "width": side}, image_grid_pinpoints=pinpoints),
        tok,
        num_image_tokens=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_2",
        chat_template=template("<image>"),
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


QWEN = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]


def _qwen(
    model: Any, config: Any, processor: Any, sections: list[int], vision: dict[str, Any], layers: int = 2, **rope: Any
) -> Made:
    tok = tokenizer(QWEN)
    ids = dict(zip(QWEN, tok.convert_tokens_to_ids(QWEN), strict=True))
    text = vocabulary(tok) | {
        "num_hidden_layers": layers,
        "head_dim": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections} | rope,
    }
    shape = {"depth": 3, "num_heads": 4, "patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2}
    made = config(
        text_config=text,
        vision_config=shape | vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    cutter = hf.Qwen2VLImageProcessor(
        patch_size=PATCH, merge_size=2, size={"shortest_edge": 32 * 32, "longest_edge": 96 * 64}
    )
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    return model(made), pictures_only(processor)(cutter, tok, chat_template=template(picture))


def qwen2_vl() -> Made:
    return _qwen(
        hf.Qwen2VLForConditionalGeneration,
        hf.Qwen2VLConfig,
        hf.Qwen2VLProcessor,
        [1, 1, 2],
        {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2},
    )


def qwen2_5_vl() -> Made:
    return _qwen(
        hf.Qwen2_5_VLForConditionalGeneration,
        hf.Qwen2_5_VLConfig,
        hf.Qwen2_5_VLProcessor,
        [1, 1, 2],
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
    )


def qwen3_vl() -> Made:
    return _qwen(
        hf.Qwen3VLForConditionalGeneration,
        hf.Qwen3VLConfig,
        hf.Qwen3VLProcessor,
        [2, 1, 1],
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        layers=3,  # so that the last deepstack feature, which comes after the second, reaches what follows
        mrope_interleaved=True,
    )


IDEFICS = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"]


def _idefics(model: Any, config: Any, cutter: Any) -> Made:
    tok = tokenizer([*IDEFICS, *(f"<row_{r}_col_{c}>" for r in range(1, 4) for c in range(1, 4))])
    made = config(
        vision_config=VISION,
        text_config=hf.LlamaConfig(**vocabulary(tok)).to_dict(),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    processor = hf.Idefics3Processor(
        cutter(size={"longest_edge": 3 * SIDE}, max_image_size={"longest_edge": SIDE}),
        tok,
        image_seq_len=(SIDE // PATCH // 2) ** 2,
        chat_template=template("<image>"),
    )
    return model(made), processor


def idefics3() -> Made:
    return _idefics(hf.Idefics3ForConditionalGeneration, hf.Idefics3Config, hf.Idefics3ImageProcessor)


def smolvlm() -> Made:
    return _idefics(hf.SmolVLMForConditionalGeneration, hf.SmolVLMConfig, hf.SmolVLMImageProcessor)


def internvl() -> Made:
    tok = tokenizer(
        ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"],
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    config = hf.InternVLConfig(
        vision_config=VISION | {"image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]},
        text_config=hf.Qwen2Config(**vocabulary(tok)),
        image_token_id=tok.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    processor = pictures_only(hf.InternVLProcessor)(
        hf.GotOcr2ImageProcessor(size=SQUARE, max_patches=6),
        tok,
        image_seq_length=4,
        chat_template=template("<IMG_CONTEXT>"),
    )
    return hf.InternVLForConditionalGeneration(config), processor


def paligemma() -> Made:
    return _paligemma(hf.GemmaConfig)


def paligemma2() -> Made:
    """PaliGemma with the decoder of Gemma 2, which caps the scores of its attention."""
    return _paligemma(
        hf.Gemma2Config,
        attn_logit_softcapping=4.0,
        final_logit_softcapping=30.0,
        query_pre_attn_scalar=8,
        sliding_window=24,
    )


def _paligemma(text: Any, **options: Any) -> Made:
    tok = tokenizer(["<image>"], image_token="<image>")
    config = hf.PaliGemmaConfig(
        vision_config=hf.SiglipVisionConfig(**VISION, vision_use_head=False, projection_dim=32).to_dict(),
        text_config=text(**vocabulary(tok), head_dim=8, **options).to_dict(),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    cutter = hf.SiglipImageProcessor(size=SQUARE)
    cutter.image_seq_length = (SIDE // PATCH) ** 2
    return hf.PaliGemmaForConditionalGeneration(config), hf.PaliGemmaProcessor(cutter, tok)


def gemma3() -> Made:
    tok = tokenizer(["<boi>", "<eoi>", "<img>"], boi_token="<boi>", eoi_token="<eoi>", image_token="<img>")
    ids = {name: tok.convert_tokens_to_ids(name) for name in ("<boi>", "<eoi>", "<img>")}
    config = hf.Gemma3Config(
        vision_config=hf.SiglipVisionConfig(**VISION | {"image_size": 64}, vision_use_head=False),
        text_config=hf.Gemma3TextConfig(
            **vocabulary(tok),
            head_dim=8,
            layer_types=["sliding_attention", "full_attention"],
            sliding_window=24,
        ),
        image_token_index=ids["<img>"],
        boi_token_index=ids["<boi>"],
        eoi_token_index=ids["<eoi>"],
        mm_tokens_per_image=16,
    )
    processor = hf.Gemma3Processor(
        hf.Gemma3ImageProcessor(size={"height": 64, "width": 64}),
        tok,
        image_seq_length=16,
        chat_template=template("<boi>"),
    )
    return hf.Gemma3ForConditionalGeneration(config), processor


def mllama() -> Made:
    tok = tokenizer(["<|image|>", "<|python_tag|>"])
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_global_layers": 1,
        "attention_heads": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
        "max_num_tiles": 4,
        "intermediate_layers_indices": [0, 1],
        "vision_output_dim": 96,
        "supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]],
    }
    text = vocabulary(tok) | {"num_hidden_layers": 3, "cross_attention_layers": [1]}
    config = hf.MllamaConfig(
        vision_config=vision, text_config=text, image_token_index=tok.convert_tokens_to_ids("<|image|>")
    )
    processor = hf.MllamaProcessor(
        hf.MllamaImageProcessor(size=SQUARE, max_image_tiles=4), tok, chat_template=template("<|image|>")
    )
    return hf.MllamaForConditionalGeneration(config), processor


ZOO: dict[str, Callable[[], Made]] = {
    made.__name__: made
    for made in (
        llava,
        llava_next,
        llava_onevision,
        qwen2_vl,
        qwen2_5_vl,
        qwen3_vl,
        idefics3,
        smolvlm,
        internvl,
        paligemma,
        paligemma2,
        gemma3,
        mllama,
    )
}


@torch.no_grad()
def sharpen(model: Any) -> None:
    """Make the decoder's attention peak and the picture matter, and give numbers to what starts at zero."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if any(part in name for part in ("projector", "connector", "merger")) and weight.dim() == 2:
            weight.mul_(4) if weight.any() else weight.copy_(torch.randn(weight.shape, generator=generator))
        elif "gate" in name and weight.numel() == 1:  # Mllama's begin closed
            weight.fill_(0.5)
        elif "visual" in name or "vision" in name:
            continue
        elif "q_norm" in name or "k_norm" in name:
            weight.add_(3)
        elif "q_proj" in name or "k_proj" in name:
            weight.mul_(12)
        elif "embed_tokens" in name:
            weight.mul_(10)


def save(family: str, folder: Path) -> None:
    """Write a checkpoint of the family as its makers would."""
    torch.manual_seed(0)
    model, processor = ZOO[family]()
    sharpen(model)
    model.generation_config.update(pad_token_id=0, bos_token_id=1, eos_token_id=2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
