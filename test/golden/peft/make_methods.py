"""Makes golden adapters of every PEFT method that is served, with Hugging Face PEFT, on the tiny models of test/golden/models.

    python test/golden/peft/make_methods.py

Each folder `methods/<case>` is an adapter as PEFT saves it, with random numbers that are far from those of a new adapter, and
`golden.json`: the logits that PEFT gives with it. They are those of the folder when it is opened again, the way a user would.
"""

import shutil
import sys
from pathlib import Path

import torch
from peft import (
    IA3Config,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    TrainableTokensConfig,
    VeraConfig,
    get_peft_model,
)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import ATTENTION, MLP, logits_of, open_base, save_adapter  # noqa: E402
from peft_fills import Fill, around, fill, normal  # noqa: E402
from peer_io import encode_array, made_by, sha256_of, use_single_thread, write_json  # noqa: E402

SCRIPT = "test/golden/peft/make_methods.py"
SEED = 5200
SEQUENCE_LENGTHS = (3, 9)
# Not sorted: the rows are in the config's order. Every sequence has them.
TRAINED_TOKENS = [41, 7, 90]

def dora_fill(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return (around(0.3) if "magnitude" in name else normal(0.15))(name, old, generator)


def tokens_and_matrices(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return normal(0.5 if "trainable_tokens" in name else 0.15)(name, old, generator)


# Case: base, config, fill, what it is there for. tiny-qwen2 has biases on q, k and v, and a head tied to the embedding.
CASES: dict[str, tuple[str, PeftConfig, Fill, str]] = {
    "dora": (
        "tiny-llama",
        LoraConfig(r=3, lora_alpha=6, use_dora=True, target_modules=ATTENTION + MLP),
        dora_fill,
        "DoRA on every layer",
    ),
    "dora-bias": (
        "tiny-qwen2",
        LoraConfig(
            r=4,
            lora_alpha=4,
            use_dora=True,
            use_rslora=True,
            rank_pattern={"v_proj": 2},
            target_modules=["q_proj", "v_proj", "o_proj"],
        ),
        dora_fill,
        "DoRA on layers with a bias, which is not scaled; rsLoRA and a rank by pattern",
    ),
    "lora-bias": (
        "tiny-qwen2",
        LoraConfig(r=2, lora_alpha=6, lora_bias=True, target_modules=["q_proj", "k_proj", "v_proj"]),
        normal(0.2),
        "a bias on lora_B, scaled with it",
    ),
    "lora-tokens": (
        "tiny-qwen2",
        LoraConfig(r=2, lora_alpha=4, trainable_token_indices=TRAINED_TOKENS, target_modules=["q_proj", "down_proj"]),
        tokens_and_matrices,
        "LoRA and trained tokens; the head is tied to the embedding",
    ),
    "ia3": (
        "tiny-llama",
        IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
        around(0.5),
        "the paper's modules: outputs of k and v, inputs of down",
    ),
    "ia3-bias": (
        "tiny-qwen2",
        IA3Config(
            target_modules=["q_proj", "v_proj", "gate_proj"],
            feedforward_modules="model.layers.1.mlp.gate_proj",
            exclude_modules=["layers.0.self_attn.q_proj"],
        ),
        around(0.5),
        "outputs with their biases; a feed-forward module by a regular expression",
    ),
    "vera": (
        "tiny-llama",
        VeraConfig(r=6, target_modules=["q_proj", "v_proj", "down_proj"], projection_prng_key=3),
        normal(0.7),
        "modules of different widths share A and B",
    ),
    "vera-layers": (
        "tiny-qwen2",
        VeraConfig(r=16, target_modules=["q_proj", "k_proj", "up_proj"], layers_to_transform=[1]),
        normal(0.7),
        "one layer; the default key",
    ),
    "loha": (
        "tiny-llama",
        LoHaConfig(r=2, alpha=4, target_modules=ATTENTION),
        normal(0.4),
        "rank 2: a product of the rank 4",
    ),
    "loha-wide": (
        "tiny-qwen2",
        LoHaConfig(r=8, alpha=6, target_modules="all-linear", rank_pattern={"v_proj": 2}, alpha_pattern={"q_proj": 3}),
        normal(0.25),
        "rank 8: r² is more than the matrices have; patterns",
    ),
    "lokr": (
        "tiny-llama",
        LoKrConfig(r=8, alpha=8, target_modules=ATTENTION + MLP),
        normal(0.3),
        "both factors whole",
    ),
    "lokr-product": (
        "tiny-qwen2",
        LoKrConfig(r=2, alpha=3, decompose_both=True, decompose_factor=7, target_modules=ATTENTION + MLP),
        normal(0.5),
        "factors as products, a factor that does not divide",
    ),
    "lokr-thin": (
        "tiny-llama",
        LoKrConfig(r=2, alpha=4, decompose_factor=1, target_modules=["q_proj", "down_proj"]),
        normal(0.4),
        "a left factor of one number",
    ),
    "oft": (
        "tiny-llama",
        OFTConfig(oft_block_size=8, target_modules=ATTENTION + MLP),
        normal(0.12),
        "Cayley-Neumann with the default 5 terms",
    ),
    "oft-exact": (
        "tiny-qwen2",
        OFTConfig(r=5, oft_block_size=0, use_cayley_neumann=False, block_share=True, target_modules=["q_proj", "down_proj"]),
        normal(0.3),
        "Cayley; 5 blocks, moved to a divisor; one block for all",
    ),
    "oft-constrained": (
        "tiny-llama",
        OFTConfig(
            oft_block_size=10, coft=True, eps=1.5, num_cayley_neumann_terms=4, target_modules=["v_proj", "up_proj"]
        ),
        normal(0.15),
        "COFT: blocks above the limit are shortened; a block size that does not divide",
    ),
    "prompt": ("tiny-llama", PromptTuningConfig(num_virtual_tokens=5), normal(0.5), "prompt tuning"),
    "prompt-tied": ("tiny-qwen2", PromptTuningConfig(num_virtual_tokens=3), normal(0.5), "prompt tuning, tied head"),
    "p-tuning": (
        "tiny-llama",
        PromptEncoderConfig(num_virtual_tokens=4, encoder_hidden_size=16),
        normal(0.4),
        "P-tuning: the encoder's output is what is saved",
    ),
    "prefix": ("tiny-llama", PrefixTuningConfig(num_virtual_tokens=6), normal(0.7), "prefix tuning"),
    "prefix-projection": (
        "tiny-qwen2",
        PrefixTuningConfig(num_virtual_tokens=4, prefix_projection=True, encoder_hidden_size=12),
        normal(0.7),
        "prefix tuning with a projection, which is not saved",
    ),
    "tokens": (
        "tiny-llama",
        TrainableTokensConfig(token_indices=TRAINED_TOKENS),
        normal(0.6),
        "trained tokens; the head is a matrix of its own",
    ),
    "tokens-tied": (
        "tiny-qwen2",
        TrainableTokensConfig(token_indices=TRAINED_TOKENS),
        normal(0.6),
        "trained tokens; the head is tied to the embedding",
    ),
}


def make_sequences(vocabulary: int, seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    sequences = []
    for length in SEQUENCE_LENGTHS:
        token_ids = torch.randint(0, vocabulary, (length,), generator=generator).tolist()
        token_ids[1 : 1 + len(TRAINED_TOKENS)] = TRAINED_TOKENS[: length - 1]
        sequences.append(token_ids)
    return sequences


def token_logits(model: torch.nn.Module, token_ids: list[int]) -> torch.Tensor:
    """Of the real tokens: prompt tuning returns those of the virtual ones too."""
    return logits_of(model, token_ids)[-len(token_ids) :]


def make_case(name: str, case: tuple[str, PeftConfig, Fill, str], seed: int) -> None:
    base_name, config, values, about = case
    folder = HERE / "methods" / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    config.task_type = "CAUSAL_LM"
    base = open_base(base_name)
    sequences = make_sequences(base.config.vocab_size, seed)
    base_logits = [logits_of(base, token_ids) for token_ids in sequences]
    model = get_peft_model(base, config).eval()
    fill(model, values, seed)
    save_adapter(model, folder, base_name)

    reopened = PeftModel.from_pretrained(open_base(base_name), folder).eval()
    logits = [token_logits(reopened, token_ids) for token_ids in sequences]
    for token_ids, value in zip(sequences, logits, strict=True):
        difference = (token_logits(model, token_ids) - value).abs().max()
        assert difference < 1e-5, f"{name}: the saved folder gives other logits ({difference})"
    shift = max(float((a - b).abs().max()) for a, b in zip(logits, base_logits, strict=True))
    spread = float(base_logits[-1].std())
    assert shift > 0.3 * spread, f"{name}: the adapter hardly changes anything ({shift} of {spread})"
    print(f"{name:20} largest change of a logit {shift:.2f} (deviation {spread:.2f})")
    write_json(
        folder / "golden.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "about": about,
            "base": base_name,
            "adapterSha256": sha256_of(folder / "adapter_model.safetensors"),
            "sequences": [
                {"tokenIds": token_ids, "logits": encode_array(value)}
                for token_ids, value in zip(sequences, logits, strict=True)
            ],
        },
    )


def main() -> None:
    use_single_thread()
    for index, (name, case) in enumerate(CASES.items()):
        make_case(name, case, SEED + 10 * index)


if __name__ == "__main__":
    main()
