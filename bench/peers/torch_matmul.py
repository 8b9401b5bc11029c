"""Times torch's matrix products with a frozen weight: `x·Wᵀ` (forward) and `dy·W` (gradient of the input).

    python bench/peers/torch_matmul.py ['{"shapes": [{"name": "q", "outputs": 576, "inputs": 576}], "rows": [512]}']

Fields of the JSON argument, all optional: `shapes`, `rows`, `dtypes` ("f32", "bf16"), `threads`, `repeats` (the median is
reported), `secondsPerCase` (a case that is slow is repeated less, at least once after its warm-up). Prints one JSON document.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "peers"))

from peer_io import DTYPES, versions  # noqa: E402

DEFAULTS = {
    "shapes": [
        {"name": "q, o", "outputs": 576, "inputs": 576},
        {"name": "k, v", "outputs": 192, "inputs": 576},
        {"name": "gate, up", "outputs": 1536, "inputs": 576},
        {"name": "down", "outputs": 576, "inputs": 1536},
    ],
    "rows": [512, 2048],
    "dtypes": ["bf16", "f32"],
    "threads": 2,
    "repeats": 9,
    "secondsPerCase": 3.0,
}


def median_seconds(work: Callable[[], torch.Tensor], repeats: int, budget: float) -> tuple[float, int]:
    start = time.perf_counter()
    work()  # warm-up: oneDNN makes its plan here
    times: list[float] = []
    while not times or (len(times) < repeats and time.perf_counter() - start < budget):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), len(times)


@torch.inference_mode()
def measure(settings: dict) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for dtype in settings["dtypes"]:
        for shape in settings["shapes"]:
            outputs, inputs = shape["outputs"], shape["inputs"]
            weight = torch.randn(outputs, inputs, generator=generator).to(DTYPES[dtype])
            for rows in settings["rows"]:
                x = torch.randn(rows, inputs, generator=generator).to(DTYPES[dtype])
                dy = torch.randn(rows, outputs, generator=generator).to(DTYPES[dtype])
                products = {"x·Wᵀ": lambda: functional.linear(x, weight), "dy·W": lambda: dy @ weight}
                for product, work in products.items():
                    seconds, repeats = median_seconds(work, settings["repeats"], settings["secondsPerCase"])
                    cases.append(
                        {
                            "product": product,
                            "dtype": dtype,
                            **shape,
                            "rows": rows,
                            "seconds": seconds,
                            "repeats": repeats,
                            "gflops": 2 * rows * outputs * inputs / seconds / 1e9,
                        }
                    )
    return cases


def main() -> None:
    settings = {**DEFAULTS, **(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})}
    if unknown := sorted(set(settings) - set(DEFAULTS)):
        raise SystemExit(f"unknown fields {unknown}\n{__doc__}")
    torch.set_num_threads(settings["threads"])
    cases = measure(settings)
    cpu = torch.backends.cpu.get_cpu_capability()
    print(json.dumps({"threads": settings["threads"], "cpu": cpu, "versions": versions(), "cases": cases}))


if __name__ == "__main__":
    main()
