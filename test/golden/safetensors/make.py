"""Makes small safetensors files with Python's `safetensors`, and checks that it reads what Espalier writes.

    python test/golden/safetensors/make.py                  writes python.safetensors and python.json
    python test/golden/safetensors/make.py --read FILE      prints the tensors of a file as JSON, as python.json has them

`python.safetensors` has a tensor of every dtype that Espalier knows, a scalar and an empty one. Espalier must read these values and,
given them, write the same bytes: Python then reads what Espalier writes.
Made with: safetensors 0.8.0, torch 2.15.0 (test/peers/requirements.txt).
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(20262)
    floats = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    return {
        "layer.weight": floats.to(torch.float32),
        "layer.bias": torch.tensor([0.5, -2.0, 3.25], dtype=torch.float32),
        "10": torch.tensor([1.0, 2.0], dtype=torch.float32),
        "2": torch.tensor([3.0], dtype=torch.float32),
        "double": floats,
        "half": floats.to(torch.float16),
        "brain": floats.to(torch.bfloat16),
        "long": torch.tensor([[-1, 2**40]], dtype=torch.int64),
        "int": torch.tensor([-7, 2**30], dtype=torch.int32),
        "short": torch.tensor([-300, 300], dtype=torch.int16),
        "byte": torch.tensor([0, 255, 3], dtype=torch.uint8),
        "signed": torch.tensor([-128, 127], dtype=torch.int8),
        "flags": torch.tensor([True, False, True]),
        "scalar": torch.tensor(42.0),
        "empty": torch.zeros(0, 4),
    }


def describe(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        shown = {}
        for name in file.keys():
            tensor = file.get_tensor(name)
            values = [float(value) for value in tensor.flatten().tolist()]
            dtype = str(tensor.dtype).removeprefix("torch.")
            shown[name] = {"dtype": dtype, "shape": list(tensor.shape), "values": values}
        return {"metadata": file.metadata(), "tensors": dict(sorted(shown.items()))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.read:
        print(json.dumps(describe(args.read)))
        return
    path = HERE / "python.safetensors"
    save_file(tensors(), path, metadata={"format": "pt"})
    versions = {name: version(name) for name in ("safetensors", "torch")}
    golden = {"made_by": {"script": "test/golden/safetensors/make.py", "versions": versions}, **describe(path)}
    (HERE / "python.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
