"""Trains every weight of tiny models with torch and Transformers: the golden of `--method full`.

    python test/golden/full/make.py

`<model>.json`: batches, losses and gradient norms of 20 steps, gradients of the first step for tensors of every kind, and the sum of squares of each
tensor at the end.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

from golden_runs import figures_of, open_base, random_batches  # noqa: E402
from peer_io import encode_array, made_by, use_single_thread, write_json  # noqa: E402
from reference_training import TrainingSettings, train, trainable  # noqa: E402

SCRIPT = "test/golden/full/make.py"
SEED = 8800
# Clipped in every step: the norm over all tensors counts.
SETTINGS = TrainingSettings(learning_rate=1e-3, steps=20)
MODELS = ("tiny-llama", "tiny-qwen2", "tiny-qwen3")
COMPARED = (
    "model.embed_tokens.weight",
    "lm_head.weight",
    "model.norm.weight",
    "model.layers.0.input_layernorm.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.k_proj.bias",
    "model.layers.0.self_attn.q_norm.weight",
    "model.layers.0.self_attn.k_norm.weight",
    "model.layers.1.post_attention_layernorm.weight",
    "model.layers.1.mlp.down_proj.weight",
)


def make_model(name: str, seed: int) -> None:
    model = open_base(name)
    batches = random_batches(model.config.vocab_size, 4, seed)
    results = train(model, batches, SETTINGS, (1,))
    print(f"{name:12} loss {results[0].loss:.4f} -> {results[-1].loss:.4f}")
    gradients = results[0].gradients
    write_json(
        HERE / f"{name}.json",
        {
            "madeBy": made_by(SCRIPT, seed),
            **figures_of(SETTINGS, results, batches),
            "gradients": {key: encode_array(gradients[key]) for key in COMPARED if key in gradients},
            "final": {key: float(value.detach().double().square().sum()) for key, value in trainable(model).items()},
        },
    )


def main() -> None:
    use_single_thread()
    for index, name in enumerate(MODELS):
        make_model(name, SEED + 10 * index)


if __name__ == "__main__":
    main()
