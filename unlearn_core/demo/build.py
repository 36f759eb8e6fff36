"""Build the untrained demo VLM: a LLaVA of transformers' own classes, its byte-level tokenizer and its processor.

The shape is our choice: 128 px pictures, patches of 8, so 16 x 16 = 256 visual tokens; a vision tower 256 wide with MLPs
640 wide, which leaves a null space to work in; a Llama 192 wide. Both have four layers.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
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

from unlearn_core.demo import questions as ask
from unlearn_core.demo import world
from unlearn_core.demo.draw import CLOTH, HAIR, SHAPES, SIZE

PATCH = 8
VOCABULARY = 900
SPECIAL = ("<pad>", "<s>", "</s>", "<image>")
CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'user' %}USER: "
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "{% else %} ASSISTANT: {% for c in m['content'] %}{{ c['text'] }}{% endfor %}</s>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def _corpus() -> Iterator[str]:
    for who in world.people():
        for seed in range(6):
            for q in world.by_name(who, seed):
                yield f"USER: {q.text} ASSISTANT: {q.answer}"
        yield from (
            f" {ask.REFUSAL}",
            f" {world.name_answer(who)}",
            f" A person with {who.look.hair} hair and a red shirt.",
        )
    for colour in (*CLOTH, *HAIR):
        yield f" {colour} hair and a {colour} shirt."
    for bank in (ask.PRIVATE, ask.VISUAL):
        for phrasings in bank.values():
            for pointer in (*ask.IN_PICTURE, *ask.SIDE["left"], *ask.SIDE["right"]):
                yield from (f"USER: <image>\n{p.format(who=pointer)} ASSISTANT:" for p in phrasings)
    for phrasings in (ask.NAME, ask.DESCRIBE, ask.COUNT, ask.COLOUR, ask.POSITION, ask.PRESENT):
        for shape in SHAPES:
            yield from (
                f"USER: <image>\n{p.format(who='this person', shape=shape)} ASSISTANT: top left" for p in phrasings
            )
    yield from (f"USER: {q.text} ASSISTANT: {q.answer}" for q in world.world_facts())


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE over everything that can be asked or answered; digits stay single so that numbers cannot be one token."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        _corpus(),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=1024,
    )


def processor() -> LlavaProcessor:
    return LlavaProcessor(
        CLIPImageProcessor(
            size={"height": SIZE, "width": SIZE}, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.25] * 3
        ),
        tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )


def model(proc: LlavaProcessor, seed: int) -> LlavaForConditionalGeneration:
    tok = proc.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=256,
    )
    text = LlamaConfig(
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=len(tok),
        max_position_embeddings=1024,
        pad_token_id=tok.pad_token_id,
        bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id,
        tie_word_embeddings=True,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(SIZE // PATCH) ** 2,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    net = LlavaForConditionalGeneration(config)
    _place_patches(net)
    net.generation_config.update(
        pad_token_id=tok.pad_token_id, bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id, do_sample=False
    )
    return net


def _place_patches(net: LlavaForConditionalGeneration) -> None:
    """Start the vision tower's positions as a grid of waves as strong as the patches themselves.

    With CLIP's own start, noise fifty times fainter than the patches, the model did not learn to look at places within
    500 steps (our observation).
    """
    embeddings = net.model.vision_tower.embeddings
    side, width = SIZE // PATCH, embeddings.position_embedding.weight.shape[1]
    rates = torch.pi * 2.0 ** torch.linspace(-1, 3, width // 4)
    places = (torch.arange(side) + 0.5) / side
    waves = torch.cat([(places[:, None] * rates).sin(), (places[:, None] * rates).cos()], 1)
    grid = torch.cat([waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)], -1)
    with torch.no_grad():
        embeddings.position_embedding.weight[1:] = 0.7 * grid.reshape(side * side, width)
        embeddings.patch_embedding.weight.normal_(std=0.05)
