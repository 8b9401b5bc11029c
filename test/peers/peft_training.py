"""Trains a LoRA adapter with Hugging Face PEFT as a job file says, for a comparison with Espalier on the same job.

    python test/peers/peft_training.py JOB.json

The job (paths are relative to the working directory):

    { "base": "base.gguf or a Hugging Face folder",
      "adapter": "folder to start from",            or "lora": { LoraConfig fields } for a fresh one from "seed"
      "batches": [[{ "tokenIds": [..], "lossWeights": [..] }, ..], ..],      lossWeights[i]: of predicting token i
      "settings": { "learning_rate": 2e-4, "steps": 20, .. },                fields of TrainingSettings
      "dtype": "f32" | "bf16",      of the base; PEFT keeps adapter weights in f32 in both cases
      "autocast": true,             f32 weights, products in bf16: what `bf16=True` of transformers' TrainingArguments does
      "seed": 0, "threads": 2,
      "recordGradientsAt": [1, 5],  steps, counted from 1
      "logitsOf": [[token ids], ..],
      "output": "folder" }

Written to the output folder: `result.json` (losses, learning rates, gradient norms, seconds, versions), `initial/` and
`adapter/` (PEFT folders), `gradients-STEP.safetensors` (of the mean loss, before clipping, named as the adapter's tensors),
`logits.safetensors` (tensor "i": [T, V] of sequence i with the trained adapter, f32).
"""

import time
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

from bf16_products import has_bf16_kernels, widen_products
from peer_io import DTYPES, peak_memory_bytes, run_job, save_gradients, versions
from reference_training import TrainingSettings, pad_batch, train, trainable, weighted_loss
from smollm2_from_gguf import open_base


def open_adapter(job: dict) -> PeftModel:
    base = open_base(job["base"], DTYPES[job.get("dtype", "f32")])
    torch.manual_seed(job.get("seed", 0))
    if "adapter" in job:
        return PeftModel.from_pretrained(base, job["adapter"], is_trainable=True)
    return get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **job["lora"]))


@torch.no_grad()
def logits_of(model: torch.nn.Module, token_ids: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0].to(torch.float32).contiguous()


@torch.no_grad()
def mean_loss(model: torch.nn.Module, batches: list[list[dict]]) -> float:
    return sum(weighted_loss(model, pad_batch(batch)).item() for batch in batches) / len(batches)


def run(job: dict) -> dict:
    torch.set_num_threads(job.get("threads", 2))
    dtype = job.get("dtype", "f32")
    has_autocast = job.get("autocast", False)
    is_widened = (dtype == "bf16" or has_autocast) and not has_bf16_kernels()
    if is_widened:
        widen_products()
    output = Path(job["output"])
    output.mkdir(parents=True, exist_ok=True)
    model = open_adapter(job).eval()
    model.save_pretrained(output / "initial", save_embedding_layers=False)
    plain = model.forward
    if has_autocast:
        # Around each forward, as accelerate has it: autocast keeps the rounded weights until it ends, and a step changes them.
        model.forward = torch.autocast("cpu", dtype=torch.bfloat16)(plain)
    settings = TrainingSettings(**job["settings"])
    start = time.perf_counter()
    results = train(model, job["batches"], settings, tuple(job.get("recordGradientsAt", ())))
    seconds = time.perf_counter() - start
    after = {"autocast": mean_loss(model, job["batches"])} if has_autocast else {}
    model.forward = plain
    after["plain"] = mean_loss(model, job["batches"])
    save_gradients(results, output)
    model.save_pretrained(output / "adapter", save_embedding_layers=False)
    if sequences := job.get("logitsOf"):
        logits = {str(index): logits_of(model, token_ids) for index, token_ids in enumerate(sequences)}
        save_file(logits, output / "logits.safetensors")
    return {
        "dtype": dtype,
        "products": "f32, rounded to bf16" if is_widened else "native",
        "seed": job.get("seed", 0),
        "losses": [result.loss for result in results],
        "lossAfter": after,
        "learningRates": [result.learning_rate for result in results],
        "gradNorms": [result.grad_norm for result in results],
        "trainableParameters": sum(parameter.numel() for parameter in trainable(model).values()),
        "seconds": seconds,
        "peakMemoryBytes": peak_memory_bytes(),
        "versions": versions(),
    }


if __name__ == "__main__":
    run_job(run, __doc__)
