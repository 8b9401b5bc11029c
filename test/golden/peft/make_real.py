"""Makes `smollm2.json`: what Hugging Face computes with the real base, SmolLM2-135M-Instruct from its GGUF.

    python test/golden/peft/make_real.py SmolLM2-135M-Instruct.Q4_1.gguf

Too large to commit are the base and whole logits, so the golden values are, per prompt: the 20 largest logits of the last
position, the sum of squares of all logits of each position, and the mean negative log-likelihood of the prompt.
"""

import sys
from pathlib import Path

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from peer_io import made_by, sha256_of, use_single_thread, write_json  # noqa: E402
from smollm2_from_gguf import load_smollm2  # noqa: E402

SCRIPT = "test/golden/peft/make_real.py"
TOP = 20
# Written for this file; the token ids are what counts.
PROMPTS = (
    "The capital of France is",
    "<|im_start|>user\nWhy is the sky blue? Answer in one sentence.<|im_end|>\n<|im_start|>assistant\n",
    "A pear tree trained flat against a warm wall bears earlier than one that stands free, because the stones give back at "
    "night what they took in by day.\n\n1. Plant it in autumn.\n2. Cut the leader at 40 cm.\n3. Tie two arms to the lowest wire: "
    "left and right, at 45°.\n\nÜbrigens: naïve façade, 日本語, λ → ∞, 12,345.67 €, def f(x): return x ** 2",
)


def tokenizer_of(path: Path) -> PreTrainedTokenizerFast:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


@torch.no_grad()
def golden_of(model: torch.nn.Module, prompt: str, token_ids: list[int]) -> dict:
    logits = model(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0]
    top = torch.topk(logits[-1], TOP)
    wide = logits.double()
    return {
        "text": prompt,
        "tokenIds": token_ids,
        "topIds": top.indices.tolist(),
        "topLogits": top.values.tolist(),
        "sumOfSquares": wide.square().sum(-1).tolist(),
        "meanNll": functional.cross_entropy(wide[:-1], torch.tensor(token_ids[1:])).item(),
    }


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    path = Path(sys.argv[1]).resolve()
    use_single_thread()
    tokenizer = tokenizer_of(path)
    model = load_smollm2(path, attention="eager")
    prompts = [golden_of(model, prompt, tokenizer(prompt)["input_ids"]) for prompt in PROMPTS]
    for prompt in prompts:
        best = tokenizer.decode(prompt["topIds"][:3])
        print(f"{len(prompt['tokenIds']):4} tokens, mean nll {prompt['meanNll']:.4f}, next {best!r}")
    write_json(
        HERE / "smollm2.json",
        {
            "madeBy": {
                **made_by(SCRIPT, 0),
                "command": f"python {SCRIPT} {path.name}",
                "ggufSha256": sha256_of(path),
            },
            "computed": "f32 weights dequantised from the GGUF, eager attention, one thread",
            "prompts": prompts,
        },
    )


if __name__ == "__main__":
    main()
