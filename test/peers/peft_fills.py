"""Random numbers for the trainable parameters of a PEFT model, whatever its method: fresh ones often change nothing."""

from collections.abc import Callable

import torch

# The new values of a parameter, from its name and its old ones.
Fill = Callable[[str, torch.Tensor, torch.Generator], torch.Tensor]


def normal(deviation: float) -> Fill:
    return lambda _name, old, generator: torch.randn(old.shape, generator=generator) * deviation


def around(deviation: float) -> Fill:
    """The old values times 1 + noise: for scales."""
    return lambda _name, old, generator: old * (1 + torch.randn(old.shape, generator=generator) * deviation)


def fill(model: torch.nn.Module, values: Fill, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(values(name, parameter, generator))
