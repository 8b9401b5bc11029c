"""Writes a Hugging Face Llama or Qwen2 model as GGUF, with the `gguf` package.

GGUF's `llama` architecture rotates neighbouring pairs (2i, 2i+1) where Hugging Face rotates halves (i, i + d/2), so the
rows of q and k are stored in another order; `qwen2` keeps the halves and needs no reordering.
"""

import math
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import PreTrainedModel

LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.bias": "attn_output.bias",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
OUTER_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def gguf_name(name: str) -> str:
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{LAYER_NAMES[rest]}"


def halves_to_pairs(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Row order of Hugging Face (two halves of a head) -> row order of GGUF's llama (neighbouring pairs)."""
    pairs = weight.shape[0] // num_heads // 2
    return weight.reshape(num_heads, 2, pairs, -1).swapaxes(1, 2).reshape(weight.shape)


def llama3_frequency_factors(rope: dict, head_dim: int) -> np.ndarray:
    """What `rope_freqs.weight` holds: each frequency is divided by its factor (1 kept, `factor` scaled, smooth between)."""
    factors = []
    for i in range(head_dim // 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (2 * i / head_dim)
        ratio = rope["original_max_position_embeddings"] / wavelength
        smooth = (ratio - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
        smooth = min(1.0, max(0.0, smooth))
        factors.append(1.0 / ((1.0 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def minimal_vocabulary(size: int) -> tuple[list[str], list[int], list[str]]:
    """A byte-level BPE block of `size` tokens: enough for a reader to open the file, not for real text."""
    special = ["<unk>", "<s>", "</s>"]
    characters = [chr(code) for code in range(33, 127)] + ["Ġ"]
    tokens = (special + characters)[:size]
    merges: list[str] = []
    for first in "abcdefghijklmnopqrstuvwxyz":
        if len(tokens) == size:
            break
        merges.append(f"Ġ {first}")
        tokens.append(f"Ġ{first}")
    kinds = [int(gguf.TokenType.CONTROL)] * len(special) + [int(gguf.TokenType.NORMAL)] * (size - len(special))
    return tokens, kinds, merges


def write_gguf(model: PreTrainedModel, arch: str, path: Path) -> dict:
    """Writes f16 matrices (the first layer's and the embedding in f32) and f32 vectors; returns the type of each tensor."""
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_name(path.stem)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(head_dim)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

    tokens, kinds, merges = minimal_vocabulary(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if merges:
        writer.add_token_merges(merges)
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)

    types: dict[str, str] = {}

    def add(name: str, array: np.ndarray) -> None:
        types[name] = "F16" if array.dtype == np.float16 else "F32"
        writer.add_tensor(name, array)

    if config.rope_parameters["rope_type"] == "llama3":
        add("rope_freqs.weight", llama3_frequency_factors(config.rope_parameters, head_dim))
    for name, parameter in model.named_parameters():
        tensor = parameter.detach()
        if arch == "llama" and ".q_proj." in name:
            tensor = halves_to_pairs(tensor, config.num_attention_heads)
        if arch == "llama" and ".k_proj." in name:
            tensor = halves_to_pairs(tensor, config.num_key_value_heads)
        full = tensor.dim() == 1 or ".layers.0." in name or "embed_tokens" in name
        add(gguf_name(name), tensor.contiguous().numpy().astype(np.float32 if full else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return types
