"""Makes the golden adapters and training runs of this folder with Hugging Face PEFT, on test/golden/models/tiny-llama.

    python test/golden/peft/make.py

Each `lora-*` folder of `CASES` is an adapter as PEFT saves it, with both A and B non-zero, and `golden.json`: the modules it
adapts with their rank and effective scale, and the logits with it. Each folder of `RUNS` holds `initial/` and `final/` as PEFT
saves them and `golden.json`: batches, losses, learning rates, gradient norms, and gradients at two steps.
"""

import json
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from peer_io import encode_array, made_by, sha256_of, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, pad_batch, train, trainable, weighted_loss  # noqa: E402

SCRIPT = "test/golden/peft/make.py"
BASE = HERE.parent / "models" / "tiny-llama"
SEED = 4100
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]

CASES = {
    "lora-attention": {
        "about": "rank 4, alpha 8 on attention: one scale everywhere",
        "config": {"r": 4, "lora_alpha": 8, "target_modules": ATTENTION},
    },
    "lora-all-linear": {
        "about": "all-linear, rsLoRA, ranks and alphas by pattern (a path suffix and a regex; the first match wins)",
        "config": {
            "r": 3,
            "lora_alpha": 6,
            "target_modules": "all-linear",
            "use_rslora": True,
            "rank_pattern": {"layers.1.mlp.down_proj": 6, r".*\.q_proj": 2, "q_proj": 7},
            "alpha_pattern": {r"layers\.[02]\.mlp\.(gate|up)_proj": 12, "down_proj": 5},
        },
    },
    "lora-regex": {
        "about": "target_modules is one regex (a full match of the module path), exclude_modules too",
        "config": {
            "r": 2,
            "lora_alpha": 3,
            "target_modules": r".*\.(q|v|up|down)_proj",
            "exclude_modules": r".*layers\.(0\.self_attn|2\.mlp)\..*",
        },
    },
    "lora-exclude-layers": {
        "about": "suffixes with exclude_modules, on two layers of three (layers_to_transform, layers_pattern)",
        "config": {
            "r": 2,
            "lora_alpha": 16,
            "target_modules": ["q_proj", "v_proj", "mlp.down_proj", "gate_proj"],
            "exclude_modules": ["layers.2.self_attn.v_proj", "gate_proj"],
            "layers_to_transform": [0, 2],
            "layers_pattern": "layers",
        },
    },
    "lora-bf16": {
        "about": "rank 4 on attention, tensors stored as BF16 (as other trainers save); logits computed from them in f32",
        "config": {"r": 4, "lora_alpha": 4, "target_modules": ATTENTION},
        "store_dtype": torch.bfloat16,
    },
}

RUNS = {
    "lora-train": TrainingSettings(learning_rate=1e-2, steps=20),
    # Some of its gradient norms lie above 2 and some below: clipping acts on a part of the steps.
    "lora-train-warmup-cosine": TrainingSettings(
        learning_rate=1e-2, steps=20, warmup_steps=5, schedule="cosine", max_grad_norm=2.0
    ),
}
GRADIENT_STEPS = (1, 5)
SEQUENCE_LENGTHS = (5, 12, 19, 26)


