"""What changes the weights, and how fast."""

from __future__ import annotations

import torch

from pyslm.finetune.config import TrainConfig
from pyslm.finetune.model import Nano

__all__ = ["learning_rate_factor", "make_optimizers"]


def learning_rate_factor(config: TrainConfig, step: int) -> float:
    """Warm-up, a plateau, and a fall to zero in a straight line (WSD: Hu et al. 2024)."""
    decay_steps = max(1, round(config.steps * config.decay_share))
    rise = (step - config.begin + 1) / max(1, config.warmup_steps)
    fall = (config.steps - step) / decay_steps
    return max(0.0, min(1.0, rise, fall))


def make_optimizers(model: Nano, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for the layers' matrices, AdamW for the embedding and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    muon = torch.optim.Muon(
        matrices, lr=config.muon_lr, weight_decay=config.weight_decay, momentum=0.95
    )
    adam = torch.optim.AdamW(others, lr=config.adam_lr, betas=(0.9, 0.95), weight_decay=0.0)
    optimizers: list[torch.optim.Optimizer] = [muon, adam]
    for optimizer, rate in zip(optimizers, (config.muon_lr, config.adam_lr), strict=True):
        for group in optimizer.param_groups:
            group["base_lr"] = rate
    return optimizers
