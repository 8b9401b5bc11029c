"""Opens a PEFT folder of a classifier (made by Espalier, say) with Hugging Face PEFT and prints its labels' logits.

    python test/peers/classifier_logits.py BASE ADAPTER SEQUENCES.json

BASE is a Hugging Face folder, ADAPTER a PEFT folder of task_type SEQ_CLS, SEQUENCES.json a list of lists of token ids. The number of
labels is that of the id2label in the metadata of the adapter's safetensors file. Prints one JSON document.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel, PeftModelForSequenceClassification
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification

from peer_io import use_single_thread, versions


@torch.no_grad()
def main() -> None:
    use_single_thread()
    base, folder, sequences = sys.argv[1:]
    with safe_open(Path(folder) / "adapter_model.safetensors", framework="pt") as file:
        id2label = {int(number): label for number, label in json.loads(file.metadata()["id2label"]).items()}
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(id2label), id2label=id2label, attn_implementation="eager", dtype=torch.float32
    )
    model = PeftModel.from_pretrained(model, folder).eval()
    assert isinstance(model, PeftModelForSequenceClassification)
    logits = [model(input_ids=torch.tensor([ids])).logits[0].tolist() for ids in json.loads(Path(sequences).read_text())]
    print(json.dumps({"versions": versions(), "labels": list(model.config.id2label.values()), "logits": logits}))


if __name__ == "__main__":
    main()
