"""Combines adapters with Hugging Face PEFT's `add_weighted_adapter`, and takes apart what adapters of every linear method add.

    python test/golden/peft/make_combining.py

`combining/{first,second,third}` are LoRA adapters on test/golden/models/tiny-llama, `combining/golden.json` has for each combination the logits
of the combined adapter and ΔW of some modules. DARE's coin is one that can be written down: see `coin`. `combining/converting.json` has the singular
values of ΔW = W' − W of the adapters in `methods/`, in float64 by numpy.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import ATTENTION, golden_sequences, logits_of, open_base, save_adapter  # noqa: E402
from make import fill_adapter  # noqa: E402
from peer_io import encode_array, made_by, sha256_of, use_single_thread, write_json  # noqa: E402

SCRIPT = "test/golden/peft/make_combining.py"
FOLDER = HERE / "combining"
SEED = 7700
ADAPTERS = {
    "first": LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=ATTENTION),
    "second": LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, use_rslora=True, target_modules=ATTENTION),
    "third": LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=2, target_modules=["q_proj", "down_proj"]),
}
PAIR = ["first", "second"]
ALL = ["first", "second", "third"]
# Name: adapters, weights, options of add_weighted_adapter.
COMBINATIONS = {
    "linear": (PAIR, [0.7, 0.3], {"combination_type": "linear"}),
    "linear-negative": (PAIR, [1.2, -0.4], {"combination_type": "linear"}),
    "cat": (ALL, [0.7, -0.4, 1.5], {"combination_type": "cat"}),
    "svd": (ALL, [0.7, -0.4, 1.5], {"combination_type": "svd", "svd_rank": 3}),
    "svd-default-rank": (PAIR, [0.5, 0.5], {"combination_type": "svd"}),
    "ties": (PAIR, [0.7, 0.3], {"combination_type": "ties", "density": 0.4}),
    "ties-frequency": (PAIR, [0.7, 0.3], {"combination_type": "ties", "density": 0.6, "majority_sign_method": "frequency"}),
    "ties-svd": (ALL, [0.7, 0.3, 1.0], {"combination_type": "ties_svd", "density": 0.5, "svd_rank": 3}),
    "dare-linear": (PAIR, [0.7, 0.3], {"combination_type": "dare_linear", "density": 0.5}),
    "dare-ties": (PAIR, [0.7, 0.3], {"combination_type": "dare_ties", "density": 0.5}),
    "dare-linear-svd": (PAIR, [0.7, 0.3], {"combination_type": "dare_linear_svd", "density": 0.5, "svd_rank": 3}),
    "dare-ties-svd": (PAIR, [0.7, 0.3], {"combination_type": "dare_ties_svd", "density": 0.5, "svd_rank": 3}),
    "magnitude-prune": (PAIR, [0.7, 0.3], {"combination_type": "magnitude_prune", "density": 0.3}),
    "magnitude-prune-svd": (ALL, [0.7, 0.3, 1.0], {"combination_type": "magnitude_prune_svd", "density": 0.3, "svd_rank": 2}),
}
MODULES = ["model.layers.0.self_attn.q_proj", "model.layers.2.self_attn.v_proj"]
CONVERTED = ["dora", "ia3", "vera", "loha", "loha-wide", "lokr", "oft", "lora-bias"]


class Coin:
    """Stands in for torch.bernoulli: value i of the n-th array of a merge is kept when (7919 i + 104729 n + length) mod 1000 is below 1000 density."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, probabilities: torch.Tensor) -> torch.Tensor:
        part = self.calls % len(PAIR)
        self.calls += 1
        length = probabilities.numel()
        drawn = (7919 * torch.arange(length) + 104729 * part + length) % 1000
        return (drawn < 1000 * probabilities.reshape(-1)).float().reshape(probabilities.shape)


def make_adapters() -> None:
    for index, (name, config) in enumerate(ADAPTERS.items()):
        folder = FOLDER / name
        model = get_peft_model(open_base(), config).eval()
        fill_adapter(model, SEED + index, torch.float32)
        save_adapter(model, folder)


def combine(name: str) -> dict:
    adapters, weights, options = COMBINATIONS[name]
    model = PeftModel.from_pretrained(open_base(), FOLDER / ALL[0], adapter_name=ALL[0])
    for other in ALL[1:]:
        model.load_adapter(FOLDER / other, adapter_name=other)
    real = torch.bernoulli
    torch.bernoulli = Coin()
    try:
        model.add_weighted_adapter(adapters, weights, "combined", **options)
    finally:
        torch.bernoulli = real
    model.set_adapter("combined")
    model.eval()
    layers = dict(model.base_model.model.named_modules())
    sequence = golden_sequences()[1]
    return {
        "adapters": adapters,
        "weights": weights,
        "options": options,
        "deltas": {path: encode_array(layers[path].get_delta_weight("combined")) for path in MODULES},
        "sequence": {"tokenIds": sequence, "logits": encode_array(logits_of(model, sequence))},
    }


def take_apart(name: str) -> dict:
    """The singular values of ΔW of each module, [K], falling."""
    folder = HERE / "methods" / name
    base_name = json.loads((folder / "golden.json").read_text())["base"]
    before = {key: value.double() for key, value in open_base(base_name).state_dict().items()}
    model = PeftModel.from_pretrained(open_base(base_name), folder)
    merged = model.merge_and_unload().state_dict()
    values = {}
    for key, value in merged.items():
        if value.dim() == 2 and "layers" in key:
            delta = (value.double() - before[key]).numpy()
            if np.abs(delta).max() > 0:
                values[key.removesuffix(".weight")] = np.linalg.svd(delta, compute_uv=False).tolist()
    print(f"{name:12} {len(values)} modules")
    return values


def main() -> None:
    use_single_thread()
    shutil.rmtree(FOLDER, ignore_errors=True)
    make_adapters()
    results = {name: combine(name) for name in COMBINATIONS}
    header = made_by(SCRIPT, SEED)
    digests = {name: sha256_of(FOLDER / name / "adapter_model.safetensors") for name in ADAPTERS}
    write_json(FOLDER / "golden.json", {"madeBy": header, "adapterSha256": digests, "combinations": results})
    write_json(FOLDER / "converting.json", {"madeBy": header, **{name: take_apart(name) for name in CONVERTED}})


if __name__ == "__main__":
    main()