def open_base(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(BASE, attn_implementation="eager", dtype=dtype).eval()


def golden_sequences() -> list[list[int]]:
    """The same token ids as the base's own golden file."""
    return [item["tokenIds"] for item in json.loads((BASE / "golden.json").read_text())["sequences"]]


@torch.no_grad()
def logits_of(model: torch.nn.Module, token_ids: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0]


def save_adapter(model: PeftModel, folder: Path, base_name: str = "tiny-llama") -> None:
    """As PEFT saves it, without the model card, and with a base name that says nothing of this machine."""
    model.peft_config["default"].base_model_name_or_path = base_name
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    # PEFT writes sets in an order that changes from run to run.
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for key in ("target_modules", "exclude_modules", "feedforward_modules", "target_parameters"):
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def fill_adapter(model: PeftModel, seed: int, dtype: torch.dtype) -> None:
    """A and B from a generator, neither zero, large enough to change logits by a good part of their spread."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in trainable(model).values():
            values = torch.randn(parameter.shape, generator=generator) * 0.15
            parameter.copy_(values.to(dtype))


def adapted_modules(model: PeftModel) -> list[dict]:
    """Path in the base, rank and effective scale (what B·A·x is multiplied with) of each adapted module."""
    modules = []
    for name, module in model.named_modules():
        if getattr(module, "lora_A", None):
            modules.append(
                {
                    "path": re.sub(r"^base_model\.model\.", "", name),
                    "rank": module.r["default"],
                    "alpha": module.lora_alpha["default"],
                    "scale": module.scaling["default"],
                }
            )
    return modules


def make_case(name: str, case: dict, seed: int) -> None:
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    base = open_base()
    sequences = golden_sequences()
    base_logits = [logits_of(base, token_ids) for token_ids in sequences]
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **case["config"])).eval()
    dtype = case.get("store_dtype", torch.float32)
    fill_adapter(model, seed, dtype)
    logits = [logits_of(model, token_ids) for token_ids in sequences]
    modules = adapted_modules(model)
    save_adapter(model.to(dtype) if dtype != torch.float32 else model, folder)

    reopened = PeftModel.from_pretrained(open_base(), folder).eval()
    for token_ids, expected in zip(sequences, logits, strict=True):
        assert torch.equal(logits_of(reopened, token_ids), expected), f"{name}: the saved folder gives other logits"
    shift = max(float((a - b).abs().max()) for a, b in zip(logits, base_logits, strict=True))
    spread = float(base_logits[-1].std())
    assert shift > 0.3 * spread, f"{name}: the adapter hardly changes anything ({shift} of {spread})"
    print(f"{name:26} {len(modules):3} modules, largest change of a logit {shift:.2f} (deviation {spread:.2f})")
    write_json(
        folder / "golden.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "about": case["about"],
            "base": "test/golden/models/tiny-llama",
            "adapterSha256": sha256_of(folder / "adapter_model.safetensors"),
            "modules": modules,
            "sequences": [
                {"tokenIds": token_ids, "logits": encode_array(value)}
                for token_ids, value in zip(sequences, logits, strict=True)
            ],
        },
    )


def random_batches(vocabulary: int, steps: int, seed: int) -> list[list[dict]]:
    """Four sequences a step, of different lengths in another order each step; a third of the tokens has no loss, one 0.5."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(steps):
        batch = []
        for row, place in enumerate(torch.randperm(len(SEQUENCE_LENGTHS), generator=generator).tolist()):
            length = SEQUENCE_LENGTHS[place]
            weights = (torch.rand(length, generator=generator) < 2 / 3).float()
            weights[0] = 0.0
            weights[-1] = 0.5 if row == 0 else 1.0
            # Half of the vocabulary, so that there is something to learn in 20 steps.
            token_ids = torch.randint(0, vocabulary // 2, (length,), generator=generator)
            batch.append({"tokenIds": token_ids.tolist(), "lossWeights": weights.tolist()})
        batches.append(batch)
    return batches


def assert_padding_changes_nothing(model: PeftModel, batch: list[dict]) -> None:
    """The loss of a padded batch is that of its sequences, each alone and summed."""
    with torch.no_grad():
        weights = [sum(sequence["lossWeights"]) for sequence in batch]
        alone = [
            weighted_loss(model, pad_batch([sequence])).item() * weight
            for sequence, weight in zip(batch, weights, strict=True)
        ]
        together = weighted_loss(model, pad_batch(batch)).item()
    assert abs(sum(alone) / sum(weights) - together) < 1e-6 * together


def make_run(name: str, settings: TrainingSettings, seed: int) -> None:
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=ATTENTION)
    model = get_peft_model(open_base(), config).eval()
    save_adapter(model, folder / "initial")
    batches = random_batches(model.config.vocab_size, settings.steps, seed + 1)
    assert_padding_changes_nothing(model, batches[0])

    # The same run in f64 tells how far rounding alone moves the curve: what a tolerance has to allow and no more.
    wide = PeftModel.from_pretrained(open_base(torch.float64), folder / "initial", is_trainable=True).double().eval()
    results = train(model, batches, settings, GRADIENT_STEPS)
    wide_results = train(wide, batches, settings)
    save_adapter(model, folder / "final")
    rounding = max(abs(a.loss - b.loss) / b.loss for a, b in zip(results, wide_results, strict=True))
    print(f"{name:26} loss {results[0].loss:.4f} -> {results[-1].loss:.4f}, f32 against f64 {rounding:.1e}")
    gradients = {
        str(step): {key: encode_array(value) for key, value in results[step - 1].gradients.items()}
        for step in GRADIENT_STEPS
    }
    write_json(
        folder / "golden.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "base": "test/golden/models/tiny-llama",
            "lossWeights": "lossWeights[i] weighs the loss of predicting token i; loss = sum(w*nll)/sum(w) over the batch",
            "optimizer": "AdamW, decoupled decay; gradients clipped to max_grad_norm over all adapter tensors together",
            "settings": asdict(settings),
            "losses": [result.loss for result in results],
            "lossesInF64": [result.loss for result in wide_results],
            "learningRates": [result.learning_rate for result in results],
            "gradNorms": [result.grad_norm for result in results],
            "batches": batches,
            "gradients": gradients,
        },
    )


def main() -> None:
    use_single_thread()
    for index, (name, case) in enumerate(CASES.items()):
        make_case(name, case, SEED + 10 * index)
    for index, (name, settings) in enumerate(RUNS.items()):
        make_run(name, settings, SEED + 1000 + 10 * index)


if __name__ == "__main__":
    main()
