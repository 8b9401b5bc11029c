"""Makes golden adapters that train parts of the base itself, with Hugging Face PEFT: norms, whole modules, the embedding.

    python test/golden/peft/make_parts.py [CASE ...]

The folders are those of `make_methods.py`: `methods/<case>` as PEFT saves it, and `golden.json` with PEFT's logits.
"""

import sys

import torch
from peft import LNTuningConfig, LoraConfig, PeftConfig

import make_methods  # puts test/peers on the path
from make_methods import make_case
from peft_fills import Fill, around, normal
from peer_io import use_single_thread

make_methods.SCRIPT = "test/golden/peft/make_parts.py"
SEED = 6800


def matrices_and_modules(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return (around(0.4) if "modules_to_save" in name else normal(0.2))(name, old, generator)


CASES: dict[str, tuple[str, PeftConfig, Fill, str]] = {
    "ln": (
        "tiny-llama",
        LNTuningConfig(target_modules=["input_layernorm", "post_attention_layernorm", "norm"]),
        around(0.6),
        "every norm, PEFT's own choice for Llama",
    ),
    "ln-some": (
        "tiny-qwen2",
        LNTuningConfig(target_modules=r".*\.(0\.input_layernorm|1\.post_attention_layernorm)"),
        around(0.9),
        "some norms, by a regular expression",
    ),
    "lora-saved": (
        "tiny-llama",
        LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head", "norm"]),
        matrices_and_modules,
        "LoRA with copies of the embedding, the head and every norm, which all end in norm",
    ),
    "lora-saved-tied": (
        "tiny-qwen2",
        LoraConfig(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["lm_head"]),
        matrices_and_modules,
        "LoRA with a copy of the head, which is the embedding in the base",
    ),
    "lora-embedding": (
        "tiny-llama",
        LoraConfig(r=3, lora_alpha=6, target_modules=["embed_tokens", "lm_head", "q_proj"], rank_pattern={"lm_head": 2}),
        normal(0.3),
        "LoRA on the embedding, the head and a layer",
    ),
    "lora-embedding-tied": (
        "tiny-qwen2",
        LoraConfig(r=4, lora_alpha=4, use_rslora=True, target_modules=["embed_tokens"]),
        normal(0.4),
        "LoRA on the embedding alone, which is the head too: the head stays",
    ),
    "lora-saved-both": (
        "tiny-qwen2",
        LoraConfig(r=2, target_modules=["v_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True),
        matrices_and_modules,
        "LoRA with one copy of the embedding and the head, tied as they are in the base",
    ),
    "lora-tied": (
        "tiny-qwen2",
        LoraConfig(r=3, lora_alpha=6, target_modules=["embed_tokens", "q_proj"], ensure_weight_tying=True),
        normal(0.3),
        "LoRA on the embedding and, tied, the head",
    ),
}


def main() -> None:
    use_single_thread()
    wanted = sys.argv[1:]
    for index, (name, case) in enumerate(CASES.items()):
        if not wanted or name in wanted:
            make_case(name, case, SEED + 10 * index)


if __name__ == "__main__":
    main()
