"""Small random models of the families that Espalier runs, made from a seed.

They are random but not featureless: weights are large enough that attention is far from uniform, norm gains and biases
are far from one and zero, heads are grouped, and where a family has its own head size it differs from hidden/heads. A
reader that forgets any of these parts gets other logits.
"""

import math
from dataclasses import dataclass, field

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)


@dataclass(frozen=True)
class TinyModel:
    name: str
    make: type
    config: type
    settings: dict
    about: str
    # True: every weight is exact in bf16 and in f16 too, so packing to either, or a GGUF in f16, must not change a logit.
    half_exact: bool
    # 'nested': `rope_parameters` as transformers 5 writes it; 'flat': `rope_theta` + `rope_scaling` as most published
    # models have it.
    config_style: str
    gguf_arch: str | None = field(default=None)


COMMON = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
    "max_position_embeddings": 512,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "dtype": "float32",
}

# head_dim 16 has 8 frequencies of wavelength 2π·10000^(i/8) = 6.3, 20, 63, 199, 628, … positions. With 64 original
# positions: up to 64/4 = 16 the frequency is kept (i = 0), above 64/1 = 64 it is divided by 8 (i >= 3), and i = 1, 2 lie
# in the smooth band between.
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

TINY_MODELS = (
    TinyModel(
        name="tiny-llama",
        make=LlamaForCausalLM,
        config=LlamaConfig,
        settings={
            "vocab_size": 97,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        about="Llama, untied output, groups of 2 query heads",
        half_exact=True,
        config_style="flat",
        gguf_arch="llama",
    ),
    TinyModel(
        name="tiny-llama3",
        make=LlamaForCausalLM,
        config=LlamaConfig,
        settings={
            "vocab_size": 101,
            "hidden_size": 32,
            "intermediate_size": 56,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True,
            "rope_parameters": LLAMA3_ROPE,
        },
        about="Llama 3.x: frequencies scaled in three bands, tied output, one key head",
        half_exact=True,
        config_style="flat",
        gguf_arch="llama",
    ),
    TinyModel(
        name="tiny-qwen2",
        make=Qwen2ForCausalLM,
        config=Qwen2Config,
        settings={
            "vocab_size": 113,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
            "use_sliding_window": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        },
        about="Qwen2: biases on q, k, v; tied output, groups of 3 query heads; no head_dim in the config",
        half_exact=True,
        config_style="flat",
        gguf_arch="qwen2",
    ),
    TinyModel(
        name="tiny-qwen3",
        make=Qwen3ForCausalLM,
        config=Qwen3Config,
        settings={
            "vocab_size": 127,
            "hidden_size": 40,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "rms_norm_eps": 1e-6,
            "attention_bias": False,
            "tie_word_embeddings": False,
            "use_sliding_window": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        },
        about="Qwen3: norm of each query and key head, head_dim 16 where hidden/heads is 10; weights need full f32",
        half_exact=False,
        config_style="nested",
        gguf_arch=None,
    ),
    TinyModel(
        name="tiny-llama-bias",
        make=LlamaForCausalLM,
        config=LlamaConfig,
        settings={
            "vocab_size": 89,
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "rms_norm_eps": 1e-5,
            "attention_bias": True,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        about="Llama with attention_bias: biases on q, k, v and o",
        half_exact=True,
        config_style="flat",
        gguf_arch="llama",
    ),
)


def build(tiny: TinyModel, seed: int) -> PreTrainedModel:
    """The model in f32 with eager attention; its parameters depend on `seed` and their order only."""
    config = tiny.config(**COMMON, **tiny.settings)
    config._attn_implementation = "eager"
    model = tiny.make(config).to(torch.float32).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(random_parameter(name, parameter, generator))
            if tiny.half_exact:
                parameter.copy_(exact_in_half(parameter))
    return model


def random_parameter(name: str, parameter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    values = torch.randn(parameter.shape, generator=generator)
    if "norm" in name:
        return 0.4 + 1.2 * torch.rand(parameter.shape, generator=generator)
    if name.endswith(".bias"):
        return 0.5 * values
    if "embed_tokens" in name:
        return 0.7 * values
    # 1.5/sqrt(inputs) keeps scores of several units, so that softmax picks rather than averages.
    return values * (1.5 / math.sqrt(parameter.shape[1]))


def exact_in_half(tensor: torch.Tensor) -> torch.Tensor:
    """Rounded so that bf16 and f16 both hold it exactly: 8 bits of mantissa, nothing below f16's smallest normal."""
    rounded = tensor.to(torch.bfloat16).to(torch.float32)
    rounded[rounded.abs() < 2.0**-14] = 0.0
    assert torch.equal(rounded, rounded.to(torch.float16).to(torch.float32))
    return rounded
