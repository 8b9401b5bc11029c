"""Trains adapters of each trainable method for a few steps with Hugging Face PEFT, from the adapters of `methods/`.

    python test/golden/peft/make_training.py

`methods/<case>/training.json`: batches, losses and gradient norms of every step, and the gradients of the first. The adapter that it
starts from is the folder's own, whose numbers are far from those of a new adapter: no gradient is zero by construction.
"""

import sys
from pathlib import Path

import torch
from peft import PeftModel

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import figures_of, first_gradients, open_base, random_batches  # noqa: E402
from peer_io import made_by, sha256_of, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, train  # noqa: E402

SCRIPT = "test/golden/peft/make_training.py"
SEED = 6300
SETTINGS = TrainingSettings(learning_rate=2e-3, steps=5)
# Case: its base.
CASES = {
    "dora": "tiny-llama",
    "dora-bias": "tiny-qwen2",
    "lora-bias": "tiny-qwen2",
    "ia3": "tiny-llama",
    "ia3-bias": "tiny-qwen2",
    "vera": "tiny-llama",
    "vera-layers": "tiny-qwen2",
    "loha": "tiny-llama",
    "lokr": "tiny-llama",
    "lokr-product": "tiny-qwen2",
    "lokr-thin": "tiny-llama",
    "oft": "tiny-llama",
    "oft-exact": "tiny-qwen2",
}


def make_case(name: str, base_name: str, seed: int) -> None:
    folder = HERE / "methods" / name
    torch.manual_seed(seed)
    model = PeftModel.from_pretrained(open_base(base_name), folder, is_trainable=True).eval()
    batches = random_batches(model.config.vocab_size, SETTINGS.steps, seed)
    results = train(model, batches, SETTINGS, (1,))
    print(f"{name:20} loss {results[0].loss:.4f} -> {results[-1].loss:.4f}")
    write_json(
        folder / "training.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "adapterSha256": sha256_of(folder / "adapter_model.safetensors"),
            **figures_of(SETTINGS, results, batches),
            "gradients": first_gradients(results),
        },
    )


def main() -> None:
    use_single_thread()
    for index, (name, base_name) in enumerate(CASES.items()):
        make_case(name, base_name, SEED + 10 * index)


if __name__ == "__main__":
    main()
