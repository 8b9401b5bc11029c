"""Makes golden adapters that train parts of the base itself, with Hugging Face PEFT: norms, whole modules, the embedding.

    python test/golden/peft/make_parts.py [CASE ...]

The folders are those of `make_methods.py`: `methods/<case>` as PEFT saves it, and `golden.json` with PEFT's logits.
"""

import sys

from peft import LNTuningConfig, PeftConfig

import make_methods  # puts test/peers on the path
from make_methods import make_case
from peft_fills import Fill, around
from peer_io import use_single_thread

make_methods.SCRIPT = "test/golden/peft/make_parts.py"
SEED = 6800

CASES: dict[str, tuple[str, PeftConfig, Fill, str]] = {
    "ln": (
        "tiny-llama",
        LNTuningConfig(target_modules=["input_layernorm", "post_attention_layernorm", "norm"]),
        around(0.6),
        "every norm, PEFT's own choice for Llama",
    ),
    "ln-some": (
        "tiny-qwen2",
        LNTuningConfig(target_modules=r".*\.(0\.input_layernorm|1\.post_attention_layernorm)"),
        around(0.9),
        "some norms, by a regular expression",
    ),
}


def main() -> None:
    use_single_thread()
    wanted = sys.argv[1:]
    for index, (name, case) in enumerate(CASES.items()):
        if not wanted or name in wanted:
            make_case(name, case, SEED + 10 * index)


if __name__ == "__main__":
    main()
