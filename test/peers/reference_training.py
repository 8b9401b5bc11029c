"""The training step that Espalier is compared with: Hugging Face PEFT on torch, as plain as it can be written.

A batch is a list of sequences `{"tokenIds": [...], "lossWeights": [...]}` of equal length each; `lossWeights[i]` weighs the
loss of predicting token i from the tokens before it, so `lossWeights[0]` is 0. The loss of a batch is
`sum(weight * nll) / sum(weight)` over all its tokens. Sequences are padded on the right under an attention mask, which
changes nothing for real tokens: position ids start at 0 in each sequence, as they do in a packed batch.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional
from transformers import get_constant_schedule, get_cosine_schedule_with_warmup


@dataclass(frozen=True)
class TrainingSettings:
    learning_rate: float
    steps: int
    warmup_steps: int = 0
    schedule: str = "constant"  # or "cosine": get_cosine_schedule_with_warmup, half a wave down to 0 at `steps`
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    max_grad_norm: float = 1.0
    softmax: str = "f32"
    """Of the loss; "f64" takes the rounding of torch's f32 log-softmax out of a comparison. Over 49152 logits it is off by 5e-6, to
    one side, which is ten times all other rounding of a model of 30 layers in f32, and the gradients inherit it."""


@dataclass
class StepResult:
    loss: float
    learning_rate: float
    grad_norm: float
    """2-norm over all adapter gradients, before clipping."""
    gradients: dict[str, torch.Tensor] | None
    """Of the mean loss, before clipping; only for the steps asked for."""


class StepExtras(Protocol):
    """What a method does beside the plain step."""

    def penalty(self) -> torch.Tensor:
        """Is added to what is differentiated, and not to the loss that is recorded."""

    def after_step(self, step: int) -> None: ...


def pad_batch(batch: list[dict], pad_token_id: int = 0) -> dict[str, torch.Tensor]:
    """[N, T] tensors from sequences of different lengths; padding has attention 0 and loss weight 0."""
    longest = max(len(sequence["tokenIds"]) for sequence in batch)
    padded: dict[str, list[list]] = {"input_ids": [], "attention_mask": [], "loss_weights": []}
    for sequence in batch:
        token_ids, weights = sequence["tokenIds"], sequence["lossWeights"]
        if len(token_ids) != len(weights) or weights[0] != 0:
            raise ValueError("lossWeights must be as long as tokenIds, and the first token has no loss")
        missing = longest - len(token_ids)
        padded["input_ids"].append(token_ids + [pad_token_id] * missing)
        padded["attention_mask"].append([1] * len(token_ids) + [0] * missing)
        padded["loss_weights"].append(weights + [0.0] * missing)
    return {
        "input_ids": torch.tensor(padded["input_ids"]),
        "attention_mask": torch.tensor(padded["attention_mask"]),
        "loss_weights": torch.tensor(padded["loss_weights"], dtype=torch.float64),
    }


def weighted_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor], softmax: str = "f32") -> torch.Tensor:
    """Mean weighted negative log-likelihood; the softmax is in f32, or in f64 if asked for and for a model in f64."""
    positions = torch.arange(batch["input_ids"].shape[1]).expand_as(batch["input_ids"])
    logits = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], position_ids=positions, use_cache=False
    ).logits
    # Prompt tuning returns the logits of its virtual tokens too, which stand in front.
    logits = logits[:, -batch["input_ids"].shape[1] :]
    wide = torch.float64 if softmax == "f64" or logits.dtype == torch.float64 else torch.float32
    nll = functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]).to(wide), batch["input_ids"][:, 1:].reshape(-1), reduction="none"
    )
    weights = batch["loss_weights"][:, 1:].reshape(-1).to(wide)
    return (weights * nll).sum() / weights.sum()


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Adapter parameters by the name that PEFT saves them under."""
    return {
        name.replace(".default.", "."): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def train(
    model: torch.nn.Module,
    batches: list[list[dict]],
    settings: TrainingSettings,
    record_gradients_at: tuple[int, ...] = (),
    extras: StepExtras | None = None,
) -> list[StepResult]:
    """Trains in place, one batch a step (batches are used in order, again from the first when they run out).

    Steps count from 1. Dropout is whatever the model's mode says: callers that compare with another engine have none.
    """
    parameters = trainable(model)
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )
    if settings.schedule == "cosine":
        schedule = get_cosine_schedule_with_warmup(optimizer, settings.warmup_steps, settings.steps)
    elif settings.schedule == "constant" and settings.warmup_steps == 0:
        schedule = get_constant_schedule(optimizer)
    else:
        raise ValueError(f"no schedule {settings.schedule!r} with {settings.warmup_steps} warm-up steps")
    results = []
    for step in range(1, settings.steps + 1):
        learning_rate = schedule.get_last_lr()[0]
        loss = weighted_loss(model, pad_batch(batches[(step - 1) % len(batches)]), settings.softmax)
        optimizer.zero_grad()
        (loss if extras is None else loss + extras.penalty()).backward()
        gradients = None
        if step in record_gradients_at:
            gradients = {name: parameter.grad.detach().clone() for name, parameter in parameters.items()}
        grad_norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.max_grad_norm)
        optimizer.step()
        if extras is not None:
            extras.after_step(step)
        schedule.step()
        results.append(StepResult(loss.item(), learning_rate, grad_norm.item(), gradients))
    return results
