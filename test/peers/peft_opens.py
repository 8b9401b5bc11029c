"""Opens PEFT folders with Hugging Face PEFT and prints the logits of every token of some sequences.

    python test/peers/peft_opens.py BASE FOLDER NAME [NAME ...]

FOLDER has `sequences.json` and the adapters by name. Prints {NAME: [[logits of a sequence, flattened], ...]}.
"""

import json
import re
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


@torch.no_grad()
def logits_of(base: str, folder: Path, sequences: list[list[int]]) -> list[list[float]]:
    model = AutoModelForCausalLM.from_pretrained(base, attn_implementation="eager", dtype=torch.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = PeftModel.from_pretrained(model, folder).eval()
    missing = [key for warning in caught for key in re.findall(r"'(base_model[^']*)'", str(warning.message))]
    # Each module's copy of RandLoRA's bases is the shared one itself, which is there.
    missing = [key for key in missing if not re.search(r"\.randlora_[AB]\.default$", key)]
    assert not missing, f"{folder.name}: PEFT misses {missing}"
    return [opened(input_ids=torch.tensor([ids]), use_cache=False).logits[0].flatten().tolist() for ids in sequences]


def main() -> None:
    base, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    sequences = json.loads((folder / "sequences.json").read_text())
    print(json.dumps({name: logits_of(base, folder / name, sequences) for name in names}))


if __name__ == "__main__":
    main()
