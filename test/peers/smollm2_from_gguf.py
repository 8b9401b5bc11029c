"""Opens a Llama GGUF (SmolLM2 is one) as a Hugging Face model, or saves it as a Hugging Face folder.

    python test/peers/smollm2_from_gguf.py BASE.gguf FOLDER [f32|bf16]

Weights are dequantised with the `gguf` package, so the peer computes with exactly the numbers that the file says: what
quantisation lost is lost on both sides of a comparison. A folder opens in a second and without the memory that
dequantisation takes for a moment: measure speed and peak memory from a folder, not from the GGUF.
"""

import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from peer_io import DTYPES

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def huggingface_name(name: str) -> str:
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.{kind}"


def pairs_to_halves(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """GGUF's llama keeps rotated neighbours (2i, 2i+1) together; Hugging Face keeps the two halves of a head."""
    rows, columns = weight.shape
    return weight.reshape(num_heads, rows // num_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def config_of(reader: gguf.GGUFReader) -> LlamaConfig:
    def value(key: str):
        return reader.fields[key].contents()

    arch = value("general.architecture")
    if arch != "llama":
        raise ValueError(f"general.architecture is {arch!r}, this script reads 'llama'")
    hidden, heads = value("llama.embedding_length"), value("llama.attention.head_count")
    names = {tensor.name for tensor in reader.tensors}
    if "rope_freqs.weight" in names:
        raise ValueError("rope_freqs.weight: scaled rope is not read by this script")
    return LlamaConfig(
        vocab_size=int(next(t for t in reader.tensors if t.name == "token_embd.weight").shape[1]),
        hidden_size=hidden,
        intermediate_size=value("llama.feed_forward_length"),
        num_hidden_layers=value("llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=value("llama.attention.head_count_kv"),
        head_dim=hidden // heads,
        max_position_embeddings=value("llama.context_length"),
        rms_norm_eps=value("llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": value("llama.rope.freq_base")},
        tie_word_embeddings="output.weight" not in names,
        bos_token_id=value("tokenizer.ggml.bos_token_id"),
        eos_token_id=value("tokenizer.ggml.eos_token_id"),
    )


def load_smollm2(
    path: str | Path, dtype: torch.dtype = torch.float32, attention: str = "sdpa", num_layers: int | None = None
) -> LlamaForCausalLM:
    """The whole model (or its first `num_layers`, to try out a slow machine) in `dtype`, evaluation mode."""
    reader = gguf.GGUFReader(str(path))
    config = config_of(reader)
    if num_layers is not None:
        config.num_hidden_layers = num_layers
    config._attn_implementation = attention
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(previous)
    parameters = dict(model.named_parameters())
    filled = set()
    for tensor in reader.tensors:
        name = huggingface_name(tensor.name)
        if name not in parameters:
            if num_layers is not None and name.startswith("model.layers."):
                continue
            raise ValueError(f"{tensor.name}: the model has no parameter {name}")
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        if name.endswith("q_proj.weight"):
            values = pairs_to_halves(values, config.num_attention_heads)
        elif name.endswith("k_proj.weight"):
            values = pairs_to_halves(values, config.num_key_value_heads)
        with torch.no_grad():
            parameters[name].copy_(torch.from_numpy(np.array(values, order="C")))
        filled.add(name)
    if missing := sorted(set(parameters) - filled):
        raise ValueError(f"{path}: no tensor for {missing}")
    return model


def open_base(path: str | Path, dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> PreTrainedModel:
    """A base for a peer script: a Llama GGUF file or a Hugging Face folder."""
    if str(path).endswith(".gguf"):
        return load_smollm2(path, dtype, attention)
    return AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation=attention).eval()


def main() -> None:
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    dtype = DTYPES[sys.argv[3]] if len(sys.argv) == 4 else torch.float32
    load_smollm2(sys.argv[1], dtype).save_pretrained(sys.argv[2])


if __name__ == "__main__":
    main()
