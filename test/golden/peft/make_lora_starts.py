"""Trains LoRAs with other first values, rates and frozen parts than the paper's, with Hugging Face PEFT on tiny-llama.

    python test/golden/peft/make_lora_starts.py [case ...]

`lora-starts/<case>.json`: the product B·A that each module starts with, batches, losses and gradient norms of 20 steps, and the logits of the
adapter that PEFT saves at the end, opened again on the unchanged base. LoftQ's function needs a GPU: here its two lines are written out
with bitsandbytes' NF4 and torch's SVD.
"""

import shutil
import sys
import tempfile
import zlib
from dataclasses import asdict
from pathlib import Path

import bitsandbytes
import torch
from peft import LoraConfig, PeftModel, get_peft_model, initialize_lora_eva_weights
from peft.optimizers import create_loraplus_optimizer
from peft.tuners.lora import EvaConfig, LoraGAConfig, preprocess_loraga

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import ATTENTION, golden_sequences, logits_of, open_base, random_batches  # noqa: E402
from peer_io import encode_array, made_by, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, pad_batch, trainable, weighted_loss  # noqa: E402

SCRIPT = "test/golden/peft/make_lora_starts.py"
SETTINGS = TrainingSettings(learning_rate=2e-3, steps=20)
RATE_RATIO = 8
# Ranks at which PEFT's randomised decompositions are exact on layers of 32 inputs.
GA_RANK, EVA_RANK = 8, 16
TARGETS = ATTENTION + ["down_proj"]


def config(**fields) -> LoraConfig:
    return LoraConfig(**{"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": TARGETS, **fields})


def start_plain(base, _batches):
    return get_peft_model(base, config(init_lora_weights=False))


def start_frozen(base, batches):
    model = start_plain(base, batches)
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            parameter.requires_grad_(False)
    return model


def start_pissa(base, _batches):
    return get_peft_model(base, config(init_lora_weights="pissa"))


def start_olora(base, _batches):
    return get_peft_model(base, config(init_lora_weights="olora", use_rslora=True))


def start_lora_ga(base, batches):
    own = config(r=GA_RANK, target_modules=ATTENTION, init_lora_weights="lora_ga", lora_ga_config=LoraGAConfig())
    preprocess_loraga(base, own, lambda: weighted_loss(base, pad_batch(batches[0])).backward())
    # It switches dropout on, of which these models have none.
    return get_peft_model(base, own)


def start_eva(base, batches):
    own = config(r=EVA_RANK, target_modules=ATTENTION, init_lora_weights="eva", eva_config=EvaConfig(rho=1.0))
    model = get_peft_model(base, own)
    padded = pad_batch(batches[0])
    labels = torch.where(padded["loss_weights"] > 0, padded["input_ids"], -100)
    inputs = {"input_ids": padded["input_ids"], "attention_mask": padded["attention_mask"], "labels": labels}
    initialize_lora_eva_weights(model, [inputs], show_progress_bar=False)
    return model


@torch.no_grad()
def start_loftq(base, _batches):
    """s·B·A is the best of its rank of W − dequantise(quantise(W)), in place of the lost part."""
    originals = {name: module.weight.clone() for name, module in base.named_modules() if hasattr(module, "weight")}
    for name, module in base.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            module.weight.copy_(through_nf4(module.weight))
    model = get_peft_model(base, config())
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        rank, scale = module.r["default"], module.scaling["default"]
        u, s, vh = torch.linalg.svd(originals[name] - module.base_layer.weight, full_matrices=False)
        roots = torch.sqrt(s[:rank] / scale)
        module.lora_A["default"].weight.copy_(roots[:, None] * vh[:rank])
        module.lora_B["default"].weight.copy_(u[:, :rank] * roots)
    return model


def through_nf4(weight: torch.Tensor) -> torch.Tensor:
    codes, state = bitsandbytes.functional.quantize_4bit(
        weight.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    return bitsandbytes.functional.dequantize_4bit(codes, state)


CASES = {
    "pissa": start_pissa,
    "olora": start_olora,
    "lora-ga": start_lora_ga,
    "eva": start_eva,
    "loftq": start_loftq,
    "lora-plus": start_plain,
    "lora-fa": start_frozen,
}


def train(model: PeftModel, batches: list[list[dict]], name: str) -> tuple[list[float], list[float]]:
    parameters = list(trainable(model).values())
    fields = {"betas": SETTINGS.betas, "eps": SETTINGS.eps}
    if name == "lora-plus":
        optimizer = create_loraplus_optimizer(
            model,
            torch.optim.AdamW,
            lr=SETTINGS.learning_rate,
            loraplus_lr_ratio=RATE_RATIO,
            loraplus_weight_decay=SETTINGS.weight_decay,
            **fields,
        )
    else:
        optimizer = torch.optim.AdamW(
            parameters, lr=SETTINGS.learning_rate, weight_decay=SETTINGS.weight_decay, **fields
        )
    losses, norms = [], []
    for step in range(SETTINGS.steps):
        optimizer.zero_grad()
        loss = weighted_loss(model, pad_batch(batches[step]))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, SETTINGS.max_grad_norm).item())
        losses.append(loss.item())
        optimizer.step()
    return losses, norms


def modules_of(model: PeftModel) -> dict[str, torch.nn.Module]:
    return {name: module for name, module in model.base_model.model.named_modules() if getattr(module, "lora_A", None)}


def make_case(name: str) -> None:
    seed = zlib.crc32(name.encode()) % 100_000
    torch.manual_seed(seed)
    base = open_base()
    batches = random_batches(base.config.vocab_size, SETTINGS.steps, seed)
    model = CASES[name](base, batches).eval()
    own = model.peft_config["default"]
    pairs = {
        path: {
            "scale": module.scaling["default"],
            "A": encode_array(module.lora_A["default"].weight.detach()),
            "B": encode_array(module.lora_B["default"].weight.detach()),
        }
        for path, module in modules_of(model).items()
    }
    folder = Path(tempfile.mkdtemp())
    changes_base = name in ("pissa", "olora", "lora-ga")
    if changes_base:
        own.init_lora_weights = True
        own.lora_ga_config = None
        model.save_pretrained(folder / "initial")
    losses, norms = train(model, batches, name)
    if changes_base:
        model.save_pretrained(folder / "final", path_initial_model_for_weight_conversion=str(folder / "initial"))
        model = PeftModel.from_pretrained(open_base(), folder / "final").eval()
    sequences = golden_sequences()[:2]
    logits = [logits_of(model, token_ids) for token_ids in sequences]
    shutil.rmtree(folder)
    print(f"{name:10} loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    write_json(
        HERE / "lora-starts" / f"{name}.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            "config": {
                "r": own.r,
                "lora_alpha": own.lora_alpha,
                "use_rslora": own.use_rslora,
                "target_modules": sorted(own.target_modules),
            },
            "settings": asdict(SETTINGS),
            "rateRatio": RATE_RATIO if name == "lora-plus" else None,
            "losses": losses,
            "gradNorms": norms,
            "batches": batches,
            "start": pairs,
            "sequences": [
                {"tokenIds": token_ids, "logits": encode_array(value)}
                for token_ids, value in zip(sequences, logits, strict=True)
            ],
        },
    )


def main() -> None:
    use_single_thread()
    for name in sys.argv[1:] or CASES:
        make_case(name)


if __name__ == "__main__":
    main()
