"""Makes golden.json and matrix.safetensors: matrices that bitsandbytes quantises to NF4, and what it keeps of them, bit for bit.

    python test/golden/bitsandbytes/make.py

Small matrices are stored whole; of large ones (`pattern`), whose numbers a formula gives, the SHA-256 of each part. Bytes are hex. The mean of
the magnitudes depends on the order of a sum: one thread and AVX2, which is what PyTorch takes on most x86 machines up to 32,768 blocks.
Made with: bitsandbytes 0.50.2, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0 (test/peers/requirements.txt).
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import bitsandbytes.functional as bnb
import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent


def pattern(shape: tuple[int, int]) -> np.ndarray:
    """Numbers that look random, with magnitudes that differ from block to block: exact in float32."""
    i = np.arange(shape[0] * shape[1], dtype=np.uint64)
    noise = ((i * np.uint64(2654435761)) % np.uint64(2**32) >> np.uint64(8)).astype(np.float64) / 2**23 - 1
    scale = 1 + (i // np.uint64(64) * np.uint64(40503) % np.uint64(97)).astype(np.float64) / 128
    return (noise * scale).astype(np.float32).reshape(shape)


def cases() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(20261)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    edges = normal(4, 64)
    edges[0, :] = 0.0
    edges[1, ::2] = -0.0
    edges[2, :4] = [3.4e38, -3.4e38, 1e30, -1e-40]
    edges[3, :] = 1e-41 * np.arange(64)
    middles = np.zeros((2, 64), np.float32)
    book = bnb.get_4bit_type("nf4", device="cpu").numpy()
    middles[:, :15] = (book[1:] + book[:-1]) / np.float32(2)
    middles[:, 15] = 1
    middles[1] = np.nextafter(middles[1], np.float32(2))
    return {
        "normal": normal(48, 64) * np.float32(0.02),
        "rows that share blocks": normal(7, 37),
        "an even rest": normal(3, 50),
        "fewer than a block": normal(1, 5),
        "one number": normal(1, 1),
        "zeros": np.zeros((5, 64), np.float32),
        "zeros that are no block": np.zeros((1, 10), np.float32),
        "one magnitude": np.ones((9, 64), np.float32),
        "zeros of both signs, huge and tiny numbers": edges,
        "middles between codes": middles,
    }


def quantise(weights: np.ndarray, nested: bool, part) -> dict:
    tensor = torch.from_numpy(weights.copy())
    codes, state = bnb.quantize_4bit(tensor, blocksize=64, compress_statistics=nested, quant_type="nf4")
    result = {"codes": part(codes.numpy()), "absmax": part(state.absmax.numpy())}
    if nested:
        result["nestedAbsmax"] = part(state.state2.absmax.numpy())
        result["offset"] = state.offset.numpy().tobytes().hex()
    result["values"] = part(bnb.dequantize_4bit(codes, state).numpy())
    return result


def main() -> None:
    assert torch.backends.cpu.get_cpu_capability() == "AVX2", "the order of sums is that of AVX2"
    torch.set_num_threads(1)
    whole = lambda array: array.tobytes().hex()
    digest = lambda array: hashlib.sha256(array.tobytes()).hexdigest()
    golden = {
        "madeWith": {name: version(name) for name in ("bitsandbytes", "torch", "numpy", "safetensors")},
        "codeBook": whole(bnb.get_4bit_type("nf4", device="cpu").numpy()),
        "nestedMap": whole(bnb.create_dynamic_map().numpy()),
        "small": [
            {
                "name": name,
                "shape": weights.shape,
                "weights": whole(weights),
                "plain": quantise(weights, False, whole),
                "nested": quantise(weights, True, whole),
            }
            for name, weights in cases().items()
        ],
        "large": [
            {"shape": shape, "plain": quantise(pattern(shape), False, digest), "nested": quantise(pattern(shape), True, digest)}
            for shape in [(192, 576), (576, 1536), (1000, 1000), (2048, 1023)]
        ],
    }
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")

    tensors = {}
    for name, nested in (("plain", False), ("nested", True)):
        codes, state = bnb.quantize_4bit(torch.from_numpy(pattern((24, 40))), compress_statistics=nested, quant_type="nf4")
        tensors[f"{name}.weight"] = codes
        tensors |= {f"{name}.weight.{key}": value for key, value in state.as_dict(packed=True).items()}
    save_file(tensors, HERE / "matrix.safetensors", metadata={"format": "pt"})


main()
