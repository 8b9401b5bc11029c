"""Makes the golden models of this folder: one Hugging Face folder each, with `golden.json`, and GGUF copies.

    python test/golden/models/make.py            writes them
    python test/golden/models/make.py --check    makes them again in memory and compares logits with what is committed

`golden.json` holds the token ids of a few sequences and the logits that transformers computes for them (f32, eager
attention, one thread), each sequence alone from position 0. The GGUF of a model holds the same weights exactly (they are
chosen to be exact in f16), so the same logits are expected from it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from gguf_file import write_gguf  # noqa: E402
from golden_runs import logits_of  # noqa: E402
from peer_io import decode_array, encode_array, made_by, sha256_of, use_single_thread, write_json  # noqa: E402
from tiny_models import TINY_MODELS, TinyModel, build  # noqa: E402

SCRIPT = "test/golden/models/make.py"
SEED = 20260
LENGTHS = (1, 7, 33)


def random_sequences(vocabulary: int, seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, vocabulary, (length,), generator=generator).tolist() for length in LENGTHS]


def flatten_rope(path: Path) -> None:
    """Rewrites transformers 5's `rope_parameters` as the `rope_theta` and `rope_scaling` that most published models have."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def largest_difference(model: PreTrainedModel, golden: list[dict]) -> float:
    return max(
        float((logits_of(model, item["tokenIds"]) - decode_array(item["logits"])).abs().max()) for item in golden
    )


def write(tiny: TinyModel, seed: int) -> None:
    folder = HERE / tiny.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    model = build(tiny, seed)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if tiny.config_style == "flat":
        flatten_rope(folder / "config.json")
    sequences = [
        {"tokenIds": token_ids, "logits": encode_array(logits_of(model, token_ids))}
        for token_ids in random_sequences(model.config.vocab_size, seed + 1)
    ]
    golden = {
        "madeBy": made_by(SCRIPT, seed),
        "model": tiny.name,
        "about": tiny.about,
        "configStyle": tiny.config_style,
        "weightsExactInBf16AndF16": tiny.half_exact,
        "numParameters": sum(parameter.numel() for parameter in model.parameters()),
        "safetensorsSha256": sha256_of(folder / "model.safetensors"),
    }
    if tiny.gguf_arch is not None:
        path = folder / f"{tiny.name}.gguf"
        types = write_gguf(model, tiny.gguf_arch, path)
        golden["gguf"] = {
            "file": path.name,
            "arch": tiny.gguf_arch,
            "sha256": sha256_of(path),
            "qkRowsPermuted": tiny.gguf_arch == "llama",
            "tokenizer": "a minimal gpt2 block: opens, but is not for real text",
            "tensorTypes": types,
        }
    golden["sequences"] = sequences
    write_json(folder / "golden.json", golden)


def check(tiny: TinyModel, seed: int) -> None:
    """Compares the committed folder, its GGUF as transformers reads it, and a model made anew, with the golden logits."""
    folder = HERE / tiny.name
    golden = json.loads((folder / "golden.json").read_text())["sequences"]
    spread = max(float(decode_array(item["logits"]).std()) for item in golden)
    readers = {
        "made anew": lambda: build(tiny, seed),
        "folder": lambda: AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager"),
    }
    # transformers ignores rope_freqs.weight and a Llama's biases, so it cannot judge a GGUF that has them.
    if tiny.gguf_arch is not None and tiny.name not in ("tiny-llama3", "tiny-llama-bias"):
        readers["GGUF"] = lambda: AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=f"{tiny.name}.gguf", attn_implementation="eager", dtype=torch.float32
        )
    for reader, open_model in readers.items():
        difference = largest_difference(open_model().eval(), golden)
        print(f"{tiny.name:12} {reader:10} largest difference {difference:.2e} (logits' deviation {spread:.2f})")
        if not difference <= 1e-4:
            raise SystemExit(f"{tiny.name}: {reader} differs from golden.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    arguments = parser.parse_args()
    use_single_thread()
    for index, tiny in enumerate(TINY_MODELS):
        seed = SEED + 10 * index
        if not arguments.check:
            write(tiny, seed)
        check(tiny, seed)


if __name__ == "__main__":
    main()
