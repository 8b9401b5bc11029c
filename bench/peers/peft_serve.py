"""Times one batch of requests that use different adapters, as Hugging Face PEFT serves it: `generate(adapter_names=...)`.

    python bench/peers/peft_serve.py BASE [--sequences 64] [--adapters 64] [--prompt 64] [--new 64] [--dtype bf16]

Every sequence greedily generates all its new tokens. Adapter i of the list serves the sequences i, i + N, ...; `--adapters 0` is the
base alone. The adapters are of rank 8 on q, k, v, o, with random B: the arithmetic does not depend on the values. Prints one JSON document.
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


def with_adapters(model: torch.nn.Module, count: int, rank: int) -> torch.nn.Module:
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        init_lora_weights=False,
    )
    model = get_peft_model(model, config, adapter_name="adapter0")
    for index in range(1, count):
        model.add_adapter(f"adapter{index}", config)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="GGUF file or Hugging Face folder")
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--adapters", type=int, default=64)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens to generate")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = open_base(arguments.base, DTYPES[arguments.dtype])
    names: list[str] = []
    if arguments.adapters > 0:
        model = with_adapters(model, arguments.adapters, arguments.rank)
        names = [f"adapter{i % arguments.adapters}" for i in range(arguments.sequences)]

    def seconds(batch: torch.Tensor, new_tokens: int) -> float:
        return seconds_of(model, batch, new_tokens, **({"adapter_names": names[: len(batch)]} if names else {}))

    prompts = torch.randint(3, model.config.vocab_size, (arguments.sequences, arguments.prompt))
    seconds(prompts[:2, :4], 2)  # warm-up
    median = statistics.median(seconds(prompts, arguments.new) for _ in range(arguments.repeats))
    report = {
        "dtype": arguments.dtype,
        "adapters": arguments.adapters,
        "sequences": arguments.sequences,
        "seconds": median,
        "tokensPerSecond": arguments.sequences * arguments.new / median,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "peakMemoryBytes": peak_memory_bytes(),
        "versions": versions(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
