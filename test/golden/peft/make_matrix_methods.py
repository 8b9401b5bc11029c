"""Makes golden adapters of the methods that change weight matrices beyond make_methods.py, and trains them, with Hugging Face PEFT.

    python test/golden/peft/make_matrix_methods.py [case ...]

Folders and files are those of make_methods.py and make_training.py: `methods/<case>` is an adapter as PEFT saves it with its logits, and
`training.json` has 20 steps from it where the method is trained. Each case has a seed of its own, so that one can be made anew alone.
"""

import sys
import zlib
from dataclasses import replace
from pathlib import Path

import torch
from peft import (
    AdaLoraConfig,
    BOFTConfig,
    FourierFTConfig,
    HRAConfig,
    MissConfig,
    PeftConfig,
    PeftModel,
    RandLoraConfig,
    VBLoRAConfig,
)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

import make_methods  # noqa: E402
from adalora_training import AdaLoraTraining  # noqa: E402
from golden_runs import ATTENTION, MLP, figures_of, first_gradients, open_base, random_batches, saved_name  # noqa: E402
from peft_fills import Fill, around, normal  # noqa: E402
from peer_io import encode_array, made_by, sha256_of, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, train  # noqa: E402

SCRIPT = "test/golden/peft/make_matrix_methods.py"
SETTINGS = TrainingSettings(learning_rate=2e-3, steps=20)
# Far from a new adapter these curve so sharply that rounding grows a hundredfold in 20 of the other methods' steps.
SMALL_STEPS = {"fourierft", "randlora", "randlora-layers", "vblora", "vblora-all"}
SMALL_SETTINGS = replace(SETTINGS, learning_rate=2e-4)
# Served, and not trained.
SERVED = {"hra-gs", "adalora-pruned"}


