"""Logits of mlx-lm: `mlx_logits.py FOLDER ADAPTER|- '[[ids], …]'` prints them, position by position, as one JSON document."""

import json
import sys
from pathlib import Path

import mlx.core as mx
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model


def main(folder, adapter, sequences):
    model, _ = load_model(Path(folder))
    if adapter != "-":
        load_adapters(model, adapter)
    model.eval()
    logits = [model(mx.array([ids]))[0].astype(mx.float32).tolist() for ids in sequences]
    json.dump(logits, sys.stdout)


main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
