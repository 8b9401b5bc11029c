"""Greedy tokens of llama.cpp: reads {model, lora, prompts, tokens} as JSON from a file, prints {answers, version}.

Each prompt is a list of token ids; an answer is the list of the most probable next ids. A lora of null is the base.
"""

import json
import sys

import llama_cpp
import numpy

with open(sys.argv[1], encoding="utf-8") as file:
    asked = json.load(file)

model = llama_cpp.Llama(
    model_path=asked["model"], lora_path=asked["lora"], n_ctx=512, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False
)
answers = []
for prompt in asked["prompts"]:
    model.reset()
    model.eval(prompt)
    answer = []
    for _ in range(asked["tokens"]):
        token = int(numpy.argmax(model.scores[model.n_tokens - 1]))
        answer.append(token)
        model.eval([token])
    answers.append(answer)
print(json.dumps({"answers": answers, "version": llama_cpp.__version__}))
