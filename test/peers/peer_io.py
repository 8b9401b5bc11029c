"""What every peer script shares: arrays in JSON, the header of a golden file, set-up of torch.

An array in JSON is `{"shape": [...], "f32": "<base64 of little-endian float32>"}`, so that TypeScript reads it with
`Buffer.from(text, 'base64')` and no digit is lost.
"""

import base64
import hashlib
import json
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

PACKAGES = ("torch", "transformers", "peft", "safetensors", "gguf", "numpy")


DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def use_single_thread() -> None:
    """One thread and deterministic kernels: what makes a golden file repeatable on one kind of machine."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def encode_array(tensor: torch.Tensor) -> dict:
    array = np.ascontiguousarray(tensor.detach().cpu().to(torch.float32).numpy().astype("<f4"))
    return {"shape": list(array.shape), "f32": base64.b64encode(array.tobytes()).decode("ascii")}


def decode_array(value: dict) -> torch.Tensor:
    array = np.frombuffer(base64.b64decode(value["f32"]), dtype="<f4").reshape(value["shape"])
    return torch.from_numpy(array.copy())


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def versions() -> dict:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def made_by(script: str, seed: int, **more: object) -> dict:
    """The header of a golden file: who made it, with which versions and seed, and how to make it again."""
    return {
        "script": script,
        "command": f"python {script}",
        "requirements": "test/peers/requirements.txt",
        "seed": seed,
        "versions": versions(),
        **more,
    }


def run_job(run, doc: str | None) -> None:
    """The main function of a script that takes a job file: prints what `run(job)` reports, and leaves it in the job's output folder."""
    if len(sys.argv) != 2:
        raise SystemExit(doc)
    job = json.loads(Path(sys.argv[1]).read_text())
    result = run(job)
    write_json(Path(job["output"]) / "result.json", result)
    print(json.dumps(result))


def save_gradients(results, output: Path) -> None:
    """The gradients of those steps that recorded them."""
    for step, result in enumerate(results, start=1):
        if result.gradients is not None:
            gradients = {name: value.to(torch.float32).contiguous() for name, value in result.gradients.items()}
            save_file(gradients, output / f"gradients-{step}.safetensors")


def write_json(path: Path, value: object) -> None:
    """One top-level key a line: small enough to commit, and a changed part is visible in a diff."""
    if isinstance(value, dict):
        lines = [f"  {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
    else:
        text = json.dumps(value) + "\n"
    path.write_text(text)


def peak_memory_bytes() -> int:
    """Peak resident memory of this process so far (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
