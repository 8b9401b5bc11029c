"""Times greedy generation with llama.cpp (the `llama-cpp-python` package): many sequences in one batch, or one stream.

    python bench/peers/llama_cpp_serve.py BASE.gguf [--sequences 64] [--prompt 64] [--new 64] [--threads 2]

llama.cpp applies its adapters to the whole batch, so it can answer different adapters only one after the other: what is measured is the base. Weights
are used as the GGUF stores them. Prints one JSON document.
"""

import argparse
import ctypes
import json
import random
import resource
import statistics
import sys
import time
from importlib.metadata import version

import llama_cpp
import numpy as np


def set_row(batch, row: int, token: int, position: int, sequence: int, wants_logits: bool) -> None:
    batch.token[row] = token
    batch.pos[row] = position
    batch.n_seq_id[row] = 1
    batch.seq_id[row][0] = sequence
    batch.logits[row] = wants_logits


def argmax(logits, vocab: int) -> int:
    row = ctypes.cast(logits, ctypes.POINTER(ctypes.c_float * vocab)).contents
    return int(np.frombuffer(row, dtype=np.float32).argmax())


def generate(context, batch, prompts: list[list[int]], new_tokens: int, vocab: int) -> None:
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    capacity = llama_cpp.llama_n_batch(context)
    last: list[int] = []
    # Whole prompts, as many at a time as a batch takes.
    length = len(prompts[0])
    group = max(1, capacity // length)
    for begin in range(0, len(prompts), group):
        chunk = prompts[begin : begin + group]
        batch.n_tokens = len(chunk) * length
        for i, prompt in enumerate(chunk):
            for position, token in enumerate(prompt):
                set_row(batch, i * length + position, token, position, begin + i, position == length - 1)
        if llama_cpp.llama_decode(context, batch) != 0:
            raise RuntimeError("llama_decode failed on the prompts")
        last += [argmax(llama_cpp.llama_get_logits_ith(context, (i + 1) * length - 1), vocab) for i in range(len(chunk))]
    for step in range(new_tokens - 1):
        batch.n_tokens = len(prompts)
        for i, token in enumerate(last):
            set_row(batch, i, token, length + step, i, True)
        if llama_cpp.llama_decode(context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        last = [argmax(llama_cpp.llama_get_logits_ith(context, i), vocab) for i in range(len(prompts))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="GGUF file")
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(arguments.base.encode(), llama_cpp.llama_model_default_params())
    if not model:
        raise SystemExit(f"{arguments.base} could not be opened")
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = arguments.sequences * (arguments.prompt + arguments.new)
    settings.n_batch = settings.n_ubatch = 512
    settings.n_seq_max = arguments.sequences
    settings.n_threads = settings.n_threads_batch = arguments.threads
    context = llama_cpp.llama_init_from_model(model, settings)
    batch = llama_cpp.llama_batch_init(512, 0, 1)
    random.seed(0)
    prompts = [[random.randrange(3, vocab) for _ in range(arguments.prompt)] for _ in range(arguments.sequences)]
    generate(context, batch, prompts[:2], 2, vocab)  # warm-up

    def seconds_of() -> float:
        start = time.perf_counter()
        generate(context, batch, prompts, arguments.new, vocab)
        return time.perf_counter() - start

    seconds = statistics.median(seconds_of() for _ in range(arguments.repeats))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {
        "sequences": arguments.sequences,
        "seconds": seconds,
        "tokensPerSecond": arguments.sequences * arguments.new / seconds,
        "cpu": llama_cpp.llama_print_system_info().decode(),
        "peakMemoryBytes": peak if sys.platform == "darwin" else peak * 1024,
        "versions": {"llama-cpp-python": version("llama-cpp-python")},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
