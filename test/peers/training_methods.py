"""Trains adapters of many methods with Hugging Face PEFT on tiny bases, and opens those that were trained elsewhere.

    python test/peers/training_methods.py train JOB.json
    python test/peers/training_methods.py open JOB.json

The job is a list of cases { "name", "config": fields of adapter_config.json, "base": folder, "folder": where it goes, "steps" }. `train` leaves in
each folder `start.safetensors` (every trainable number, by the name it is saved under), `gradients-1.safetensors` (of the mean loss, before
clipping), `theirs/` (the PEFT folder after the last step) and `theirs.safetensors` (logits after the last token of each sequence, tensor
"i": [V]), and prints the runs. `open` opens `ours/` and writes `ours.safetensors`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from peft import PeftModel, get_peft_config, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from adalora_training import AdaLoraTraining
from peer_io import save_gradients, versions
from reference_training import TrainingSettings, train

SEQUENCE_LENGTHS = (3, 9)
NUM_BATCHES = 5


def open_base(path: str) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager", dtype=torch.float32).eval()


def saved_name(name: str) -> str:
    """The name under which PEFT saves a trainable parameter; that of an encoder, which it does not save, without the adapter's name."""
    # PEFT names a bank that modules share by none of them.
    if "vblora_vector_bank" in name:
        return "base_model.vblora_vector_bank"
    for infix in (".default", ".modules_to_save", ".original_module"):
        name = name.replace(infix, "")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def trainable_by_saved_name(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    found = {saved_name(name): value for name, value in model.named_parameters() if value.requires_grad}
    encoder = [name for name in found if name.startswith("prompt_encoder.")]
    if encoder == ["prompt_encoder.embedding.weight"]:
        return {"prompt_embeddings": found[encoder[0]]}
    return found


def shake(model: PeftModel, seed: int) -> None:
    """Noise on every number; zeros, which hide gradients, become small numbers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in trainable_by_saved_name(model).values():
            noise = torch.randn(parameter.shape, generator=generator)
            is_zero = bool((parameter == 0).all())
            parameter.copy_(0.1 * noise if is_zero else parameter * (1 + 0.3 * noise))


def trained_tokens(case: dict) -> list[int]:
    config = case["config"]
    return config.get("token_indices") or config.get("trainable_token_indices") or []


def random_batches(vocabulary: int, seed: int, tokens: list[int]) -> list[list[dict]]:
    """Sequences of different lengths, with `tokens` in each that is long enough; a third of the tokens has no loss."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(NUM_BATCHES):
        batch = []
        for length in torch.randint(4, 25, (4,), generator=generator).tolist():
            weights = (torch.rand(length, generator=generator) < 2 / 3).float()
            weights[0], weights[-1] = 0.0, 1.0
            token_ids = torch.randint(0, vocabulary, (length,), generator=generator).tolist()
            token_ids[1 : 1 + len(tokens)] = tokens[: length - 1]
            batch.append({"tokenIds": token_ids, "lossWeights": weights.tolist()})
        batches.append(batch)
    return batches


@torch.no_grad()
def write_logits(model: torch.nn.Module, sequences: list[list[int]], path: Path) -> None:
    logits = {
        str(index): model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].contiguous()
        for index, ids in enumerate(sequences)
    }
    save_file(logits, path)


def sequences_of(case: dict, vocabulary: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(len(case["name"]))
    sequences = [torch.randint(0, vocabulary, (length,), generator=generator).tolist() for length in SEQUENCE_LENGTHS]
    tokens = trained_tokens(case)
    for token_ids in sequences:
        token_ids[1 : 1 + len(tokens)] = tokens[: len(token_ids) - 1]
    return sequences


def train_case(case: dict, seed: int) -> dict:
    folder = Path(case["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    config = get_peft_config({"task_type": "CAUSAL_LM", **case["config"]})
    model = get_peft_model(open_base(case["base"]), config).eval()
    shake(model, seed)
    parameters = trainable_by_saved_name(model)
    save_file({name: value.detach().clone().contiguous() for name, value in parameters.items()}, folder / "start.safetensors")
    settings = TrainingSettings(learning_rate=case.get("learningRate", 2e-3), steps=case["steps"])
    batches = random_batches(model.config.vocab_size, seed, trained_tokens(case))
    extras = AdaLoraTraining(model) if case["config"]["peft_type"] == "ADALORA" else None
    results = train(model, batches, settings, (1,), extras)
    names = {id(value): name for name, value in parameters.items()}
    by_name = {name.replace(".default.", "."): names[id(value)] for name, value in model.named_parameters() if id(value) in names}
    results[0].gradients = {by_name[name]: value for name, value in results[0].gradients.items()}
    save_gradients(results, folder)
    model.peft_config["default"].base_model_name_or_path = "base"
    model.save_pretrained(folder / "theirs", save_embedding_layers=False)
    sequences = sequences_of(case, model.config.vocab_size)
    write_logits(PeftModel.from_pretrained(open_base(case["base"]), folder / "theirs").eval(), sequences, folder / "theirs.safetensors")
    return {
        "losses": [result.loss for result in results],
        "learningRates": [result.learning_rate for result in results],
        "batches": batches,
        "settings": asdict(settings),
        "sequences": sequences,
    }


def open_case(case: dict) -> None:
    folder = Path(case["folder"])
    model = PeftModel.from_pretrained(open_base(case["base"]), folder / "ours").eval()
    write_logits(model, sequences_of(case, model.config.vocab_size), folder / "ours.safetensors")


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("train", "open"):
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    cases = json.loads(Path(sys.argv[2]).read_text())
    if sys.argv[1] == "open":
        for case in cases:
            open_case(case)
        print("{}")
        return
    runs = {case["name"]: train_case(case, 100 + index) for index, case in enumerate(cases)}
    print(json.dumps({"versions": versions(), "runs": runs}))


if __name__ == "__main__":
    main()
