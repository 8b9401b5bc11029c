"""Makes an adapter of each PEFT method on a real base, with random numbers, and the logits that Hugging Face PEFT computes with it.

    python test/peers/peft_methods.py BASE SEQUENCES.json OUTPUT [--threads N]

BASE is a GGUF file or a Hugging Face folder. OUTPUT gets a PEFT folder for each method and `NAME.safetensors` with the logits after the
last token of each sequence (tensor "i": [V], f32), `base.safetensors` for the base alone. Prints {"versions", "methods"}.
"""

import argparse
import json
from pathlib import Path

import torch
from peft import (
    IA3Config,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    TrainableTokensConfig,
    VeraConfig,
    get_peft_model,
)
from safetensors.torch import save_file

from peer_io import versions
from peft_fills import Fill, around, fill, normal
from smollm2_from_gguf import open_base

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
LINEAR = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]

def dora_fill(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return (around(0.05) if "magnitude" in name else normal(0.02))(name, old, generator)


def methods(tokens: list[int]) -> dict[str, tuple[PeftConfig, Fill]]:
    """Sizes that people use, numbers that change the logits by some per cent to some tens of per cent."""
    return {
        "lora": (LoraConfig(r=8, lora_alpha=16, target_modules=LINEAR), normal(0.02)),
        "rslora": (LoraConfig(r=16, lora_alpha=16, use_rslora=True, target_modules=ATTENTION), normal(0.02)),
        "dora": (LoraConfig(r=8, lora_alpha=16, use_dora=True, target_modules=LINEAR), dora_fill),
        "ia3": (
            IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
            around(0.1),
        ),
        "vera": (VeraConfig(r=64, target_modules=["q_proj", "v_proj"]), normal(0.3)),
        "loha": (LoHaConfig(r=4, alpha=8, target_modules=ATTENTION), normal(0.15)),
        "lokr": (LoKrConfig(r=8, alpha=8, target_modules=ATTENTION), normal(0.08)),
        "oft": (OFTConfig(oft_block_size=32, target_modules=ATTENTION), normal(0.01)),
        "oft-exact": (OFTConfig(oft_block_size=16, use_cayley_neumann=False, target_modules=LINEAR), normal(0.01)),
        "prompt-tuning": (PromptTuningConfig(num_virtual_tokens=16), normal(0.1)),
        "p-tuning": (PromptEncoderConfig(num_virtual_tokens=8, encoder_hidden_size=64), normal(0.1)),
        "prefix-tuning": (PrefixTuningConfig(num_virtual_tokens=16), normal(0.5)),
        "trainable-tokens": (TrainableTokensConfig(token_indices=tokens), normal(0.1)),
        "lora-tokens": (
            LoraConfig(r=4, lora_alpha=8, target_modules=ATTENTION, trainable_token_indices=tokens),
            normal(0.02),
        ),
    }


@torch.no_grad()
def last_logits(model: torch.nn.Module, sequences: list[list[int]]) -> dict[str, torch.Tensor]:
    return {
        str(index): model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].to(torch.float32).contiguous()
        for index, ids in enumerate(sequences)
    }


def make(base: str, name: str, config: PeftConfig, values: Fill, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    config.task_type = "CAUSAL_LM"
    model = get_peft_model(open_base(base, torch.float32), config).eval()
    fill(model, values, seed)
    # The name of a file of this machine is nobody's business.
    model.peft_config["default"].base_model_name_or_path = "base"
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("sequences", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    sequences = json.loads(arguments.sequences.read_text())
    output: Path = arguments.output
    save_file(last_logits(open_base(arguments.base, torch.float32), sequences), output / "base.safetensors")
    trained_tokens = sorted({ids[-1] for ids in sequences}, reverse=True)
    made = methods(trained_tokens)
    for seed, (name, (config, values)) in enumerate(made.items()):
        model = make(arguments.base, name, config, values, seed)
        model.save_pretrained(output / name, save_embedding_layers=False)
        save_file(last_logits(model, sequences), output / f"{name}.safetensors")
        del model
    print(json.dumps({"versions": versions(), "methods": list(made)}))


if __name__ == "__main__":
    main()
