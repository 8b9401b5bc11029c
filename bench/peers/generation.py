"""What the peers that generate with `transformers` share."""

import time

import torch


@torch.inference_mode()
def seconds_of(model: torch.nn.Module, prompts: torch.Tensor, new_tokens: int, **options: object) -> float:
    """Seconds of one greedy `generate` of exactly `new_tokens` tokens after each row of `prompts` [B, T]."""
    start = time.perf_counter()
    output = model.generate(
        input_ids=prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        pad_token_id=0,
        **options,
    )
    if output.shape[1] != prompts.shape[1] + new_tokens:
        raise RuntimeError(f"generated {output.shape[1] - prompts.shape[1]} tokens, not {new_tokens}")
    return time.perf_counter() - start
