"""Trains virtual tokens, trained tokens, norms, whole modules, tied updates, biases and parameters with Hugging Face PEFT, for 20 steps each.

    python test/golden/peft/make_token_training.py [CASE ...]

`methods/<case>/training.json` has the form of `make_training.py`. The adapter that a run starts from is the folder's own. What PEFT makes
virtual tokens with (`ENCODERS`) is not saved with them: those cases are folders of `encoders/`, which hold the encoder's first values in
`encoder.safetensors`, and as an adapter what PEFT saves after the last step.
"""

import shutil
import sys
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, PrefixTuningConfig, PromptEncoderConfig, get_peft_model
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import figures_of, first_gradients, open_base, random_batches, save_adapter, saved_name  # noqa: E402
from make_methods import make_sequences, token_logits  # noqa: E402
from peer_io import encode_array, made_by, sha256_of, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, train, trainable  # noqa: E402

SCRIPT = "test/golden/peft/make_token_training.py"
SEED = 6700
SETTINGS = TrainingSettings(learning_rate=2e-3, steps=20)
# Batches of a run; it takes them again from the first.
NUM_BATCHES = 5

# Case of `methods/`: its base.
ADAPTERS = {
    "prompt": "tiny-llama",
    "prompt-tied": "tiny-qwen2",
    "prefix": "tiny-llama",
    "tokens": "tiny-llama",
    "tokens-tied": "tiny-qwen2",
    "lora-tokens": "tiny-qwen2",
    "ln": "tiny-llama",
    "ln-some": "tiny-qwen2",
    "lora-saved": "tiny-llama",
    "lora-saved-tied": "tiny-qwen2",
    "lora-embedding": "tiny-llama",
    "lora-embedding-tied": "tiny-qwen2",
    "lora-saved-both": "tiny-qwen2",
    "lora-tied": "tiny-qwen2",
    "lora-tied-ranks": "tiny-qwen2",
    "lora-bias-all": "tiny-qwen2",
    "lora-bias-only": "tiny-qwen2",
    "dora-bias-all": "tiny-qwen2",
    "lora-parameters": "tiny-llama",
    "lora-parameters-modules": "tiny-qwen2",
}

# Case: base, config, what it is there for.
ENCODERS: dict[str, tuple[str, PeftConfig, str]] = {
    "p-tuning-mlp": (
        "tiny-llama",
        PromptEncoderConfig(num_virtual_tokens=4, encoder_hidden_size=16),
        "P-tuning with an MLP",
    ),
    "p-tuning-lstm": (
        "tiny-qwen2",
        PromptEncoderConfig(
            num_virtual_tokens=3,
            encoder_reparameterization_type="LSTM",
            encoder_hidden_size=10,
            encoder_num_layers=2,
        ),
        "P-tuning with a bidirectional LSTM of two layers",
    ),
    "prefix-projection": (
        "tiny-qwen2",
        PrefixTuningConfig(num_virtual_tokens=4, prefix_projection=True, encoder_hidden_size=12),
        "prefix tuning with a projection",
    ),
}


def encoder_name(name: str) -> str:
    return name.replace(".default", "")


def open_trainable(base_name: str, folder: Path) -> PeftModel:
    config = PeftConfig.from_pretrained(folder)
    if not config.is_prompt_learning:
        return PeftModel.from_pretrained(open_base(base_name), folder, is_trainable=True)
    # PEFT does not open virtual tokens to train them on.
    config.inference_mode = False
    model = get_peft_model(open_base(base_name), config)
    with torch.no_grad():
        saved = load_file(folder / "adapter_model.safetensors")["prompt_embeddings"]
        model.prompt_encoder["default"].embedding.weight.copy_(saved)
    return model


def run(model: torch.nn.Module, seed: int, name_of) -> dict:
    batches = random_batches(model.config.vocab_size, NUM_BATCHES, seed)
    results = train(model, batches, SETTINGS, (1,))
    print(f"loss {results[0].loss:.4f} -> {results[-1].loss:.4f}")
    return {**figures_of(SETTINGS, results, batches), "gradients": first_gradients(results, name_of)}


def train_adapter(name: str, base_name: str, seed: int) -> None:
    folder = HERE / "methods" / name
    torch.manual_seed(seed)
    model = open_trainable(base_name, folder).eval()
    print(f"{name:20}", end=" ")
    write_json(
        folder / "training.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "adapterSha256": sha256_of(folder / "adapter_model.safetensors"),
            **run(model, seed, saved_name),
        },
    )


def train_encoder(name: str, case: tuple[str, PeftConfig, str], seed: int) -> None:
    base_name, config, about = case
    folder = HERE / "encoders" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config.task_type = "CAUSAL_LM"
    model = get_peft_model(open_base(base_name), config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        # Some more than PyTorch's own: the first outputs are to be far from zero.
        for parameter in trainable(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    first = {encoder_name(key): value.detach().clone() for key, value in trainable(model).items()}
    save_file(first, folder / "encoder.safetensors")
    print(f"{name:20}", end=" ")
    training = run(model, seed, encoder_name)
    save_adapter(model, folder, base_name)
    sequences = make_sequences(model.config.vocab_size, seed)
    reopened = PeftModel.from_pretrained(open_base(base_name), folder).eval()
    write_json(
        folder / "training.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "about": about,
            "base": base_name,
            "encoderSha256": sha256_of(folder / "encoder.safetensors"),
            **training,
            "sequences": [
                {"tokenIds": token_ids, "logits": encode_array(token_logits(reopened, token_ids))}
                for token_ids in sequences
            ],
        },
    )


def main() -> None:
    use_single_thread()
    wanted = sys.argv[1:]
    for index, (name, base_name) in enumerate(ADAPTERS.items()):
        if not wanted or name in wanted:
            train_adapter(name, base_name, SEED + 10 * index)
    for index, (name, case) in enumerate(ENCODERS.items()):
        if not wanted or name in wanted:
            train_encoder(name, case, SEED + 500 + 10 * index)


if __name__ == "__main__":
    main()
