"""What mlx-lm makes of a LoRA: the names and shapes of its parameters, and what a layer adds.

    python -m pip install mlx==0.32.4 mlx-cpu==0.32.4 mlx-lm==0.32.2
    python test/golden/mlx/make.py

The numbers are made by a rule, so that the test makes the same ones: value(name, i) = ((i * 7919 + 31 * len(name)) % 1000 - 500) / 1000.
"""

import json
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tuner.utils import linear_to_lora_layers

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 64,
}
LORA = {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "mlp.down_proj"]}


def value(name, shape):
    count = shape[0] * shape[1]
    numbers = [((i * 7919 + 31 * len(name)) % 1000 - 500) / 1000 for i in range(count)]
    return mx.array(numbers, dtype=mx.float32).reshape(shape)


def main():
    model = Model(ModelArgs.from_dict(CONFIG))
    linear_to_lora_layers(model, 1, LORA)
    leaves = [(n, p) for n, p in tree_flatten(model.parameters()) if n.rsplit(".", 1)[-1] in ("lora_a", "lora_b")]
    model.load_weights([(n, value(n, p.shape)) for n, p in leaves], strict=False)
    added = {}
    for key in LORA["keys"]:
        name = f"model.layers.1.{key}"
        layer = dict(model.named_modules())[name]
        x = value("x", (2, layer.lora_a.shape[0]))
        added[name] = (layer(x) - layer.linear(x)).tolist()
    golden = {
        "versions": {"mlx": version("mlx"), "mlx-lm": version("mlx-lm")},
        "config": CONFIG,
        "num_layers": 1,
        "lora_parameters": LORA,
        "parameters": {n: list(p.shape) for n, p in sorted(leaves)},
        "added": added,
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(golden) + "\n")


main()
