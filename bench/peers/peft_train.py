"""Times training of a LoRA adapter with Hugging Face PEFT on torch, as a user writes it: padded batches, `labels`, AdamW.

    python bench/peers/peft_train.py BASE dense [--batch 8] [--length 256] [--dtype bf16] [--steps 3]
    python bench/peers/peft_train.py BASE chat --data EXAMPLES.json [--batch 8] [--dtype bf16] [--steps 3]

`dense`: every sequence is full and every token has a loss. `chat`: EXAMPLES.json is a list of
`{"tokenIds": [...], "lossWeights": [0|1, ...]}`; batches take them in order and pad to their longest.
Rank 8 on q, k, v, o; attention by sdpa. Prints one JSON document; rates are medians over the steps after the warm-up:
`tokensPerSecond` all positions computed, `realTokensPerSecond` without padding, `lossTokensPerSecond` those with a loss.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "peers"))

from peer_io import DTYPES, peak_memory_bytes, versions  # noqa: E402
from smollm2_from_gguf import load_smollm2, open_base  # noqa: E402

NO_LOSS = -100  # the label that transformers leaves out of the loss


def dense_batches(vocabulary: int, batch: int, length: int, count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(count):
        token_ids = torch.randint(0, vocabulary, (batch, length), generator=generator)
        batches.append({"input_ids": token_ids, "labels": token_ids, "attention_mask": torch.ones_like(token_ids)})
    return batches


def chat_batches(examples: list[dict], batch: int, count: int) -> list[dict[str, torch.Tensor]]:
    batches = []
    for start in range(0, batch * count, batch):
        group = [examples[(start + i) % len(examples)] for i in range(batch)]
        longest = max(len(example["tokenIds"]) for example in group)
        token_ids = torch.zeros(batch, longest, dtype=torch.long)
        labels = torch.full((batch, longest), NO_LOSS)
        mask = torch.zeros(batch, longest, dtype=torch.long)
        for row, example in enumerate(group):
            length = len(example["tokenIds"])
            ids = torch.tensor(example["tokenIds"])
            token_ids[row, :length] = ids
            mask[row, :length] = 1
            labels[row, :length] = torch.where(torch.tensor(example["lossWeights"]) > 0, ids, NO_LOSS)
        batches.append({"input_ids": token_ids, "labels": labels, "attention_mask": mask})
    return batches


def measure(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]], warmup: int, learning_rate: float) -> dict:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate)
    seconds, losses = [], []
    for batch in batches:
        start = time.perf_counter()
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    timed = list(zip(batches, seconds))[warmup:]

    def rate(tokens_of: Callable[[dict[str, torch.Tensor]], int]) -> float:
        return statistics.median(tokens_of(batch) / second for batch, second in timed)

    return {
        "steps": len(timed),
        "secondsPerStep": statistics.median(second for _, second in timed),
        "tokensPerSecond": rate(lambda batch: batch["input_ids"].numel()),
        "realTokensPerSecond": rate(lambda batch: int(batch["attention_mask"].sum())),
        "lossTokensPerSecond": rate(lambda batch: int((batch["labels"][:, 1:] != NO_LOSS).sum())),
        "trainableParameters": sum(parameter.numel() for parameter in parameters),
        "losses": losses,
    }


def open_in_nf4(folder: str) -> torch.nn.Module:
    """bitsandbytes' NF4 with double quantisation, computed in bfloat16 where the CPU has kernels for it."""
    compute = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=settings, dtype=compute, device_map={"": "cpu"}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="GGUF file or Hugging Face folder")
    parser.add_argument("case", choices=("dense", "chat"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--dtype", choices=[*sorted(DTYPES), "nf4"], default="bf16")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1, help="steps before the timed ones")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, help="only the first N layers of a GGUF, to try out a slow machine")
    arguments = parser.parse_args()
    if (arguments.case == "chat") != (arguments.data is not None):
        parser.error("--data goes with chat, and chat needs --data")

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    dtype = DTYPES.get(arguments.dtype, torch.float32)
    if arguments.dtype == "nf4":
        base = open_in_nf4(arguments.base)
    elif arguments.layers is None:
        base = open_base(arguments.base, dtype)
    else:
        base = load_smollm2(arguments.base, dtype, num_layers=arguments.layers)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    config = LoraConfig(task_type="CAUSAL_LM", r=arguments.rank, lora_alpha=16, target_modules=targets)
    model = get_peft_model(base, config).train()
    loaded = peak_memory_bytes()
    count = arguments.warmup + arguments.steps
    if arguments.case == "dense":
        batches = dense_batches(model.config.vocab_size, arguments.batch, arguments.length, count)
    else:
        batches = chat_batches(json.loads(arguments.data.read_text()), arguments.batch, count)
    report = {
        "case": arguments.case,
        "dtype": arguments.dtype,
        "batch": arguments.batch,
        "longest": max(batch["input_ids"].shape[1] for batch in batches),
        "rank": arguments.rank,
        "layers": model.config.num_hidden_layers,
        "threads": arguments.threads,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        **measure(model, batches, arguments.warmup, arguments.learning_rate),
        "peakMemoryAfterLoadBytes": loaded,
        "peakMemoryBytes": peak_memory_bytes(),
        "versions": versions() | ({"bitsandbytes": version("bitsandbytes")} if arguments.dtype == "nf4" else {}),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
