"""Makes the golden training runs of preference objectives: Hugging Face PEFT and torch's autograd, on test/golden/models/tiny-llama.

    python test/golden/preferences/make.py

Each objective trains the same adapter on the same pairs for five steps. Log probabilities come from torch's log-softmax, the
reference's from the model with its adapter disabled; the losses are written as their papers and TRL have them, and autograd does the
rest, so nothing here shares a derivation with what it checks. `golden.json` has the pairs, and for each objective losses, rewards,
gradient norms, and the gradients of two steps; `initial/` is the adapter as PEFT saves it.
"""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import logsigmoid

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import open_base, save_adapter  # noqa: E402
from peer_io import encode_array, made_by, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, trainable  # noqa: E402

SCRIPT = "test/golden/preferences/make.py"
SEED = 6100
STEPS = 5
PAIRS = 3
GRADIENT_STEPS = (1, 4)

OBJECTIVES = {
    "dpo": {"name": "dpo", "beta": 0.3, "labelSmoothing": 0.0},
    "dpo-smoothed": {"name": "dpo", "beta": 0.3, "labelSmoothing": 0.1},
    "ipo": {"name": "ipo", "beta": 0.2},
    "simpo": {"name": "simpo", "beta": 2.0, "gamma": 1.0},
    "orpo": {"name": "orpo", "beta": 0.5},
    "kto": {"name": "kto", "beta": 0.3, "desirableWeight": 1.0, "undesirableWeight": 1.5},
}


def random_pairs(vocabulary: int, seed: int) -> list[list[dict]]:
    """A prompt and two answers of different lengths; `isDesirable` says what the first one is, for KTO."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(0, vocabulary // 2, (length,), generator=generator).tolist()

    return [
        [
            {"prompt": tokens(3, 9), "answers": [tokens(2, 9), tokens(2, 9)], "isDesirable": (pair + step) % 2 == 0}
            for pair in range(PAIRS)
        ]
        for step in range(STEPS)
    ]


def log_prob(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> torch.Tensor:
    ids = torch.tensor([prompt + answer])
    logits = model(input_ids=ids, use_cache=False).logits[0]
    picked = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
    return picked[len(prompt) - 1 :].sum()


def loss_of(config: dict, policy: torch.Tensor, reference: torch.Tensor, batch: list[dict]) -> torch.Tensor:
    """Losses of a batch, [pairs], from log probabilities [pairs, 2]."""
    beta = config["beta"]
    lengths = torch.tensor([[len(answer) for answer in pair["answers"]] for pair in batch])
    chosen, rejected = (policy - reference).unbind(1)
    mean_chosen, mean_rejected = (policy / lengths).unbind(1)
    match config["name"]:
        case "dpo":
            h = beta * (chosen - rejected)
            smoothing = config["labelSmoothing"]
            return -logsigmoid(h) * (1 - smoothing) - logsigmoid(-h) * smoothing
        case "ipo":
            ratio_chosen, ratio_rejected = ((policy - reference) / lengths).unbind(1)
            return (ratio_chosen - ratio_rejected - 1 / (2 * beta)) ** 2
        case "simpo":
            return -logsigmoid(beta * (mean_chosen - mean_rejected - config["gamma"] / beta))
        case "orpo":
            odds = (mean_chosen - mean_rejected) - (
                torch.log1p(-torch.exp(mean_chosen)) - torch.log1p(-torch.exp(mean_rejected))
            )
            return -mean_chosen - beta * logsigmoid(odds)
        case "kto":
            kl = (policy - reference)[:, 1].mean().clamp(min=0).detach()
            good = torch.tensor([pair["isDesirable"] for pair in batch])
            desirable = config["desirableWeight"] * (1 - torch.sigmoid(beta * (chosen - kl)))
            undesirable = config["undesirableWeight"] * (1 - torch.sigmoid(beta * (kl - chosen)))
            return torch.where(good, desirable, undesirable)
    raise ValueError(config["name"])


def make_run(config: dict, batches: list[list[dict]], settings: TrainingSettings) -> dict:
    model = PeftModel.from_pretrained(open_base(), HERE / "initial", is_trainable=True).eval()
    parameters = trainable(model)
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )
    losses, norms, gradients = [], [], {}
    for step, batch in enumerate(batches, start=1):
        with torch.no_grad(), model.disable_adapter():
            reference = torch.stack(
                [torch.stack([log_prob(model, pair["prompt"], a) for a in pair["answers"]]) for pair in batch]
            )
        policy = torch.stack(
            [torch.stack([log_prob(model, pair["prompt"], a) for a in pair["answers"]]) for pair in batch]
        )
        loss = loss_of(config, policy, reference, batch).mean()
        optimizer.zero_grad()
        loss.backward()
        if step in GRADIENT_STEPS:
            gradients[str(step)] = {name: encode_array(value.grad) for name, value in parameters.items()}
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), settings.max_grad_norm).item())
        optimizer.step()
        losses.append(loss.item())
    print(f"{config['name']:6} losses {[round(loss, 4) for loss in losses]}")
    return {"config": config, "losses": losses, "gradNorms": norms, "gradients": gradients}


def main() -> None:
    use_single_thread()
    shutil.rmtree(HERE / "initial", ignore_errors=True)
    torch.manual_seed(SEED)
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(open_base(), lora)
    generator = torch.Generator().manual_seed(SEED + 1)
    with torch.no_grad():
        # Neither factor zero: the policy differs from its reference from the first step.
        for parameter in trainable(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    save_adapter(model, HERE / "initial")
    settings = TrainingSettings(learning_rate=1e-2, steps=STEPS)
    batches = random_pairs(model.config.vocab_size, SEED + 2)
    write_json(
        HERE / "golden.json",
        {
            "madeBy": made_by(SCRIPT, SEED),
            "base": "test/golden/models/tiny-llama",
            "settings": asdict(settings),
            "batches": batches,
            "runs": {name: make_run(config, batches, settings) for name, config in OBJECTIVES.items()},
        },
    )


if __name__ == "__main__":
    main()