def by_name(fills: dict[str, Fill], otherwise: Fill) -> Fill:
    """The fill of the first key that is in a parameter's name."""

    def values(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return next((fill for key, fill in fills.items() if key in name), otherwise)(name, old, generator)

    return values


BOFT_FILL = by_name({"boft_s": around(0.3)}, normal(0.4))
RANDLORA_FILL = by_name({"lambda": normal(0.5)}, around(0.5))
VBLORA_FILL = by_name({"vector_bank": normal(0.3)}, normal(1.0))

ADALORA_SCHEDULE = {"total_step": 20, "tinit": 2, "tfinal": 5, "deltaT": 2}
PRUNED = ["q_proj", "v_proj", "down_proj"]
MASKS = {
    f"model.layers.{layer}.{'mlp' if module == 'down_proj' else 'self_attn'}.{module}.lora_E": [
        layer == 0,
        module != "v_proj",
        (layer, module) != (1, "v_proj"),
    ]
    for layer in range(2)
    for module in PRUNED
}


def masked(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    values = normal(0.6)(name, old, generator)
    key = name.removeprefix("base_model.model.").removesuffix(".default")
    return values * torch.tensor(MASKS[key]).float().unsqueeze(1) if key in MASKS else values


# Case: base, config, fill, what it is there for. tiny-qwen2 has biases on q, k and v, and a head tied to the embedding.
CASES: dict[str, tuple[str, PeftConfig, Fill, str]] = {
    "adalora": (
        "tiny-llama",
        AdaLoraConfig(init_r=4, target_r=2, lora_alpha=6, target_modules=ATTENTION + MLP, **ADALORA_SCHEDULE),
        normal(0.4),
        "AdaLoRA before its budget is shared out",
    ),
    "adalora-pruned": (
        "tiny-qwen2",
        AdaLoraConfig(init_r=3, target_r=2, lora_alpha=4, target_modules=PRUNED, rank_pattern=MASKS, **ADALORA_SCHEDULE),
        masked,
        "AdaLoRA after: no rank to three a module",
    ),
    "boft": (
        "tiny-llama",
        BOFTConfig(boft_block_size=8, target_modules=ATTENTION + MLP),
        BOFT_FILL,
        "BOFT with one factor, and scales on every layer",
    ),
    "boft-blocks": (
        "tiny-qwen2",
        BOFTConfig(boft_block_size=0, boft_block_num=4, target_modules=["q_proj", "down_proj"]),
        BOFT_FILL,
        "a number of blocks; a bias, which is not scaled",
    ),
    "hra": ("tiny-llama", HRAConfig(r=4, target_modules=ATTENTION + MLP), normal(1.0), "4 reflections on every layer"),
    "hra-gs": (
        "tiny-qwen2",
        HRAConfig(r=3, apply_GS=True, target_modules=["q_proj", "v_proj", "down_proj"]),
        normal(1.0),
        "orthonormal reflections (Gram-Schmidt), an odd number",
    ),
    "miss": ("tiny-llama", MissConfig(r=4, target_modules=ATTENTION + MLP), normal(0.2), "MiSS on every layer"),
    "miss-uneven": (
        "tiny-qwen2",
        MissConfig(r=5, target_modules=["q_proj", "k_proj", "down_proj"]),
        normal(0.3),
        "a rank that does not divide the inputs",
    ),
    "miss-mini": (
        "tiny-llama",
        MissConfig(r=8, mini_r=4, init_weights="mini", target_modules=ATTENTION),
        normal(0.3),
        "rows that repeat too",
    ),
    "miss-bat": (
        "tiny-qwen2",
        MissConfig(r=8, init_weights="bat", target_modules=["q_proj", "v_proj", "down_proj"]),
        normal(0.2),
        "blocks of the weights times blocks",
    ),
    "fourierft": (
        "tiny-llama",
        FourierFTConfig(n_frequency=300, scaling=40.0, n_frequency_pattern={"v_proj": 64}, target_modules=ATTENTION),
        normal(1.0),
        "many frequencies: a matrix; a number by pattern",
    ),
    "fourierft-few": (
        "tiny-qwen2",
        FourierFTConfig(n_frequency=5, scaling=300.0, random_loc_seed=11, target_modules=["q_proj", "up_proj", "down_proj"]),
        normal(1.0),
        "few frequencies: a product; another seed",
    ),
    "randlora": (
        "tiny-llama",
        RandLoraConfig(r=5, randlora_alpha=10, target_modules=ATTENTION + MLP),
        RANDLORA_FILL,
        "modules of different shapes share the bases; a rank that does not divide",
    ),
    "randlora-layers": (
        "tiny-qwen2",
        RandLoraConfig(
            r=4,
            randlora_alpha=8,
            projection_prng_key=3,
            target_modules=["q_proj", "k_proj", "up_proj", "down_proj"],
            layers_to_transform=[1],
        ),
        RANDLORA_FILL,
        "one layer; more inputs than outputs, and fewer",
    ),
    "vblora": (
        "tiny-llama",
        VBLoRAConfig(r=3, num_vectors=10, vector_length=8, topk=2, target_modules=ATTENTION),
        VBLORA_FILL,
        "two vectors of ten",
    ),
    "vblora-all": (
        "tiny-qwen2",
        VBLoRAConfig(r=2, num_vectors=7, vector_length=16, topk=3, target_modules="all-linear"),
        VBLORA_FILL,
        "every layer; three vectors",
    ),
}


def seed_of(name: str) -> int:
    return zlib.crc32(name.encode()) % 100_000


def name_in_folder(name: str) -> str:
    """PEFT names a bank that modules share by the first of them."""
    return "base_model.vblora_vector_bank" if "vblora_vector_bank" in name else saved_name(name)


def make_training(name: str, base_name: str) -> None:
    settings = SMALL_SETTINGS if name in SMALL_STEPS else SETTINGS
    folder = HERE / "methods" / name
    seed = seed_of(name) + 1
    torch.manual_seed(seed)
    model = PeftModel.from_pretrained(open_base(base_name), folder, is_trainable=True).eval()
    batches = random_batches(model.config.vocab_size, settings.steps, seed)
    extras = AdaLoraTraining(model) if name == "adalora" else None
    results = train(model, batches, settings, (1,), extras)
    print(f"{name:20} loss {results[0].loss:.4f} -> {results[-1].loss:.4f}")
    write_json(
        folder / "training.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "adapterSha256": sha256_of(folder / "adapter_model.safetensors"),
            **figures_of(settings, results, batches, **({} if extras is None else {"rankPattern": extras.rank_pattern()})),
            "gradients": first_gradients(results, name_in_folder),
        },
    )


def main() -> None:
    use_single_thread()
    make_methods.SCRIPT = SCRIPT
    for name in sys.argv[1:] or CASES:
        make_methods.make_case(name, CASES[name], seed_of(name))
        if name not in SERVED:
            make_training(name, CASES[name][0])


if __name__ == "__main__":
    main()
