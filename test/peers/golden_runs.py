"""What the scripts of test/golden share: the tiny models of test/golden/models, adapters as PEFT saves them, batches and figures of runs."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

from peer_io import encode_array
from reference_training import TrainingSettings

MODELS = Path(__file__).resolve().parents[1] / "golden" / "models"
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
SEQUENCE_LENGTHS = (5, 12, 19, 26)


def open_base(name: str = "tiny-llama", dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(MODELS / name, attn_implementation="eager", dtype=dtype).eval()


def golden_sequences() -> list[list[int]]:
    """The same token ids as tiny-llama's own golden file."""
    return [item["tokenIds"] for item in json.loads((MODELS / "tiny-llama" / "golden.json").read_text())["sequences"]]


@torch.no_grad()
def logits_of(model: torch.nn.Module, token_ids: list[int]) -> torch.Tensor:
    """[T, V] logits of one sequence alone."""
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


def saved_name(name: str) -> str:
    """The name under which PEFT saves a parameter; an encoder's, which it does not save, without the adapter's name."""
    name = name.replace(".modules_to_save", "").replace(".default", "")
    name = name.replace("prompt_encoder.embedding.weight", "prompt_embeddings")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


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


def figures_of(settings: TrainingSettings, results, batches: list[list[dict]], **more: object) -> dict:
    """What a golden file has of a run's steps, in the order of its lines."""
    return {
        "settings": asdict(settings),
        "losses": [result.loss for result in results],
        "learningRates": [result.learning_rate for result in results],
        "gradNorms": [result.grad_norm for result in results],
        **more,
        "batches": batches,
    }


def first_gradients(results, name_of=saved_name) -> dict:
    """Those of the first step, by the names that PEFT saves."""
    return {"1": {name_of(key): encode_array(value) for key, value in results[0].gradients.items()}}
