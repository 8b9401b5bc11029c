"""Makes golden.json: a few blocks of each ggml type that Espalier reads, and the values that the `gguf` package gives for them.

    python test/golden/ggml/make.py

Blocks are random bytes but for their scales, which are finite binary16, so that every bit of the layout matters. Values are
float32; both are hex. `types` is the size of every type that both sides know: [id, values in a block, bytes of a block].
Made with: gguf 0.19.0, numpy 2.4.6 (test/peers/requirements.txt).
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

SEED = 20261
BLOCKS = 5
# Where the binary16 scales of a block are.
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q4_K": [0, 2], "Q6_K": [208]}
SCALARS = {"F32": "<f4", "F16": "<f2"}


def blocks_of(name: str, rng: np.random.Generator) -> np.ndarray:
    kind = GGMLQuantizationType[name]
    _, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, size=(BLOCKS, size), dtype=np.uint8)
    for at in SCALES[name]:
        scales = (rng.standard_normal(BLOCKS) * 10.0 ** rng.integers(-7, 3, BLOCKS)).astype("<f2")
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(BLOCKS, 2)
    return blocks


def special_halves() -> np.ndarray:
    """Zeros, subnormals, the largest finite values and infinities of both signs, and ordinary values."""
    bits = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x3555, 0xB266, 0x5640, 0x1234]
    return np.array(bits, dtype="<u2")


def main() -> None:
    rng = np.random.default_rng(SEED)
    cases = {}
    for name in SCALES:
        blocks = blocks_of(name, rng)
        values = dequantize(blocks, GGMLQuantizationType[name]).astype("<f4")
        cases[name] = {"blocks": blocks.tobytes().hex(), "values": values.tobytes().hex()}
    halves = special_halves()
    f16 = halves.view("<f2").astype("<f4")
    cases["F16"] = {"blocks": halves.tobytes().hex(), "values": f16.tobytes().hex()}
    bf16 = dequantize(halves.view(np.uint8).reshape(1, -1), GGMLQuantizationType.BF16).astype("<f4")
    cases["BF16"] = {"blocks": halves.tobytes().hex(), "values": bf16.tobytes().hex()}
    f32 = rng.standard_normal(8).astype("<f4")
    cases["F32"] = {"blocks": f32.tobytes().hex(), "values": f32.tobytes().hex()}
    golden = {
        "made_by": {
            "script": "test/golden/ggml/make.py",
            "seed": SEED,
            "versions": {name: version(name) for name in ("gguf", "numpy")},
        },
        "types": {kind.name: [kind.value, *sizes] for kind, sizes in GGML_QUANT_SIZES.items()},
        "cases": cases,
    }
    path = Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
