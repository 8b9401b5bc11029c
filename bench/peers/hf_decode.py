"""Times greedy decoding with transformers: `generate` from prompts of one length, every sequence to its full new tokens.

    python bench/peers/hf_decode.py BASE [--batches 1,8] [--prompt 64] [--new 64] [--dtype bf16] [--rank 0]

`--rank N` attaches a fresh LoRA adapter of that rank on q, k, v, o, unmerged, as PEFT serves one. Prints one JSON document:
per batch size, `firstTokenSeconds` (prompt and one token), `decodeTokensPerSecond` over the tokens after the first, and
`tokensPerSecond` over the whole call; medians of `--repeats` runs.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "peers"))

from generation import seconds_of  # noqa: E402
from peer_io import DTYPES, peak_memory_bytes, versions  # noqa: E402
from smollm2_from_gguf import open_base  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="GGUF file or Hugging Face folder")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens to generate")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = open_base(arguments.base, DTYPES[arguments.dtype])
    if arguments.rank > 0:
        targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=arguments.rank, target_modules=targets)).eval()
    cases = []
    for batch in map(int, arguments.batches.split(",")):
        prompts = torch.randint(3, model.config.vocab_size, (batch, arguments.prompt))
        seconds_of(model, prompts[:, :4], 2)  # warm-up
        first = statistics.median(seconds_of(model, prompts, 1) for _ in range(arguments.repeats))
        whole = statistics.median(seconds_of(model, prompts, arguments.new) for _ in range(arguments.repeats))
        cases.append(
            {
                "batch": batch,
                "firstTokenSeconds": first,
                "seconds": whole,
                "tokensPerSecond": batch * arguments.new / whole,
                "decodeTokensPerSecond": batch * (arguments.new - 1) / (whole - first),
            }
        )
    report = {
        "dtype": arguments.dtype,
        "rank": arguments.rank,
        "prompt": arguments.prompt,
        "new": arguments.new,
        "threads": arguments.threads,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cases": cases,
        "peakMemoryBytes": peak_memory_bytes(),
        "versions": versions(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
