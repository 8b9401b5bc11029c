"""Times one batch of requests that use different adapters, as Hugging Face PEFT serves it: `generate(adapter_names=...)`.

    python bench/peers/peft_serve.py BASE [--sequences 64] [--adapters 64] [--prompt 64] [--new 64] [--dtype bf16]

Every sequence greedily generates all its new tokens. Adapter i of the list serves the sequences i, i + N, ...; `--adapters 0` is the
base alone. The adapters are of rank 8 on q, k, v, o, with random B: the arithmetic does not depend on the values. Prints one JSON document.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "peers"))

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


@torch.inference_mode()
def seconds_of(model: torch.nn.Module, prompts: torch.Tensor, new_tokens: int, names: list[str]) -> float:
    start = time.perf_counter()
    output = model.generate(
        input_ids=prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        pad_token_id=0,
        **({"adapter_names": names[: len(prompts)]} if names else {}),
    )
    if output.shape[1] != prompts.shape[1] + new_tokens:
        raise RuntimeError(f"generated {output.shape[1] - prompts.shape[1]} tokens, not {new_tokens}")
    return time.perf_counter() - start


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
    prompts = torch.randint(3, model.config.vocab_size, (arguments.sequences, arguments.prompt))
    seconds_of(model, prompts[:2, :4], 2, names)  # warm-up
    seconds = statistics.median(seconds_of(model, prompts, arguments.new, names) for _ in range(arguments.repeats))
    report = {
        "dtype": arguments.dtype,
        "adapters": arguments.adapters,
        "sequences": arguments.sequences,
        "seconds": seconds,
        "tokensPerSecond": arguments.sequences * arguments.new / seconds,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "peakMemoryBytes": peak_memory_bytes(),
        "versions": versions(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
