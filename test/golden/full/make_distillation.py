"""Distils adapters and a whole other model into an adapter of tiny-llama with torch's autograd through Hugging Face PEFT.

    python test/golden/full/make_distillation.py

`distillation.json`: batches, losses and gradient norms of five steps, and the gradients of the first, for each case. The student is
test/golden/peft/combining/first; the loss is written as Hinton et al. (2015) have it: (1 - share) * CE + share * T^2 * KL(teacher || student).
"""

import sys
from dataclasses import asdict
from pathlib import Path

import torch
from peft import PeftModel
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import open_base, random_batches  # noqa: E402
from peer_io import encode_array, made_by, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, trainable  # noqa: E402

SCRIPT = "test/golden/full/make_distillation.py"
SEED = 9900
SETTINGS = TrainingSettings(learning_rate=5e-3, steps=5)
ADAPTERS = HERE.parent / "peft" / "combining"
# Case: adapter of the teacher (none for the base), temperature, share of the teacher.
CASES = {"adapter": ("second", 2.0, 0.7), "base": (None, 1.0, 1.0), "sharp": ("third", 0.5, 0.25)}


def loss_of(student, teacher, batch: list[dict], temperature: float, share: float) -> torch.Tensor:
    total, weights_sum = torch.zeros(()), 0.0
    for sequence in batch:
        ids = torch.tensor([sequence["tokenIds"]])
        weights = torch.tensor(sequence["lossWeights"])[1:]
        logits = student(input_ids=ids, use_cache=False).logits[0, :-1]
        with torch.no_grad():
            taught = teacher(input_ids=ids, use_cache=False).logits[0, :-1]
        ce = functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        kl = functional.kl_div(
            (logits / temperature).log_softmax(-1), (taught / temperature).log_softmax(-1), reduction="none", log_target=True
        ).sum(-1)
        total = total + (weights * ((1 - share) * ce + share * temperature**2 * kl)).sum()
        weights_sum += float(weights.sum())
    return total / weights_sum


def make_case(name: str, batches: list[list[dict]]) -> dict:
    adapter, temperature, share = CASES[name]
    student = PeftModel.from_pretrained(open_base(), ADAPTERS / "first", is_trainable=True).eval()
    teacher = open_base() if adapter is None else PeftModel.from_pretrained(open_base(), ADAPTERS / adapter).eval()
    parameters = trainable(student)
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=SETTINGS.learning_rate, betas=SETTINGS.betas, eps=SETTINGS.eps, weight_decay=SETTINGS.weight_decay
    )
    losses, norms, gradients = [], [], {}
    for step, batch in enumerate(batches, start=1):
        loss = loss_of(student, teacher, batch, temperature, share)
        optimizer.zero_grad()
        loss.backward()
        if step == 1:
            gradients = {key: encode_array(value.grad) for key, value in parameters.items() if "layers.1." in key}
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), SETTINGS.max_grad_norm).item())
        optimizer.step()
        losses.append(loss.item())
    print(f"{name:8} loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    return {
        "teacher": adapter,
        "temperature": temperature,
        "share": share,
        "losses": losses,
        "gradNorms": norms,
        "gradients": gradients,
    }


def main() -> None:
    use_single_thread()
    batches = random_batches(open_base().config.vocab_size, SETTINGS.steps, SEED)
    document = {"madeBy": made_by(SCRIPT, SEED), "settings": asdict(SETTINGS), "batches": batches}
    write_json(HERE / "distillation.json", {**document, "runs": {name: make_case(name, batches) for name in CASES}})


if __name__ == "__main__":
    main()
