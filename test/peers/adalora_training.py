"""What PEFT does in a step of AdaLoRA beside the optimizer."""

import torch
from peft import PeftModel


class AdaLoraTraining:
    """PEFT's own parts of an AdaLoRA step, around the plain one: the penalty (which PEFT adds to a loss that the model computes itself),
    and the budget."""

    def __init__(self, model: PeftModel) -> None:
        self.tuner = model.base_model

    def penalty(self) -> torch.Tensor:
        class Outputs:
            loss = torch.zeros(())

        inner = self.tuner.model.forward
        try:
            self.tuner.model.forward = Outputs
            return self.tuner.forward().loss
        finally:
            self.tuner.model.forward = inner

    def rank_pattern(self) -> dict[str, list[bool]]:
        pattern = self.tuner.peft_config["default"].rank_pattern
        assert len({sum(mask) for mask in pattern.values()}) > 1, "no module has lost more ranks than another"
        return {key.removesuffix(".default"): mask for key, mask in pattern.items()}

    def after_step(self, step: int) -> None:
        self.tuner.update_and_allocate(step)
