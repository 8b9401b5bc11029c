"""Greedy tokens of vLLM: reads {base, loras, rank, prompts, tokens} as JSON from a file, prints {answers, version}.

`base` is a Hugging Face folder, computed in float32, each of `loras` a PEFT folder. A prompt is a list of token ids; answers are those of the base
to all prompts, then those of each adapter.
"""

import json
import os
import sys
from importlib.metadata import version

# Read by vLLM when it is imported.
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

from vllm import LLM, SamplingParams  # noqa: E402
from vllm.lora.request import LoRARequest  # noqa: E402

with open(sys.argv[1], encoding="utf-8") as file:
    asked = json.load(file)

llm = LLM(
    asked["base"],
    dtype="float32",
    skip_tokenizer_init=True,
    max_model_len=512,
    max_num_seqs=8,
    enforce_eager=True,
    enable_prefix_caching=False,
    disable_log_stats=True,
    enable_lora=True,
    max_loras=1,
    max_lora_rank=asked["rank"],
)
prompts = [{"prompt_token_ids": prompt} for prompt in asked["prompts"]]
sampling = SamplingParams(temperature=0, max_tokens=asked["tokens"], ignore_eos=True, detokenize=False)
requests = [None, *(LoRARequest(f"lora{i}", i + 1, folder) for i, folder in enumerate(asked["loras"]))]
answers = []
for request in requests:
    outputs = llm.generate(prompts, sampling, lora_request=request, use_tqdm=False)
    answers.append([list(output.outputs[0].token_ids) for output in outputs])
print(json.dumps({"answers": answers, "version": version("vllm-cpu")}))
