"""Trains a QLoRA adapter with Hugging Face PEFT and bitsandbytes as a job file says, for a comparison with Espalier on the same job.

    python test/peers/qlora_training.py JOB.json

The job is that of peft_training.py; `base` is a Hugging Face folder in float32, which is quantised to NF4 with double quantisation and computed in
float32. The embedding table, which is the head too, is rounded to bfloat16, as Espalier holds it beside NF4.

Written to the output folder: `base/` (the quantised model as Transformers saves it), `values.safetensors` (every quantised matrix as
bitsandbytes gives it back), `initial/`, `adapter/`, `gradients-STEP.safetensors` and `result.json` as peft_training.py writes them.
"""

from importlib.metadata import version
from pathlib import Path

import bitsandbytes
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from peer_io import peak_memory_bytes, run_job, save_gradients, versions
from reference_training import TrainingSettings, train


def open_quantised(folder: str) -> torch.nn.Module:
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=settings, dtype=torch.float32, device_map={"": "cpu"}
    )
    table = model.get_input_embeddings().weight
    table.data.copy_(table.data.to(torch.bfloat16).to(torch.float32))
    return model


def values_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        f"{name}.weight": bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state).contiguous()
        for name, module in model.named_modules()
        if isinstance(module, bitsandbytes.nn.Linear4bit)
    }


def run(job: dict) -> dict:
    # One thread while magnitudes are averaged: two would add them in another order in matrices of more than 32,768 blocks.
    torch.set_num_threads(1)
    output = Path(job["output"])
    output.mkdir(parents=True, exist_ok=True)
    model = open_quantised(job["base"])
    model.save_pretrained(output / "base")
    save_file(values_of(model), output / "values.safetensors")
    torch.set_num_threads(job.get("threads", 2))
    torch.manual_seed(job.get("seed", 0))
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **job["lora"])).eval()
    # Its own is the folder that it was opened from, and an adapter names a model.
    model.peft_config["default"].base_model_name_or_path = "base"
    model.save_pretrained(output / "initial", save_embedding_layers=False)
    results = train(model, job["batches"], TrainingSettings(**job["settings"]), tuple(job.get("recordGradientsAt", ())))
    save_gradients(results, output)
    model.save_pretrained(output / "adapter", save_embedding_layers=False)
    return {
        "losses": [result.loss for result in results],
        "learningRates": [result.learning_rate for result in results],
        "gradNorms": [result.grad_norm for result in results],
        "peakMemoryBytes": peak_memory_bytes(),
        "versions": {**versions(), "bitsandbytes": version("bitsandbytes")},
    }


if __name__ == "__main__":
    run_job(run, __doc__)
