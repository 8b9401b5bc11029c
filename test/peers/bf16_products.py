"""bf16 products of torch at the speed of f32 on CPUs without bf16 instructions.

There torch falls back to a loop that is some fifty times slower. What oneDNN's kernels compute elsewhere is a product of bf16
numbers with sums in f32, rounded to bf16 once: `linear` here is that, forward and backward, out of f32 products.
"""

import torch
from torch.nn import functional


def has_bf16_kernels() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def widen_products() -> None:
    """Replaces `torch.nn.functional.linear` in this process for inputs that are in bf16, or that autocast would round to it."""
    narrow = functional.linear

    def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            x, weight = x.to(torch.bfloat16), weight.to(torch.bfloat16)
        if x.dtype != torch.bfloat16:
            return narrow(x, weight, bias)
        wide_bias = None if bias is None else bias.float()
        with torch.autocast("cpu", enabled=False):
            return narrow(x.float(), weight.float(), wide_bias).to(torch.bfloat16)

    functional.linear = linear
