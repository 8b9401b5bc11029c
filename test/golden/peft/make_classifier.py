"""Trains classification heads with Hugging Face PEFT, task_type SEQ_CLS, on test/golden/models/tiny-llama.

    python test/golden/peft/make_classifier.py [CASE ...]

Each folder of `CASES` holds `initial/` and `final/` as PEFT saves them, `golden.json` with batches, losses, gradient norms, gradients
of two steps, and the logits of the labels with the final adapter. The model is `AutoModelForSequenceClassification`: `score` is PEFT's
own choice of a module to save. The mean cross-entropy is torch's, over a padded batch; before virtual tokens, which a model does not see
padding behind, over sequences one by one.
"""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, PreTrainedModel

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import MODELS, golden_sequences, save_adapter, saved_name  # noqa: E402
from peer_io import encode_array, made_by, sha256_of, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, trainable  # noqa: E402

SCRIPT = "test/golden/peft/make_classifier.py"
SEED = 8600
SETTINGS = TrainingSettings(learning_rate=5e-3, steps=20)
GRADIENT_STEPS = (1, 5)
LENGTHS = (3, 9, 14, 20, 1)
PAD = 0
CASES = {
    "classifier-lora": (3, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])),
    "classifier-dora": (2, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], use_dora=True)),
    "classifier-ia3": (3, IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])),
    "classifier-ln": (2, LNTuningConfig(target_modules=["input_layernorm", "norm"])),
    "classifier-prompt": (4, PromptTuningConfig(num_virtual_tokens=3)),
}


def open_base(num_labels: int) -> PreTrainedModel:
    model = AutoModelForSequenceClassification.from_pretrained(
        MODELS / "tiny-llama", num_labels=num_labels, attn_implementation="eager", dtype=torch.float32
    ).eval()
    # Of a padded batch the head reads the last token that is not this one: no sequence here has it.
    model.config.pad_token_id = PAD
    return model


def random_batches(vocab_size: int, num_labels: int, seed: int) -> list[list[dict]]:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda high, size: torch.randint(0, high, size, generator=generator)  # noqa: E731
    return [
        [
            {"tokenIds": (1 + draw(vocab_size - 1, (length,))).tolist(), "label": draw(num_labels, (1,)).item()}
            for length in LENGTHS
        ]
        for _ in range(4)
    ]


def loss_of(model: torch.nn.Module, batch: list[dict]) -> torch.Tensor:
    targets = torch.tensor([row["label"] for row in batch])
    if model.active_peft_config.is_prompt_learning:
        return functional.cross_entropy(torch.cat([logits_of(model, row["tokenIds"]) for row in batch]), targets)
    longest = max(len(row["tokenIds"]) for row in batch)
    ids = torch.tensor([row["tokenIds"] + [PAD] * (longest - len(row["tokenIds"])) for row in batch])
    positions = torch.arange(longest).expand_as(ids)
    logits = model(input_ids=ids, attention_mask=(ids != PAD).long(), position_ids=positions).logits
    return functional.cross_entropy(logits, targets)


def logits_of(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([ids])).logits


def train(model: PeftModel, batches: list[list[dict]]) -> list[dict]:
    parameters = {saved_name(name): value for name, value in trainable(model).items()}
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=SETTINGS.learning_rate,
        betas=SETTINGS.betas,
        eps=SETTINGS.eps,
        weight_decay=SETTINGS.weight_decay,
    )
    steps = []
    for step in range(1, SETTINGS.steps + 1):
        loss = loss_of(model, batches[(step - 1) % len(batches)])
        optimizer.zero_grad()
        loss.backward()
        gradients = {name: encode_array(value.grad.detach().clone()) for name, value in parameters.items()}
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), SETTINGS.max_grad_norm)
        optimizer.step()
        steps.append({"loss": loss.item(), "gradNorm": norm.item(), "gradients": gradients})
    return steps


def make_case(name: str, seed: int) -> None:
    num_labels, config = CASES[name]
    config.task_type = "SEQ_CLS"
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    model = get_peft_model(open_base(num_labels), config).eval()
    # B starts at zero, and A would get no gradient: something to compare from the first step on.
    with torch.no_grad():
        for key, value in trainable(model).items():
            if "lora_B" in key:
                value.normal_(0, 0.05)
    save_adapter(model, folder / "initial")
    batches = random_batches(model.config.vocab_size, num_labels, seed)
    steps = train(model, batches)
    save_adapter(model, folder / "final")
    sequences = golden_sequences()
    with torch.no_grad():
        logits = [logits_of(model, ids)[0] for ids in sequences]
    print(f"{name:16} loss {steps[0]['loss']:.4f} -> {steps[-1]['loss']:.4f}")
    write_json(
        folder / "golden.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "adapterSha256": sha256_of(folder / "final" / "adapter_model.safetensors"),
            "settings": asdict(SETTINGS),
            "losses": [step["loss"] for step in steps],
            "learningRates": [SETTINGS.learning_rate] * SETTINGS.steps,
            "gradNorms": [step["gradNorm"] for step in steps],
            "batches": batches,
            "gradients": {str(step): steps[step - 1]["gradients"] for step in GRADIENT_STEPS},
            "sequences": [
                {"tokenIds": ids, "logits": encode_array(values)} for ids, values in zip(sequences, logits, strict=True)
            ],
        },
    )


def main() -> None:
    use_single_thread()
    for index, name in enumerate(CASES):
        if name in (sys.argv[1:] or CASES):
            make_case(name, SEED + 10 * index)


if __name__ == "__main__":
    main()
