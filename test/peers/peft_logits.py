"""Opens a PEFT folder (made by Espalier, say) on a base and prints the logits that Hugging Face PEFT computes with it.

    python test/peers/peft_logits.py BASE ADAPTER SEQUENCES.json [--dtype f32] [--logits FILE.safetensors]

BASE is a GGUF file or a Hugging Face folder; ADAPTER a PEFT folder, or `-` for the base alone. SEQUENCES.json is a list of
lists of token ids. Prints one JSON document: the adapted modules, and for each sequence the 20 largest logits of the last
position and the sum of squares of each position; `--logits` also writes all of them (tensor "i": [T, V], f32).
"""

import argparse
import json
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file

from peer_io import DTYPES, versions
from smollm2_from_gguf import open_base


@torch.no_grad()
def logits_of(model: torch.nn.Module, token_ids: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0].to(torch.float32).contiguous()


def summary_of(logits: torch.Tensor, top: int = 20) -> dict:
    best = torch.topk(logits[-1], min(top, logits.shape[-1]))
    return {
        "topIds": best.indices.tolist(),
        "topLogits": best.values.tolist(),
        "sumOfSquares": logits.double().square().sum(-1).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("adapter")
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="f32")
    parser.add_argument("--logits", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    model = open_base(arguments.base, DTYPES[arguments.dtype])
    adapted = []
    if arguments.adapter != "-":
        model = PeftModel.from_pretrained(model, arguments.adapter).eval()
        prefix = "base_model.model."
        adapted = [
            {"path": name.removeprefix(prefix), "rank": module.r["default"], "scale": module.scaling["default"]}
            for name, module in model.named_modules()
            if getattr(module, "lora_A", None)
        ]
    logits = [logits_of(model, token_ids) for token_ids in json.loads(arguments.sequences.read_text())]
    if arguments.logits is not None:
        save_file({str(index): value for index, value in enumerate(logits)}, arguments.logits)
    print(json.dumps({"versions": versions(), "modules": adapted, "sequences": [summary_of(value) for value in logits]}))


if __name__ == "__main__":
    main()
