"""Makes golden adapters that train parts of the base itself, with Hugging Face PEFT: norms, whole modules, the embedding, biases; and
LoRA that is told parameters instead of modules.

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


def matrices_and_biases(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if name.endswith("bias") and "lora_B" not in name:
        # Those of the tiny base may be zeros.
        return old + normal(0.3)(name, old, generator)
    return (around(0.3) if "magnitude" in name else normal(0.2))(name, old, generator)


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
    "lora-tied-ranks": (
        "tiny-qwen2",
        LoraConfig(
            r=2,
            lora_alpha=4,
            target_modules=["lm_head", "v_proj"],
            ensure_weight_tying=True,
            rank_pattern={"embed_tokens": 3, "lm_head": 5},
            alpha_pattern={"lm_head": 7},
        ),
        normal(0.3),
        "LoRA on the head and, tied, the embedding, whose rank both have; the head's patterns say its scale alone",
    ),
    "lora-bias-all": (
        "tiny-qwen2",
        LoraConfig(r=2, lora_alpha=4, bias="all", target_modules=["q_proj", "o_proj"]),
        matrices_and_biases,
        "LoRA and every bias of the base, those of layers that are not adapted too",
    ),
    "lora-bias-only": (
        "tiny-qwen2",
        LoraConfig(r=2, lora_alpha=4, bias="lora_only", lora_bias=True, target_modules=["v_proj", "down_proj"]),
        matrices_and_biases,
        "LoRA with a bias of its own and the biases of adapted layers",
    ),
    "dora-bias-all": (
        "tiny-qwen2",
        LoraConfig(r=2, lora_alpha=4, bias="all", use_dora=True, target_modules=["k_proj", "up_proj"]),
        matrices_and_biases,
        "DoRA and every bias of the base",
    ),
    "lora-bias-none": (
        "tiny-llama",
        LoraConfig(r=2, lora_alpha=4, bias="all", target_modules=["q_proj", "v_proj"]),
        normal(0.3),
        "bias all on a base that has none: LoRA alone",
    ),
    "lora-parameters": (
        "tiny-llama",
        LoraConfig(
            r=3,
            lora_alpha=6,
            target_modules=[],
            target_parameters=["self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight"],
            rank_pattern={"q_proj.weight": 2, "down_proj": 7},
        ),
        normal(0.4),
        "LoRA on parameters by their names; a pattern means the parameter's name, not the module's",
    ),
    "lora-parameters-modules": (
        "tiny-qwen2",
        LoraConfig(
            r=2,
            lora_alpha=4,
            bias="lora_only",
            use_rslora=True,
            target_modules=["v_proj", "up_proj"],
            exclude_modules=["layers.0.self_attn.v_proj"],
            target_parameters=["k_proj.weight"],
            alpha_pattern={r"0\.self_attn\.k_proj\.weight": 3},
        ),
        matrices_and_biases,
        "LoRA on modules and on parameters, with the biases of both",
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
