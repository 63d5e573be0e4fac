"""The numbers of a model and of its training. `PRESETS` has those that are known to work."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyslm.errors import InvalidRequestError

__all__ = ["PRESETS", "ModelConfig", "TrainConfig", "preset"]


@dataclasses.dataclass(frozen=True, slots=True)
class ModelConfig:
    """A qwen3-shaped decoder; sizes in elements, context in tokens."""

    vocab_size: int = 19200
    hidden: int = 256
    layers: int = 5
    ffn: int = 640
    heads: int = 4
    kv_heads: int = 4
    head_dim: int = 64
    context_length: int = 4096
    rope_theta: float = 1e7
    """Half of the channels hardly turn over the whole context: they compare what tokens mean."""
    norm_eps: float = 1e-6

    @property
    def num_parameters(self) -> int:
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        norms = 2 * self.hidden + 2 * self.head_dim
        layer = attention + 3 * self.hidden * self.ffn + norms
        return self.vocab_size * self.hidden + self.layers * layer + self.hidden


@dataclasses.dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model is trained. A step's data depend on `seed` and the step alone."""

    steps: int = 4000
    begin: int = 0
    """The first step: what a model that it begins with was trained for already."""
    rows: int = 8
    """Sequences a step."""
    row_tokens: int = 512
    long_row_every: int = 8
    """Each so many steps has rows four times as long, and a quarter as many."""
    tools_begin: int = 2
    tools_end: int = 8
    """Most tools in a scene: grows from the first to the second over the first `grow_steps`."""
    grow_steps: int = 2000
    seed: int = 0
    muon_lr: float = 0.01
    adam_lr: float = 3e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    decay_share: float = 0.7
    """The last part of the training, in which the learning rate falls to zero (WSD schedule)."""
    request_weight: float = 0.0
    """Loss of what users and tools say, beside 1 for what the model says."""
    decision_weight: float = 4.0
    """Loss of what is decided: call, answer or question, which tool, one more call, which agent."""
    source_weight: float = 0.0
    """Loss of two heads that look elsewhere than at what is to be copied; see `sources`."""
    circuits: bool = False
    """Whether the model begins with heads that copy and that choose; see `circuits`."""
    mixed_precision: bool = False
    """Matrix products in bfloat16; fast where GPU or CPU has instructions for them."""
    compiled: bool = False
    """Through `torch.compile`, which takes a minute and a C++ compiler."""
    checkpoint_seconds: float = 120.0
    log_every: int = 20


_NANO = TrainConfig(
    steps=43_400,
    tools_begin=4,
    grow_steps=1000,
    decay_share=0.8,
    source_weight=0.3,
    circuits=True,
    mixed_precision=True,
    compiled=True,
)
PRESETS: dict[str, tuple[ModelConfig, TrainConfig]] = {
    "nano": (ModelConfig(), _NANO),
    "nano-gpu": (
        ModelConfig(layers=8),
        dataclasses.replace(
            _NANO, steps=20_000, rows=64, row_tokens=1024, muon_lr=0.03, grow_steps=2000
        ),
    ),
    "pilot": (
        ModelConfig(vocab_size=12288, hidden=192, layers=4, ffn=512, heads=3, kv_heads=1),
        TrainConfig(steps=2000, long_row_every=0, tools_end=6),
    ),
    "tiny": (
        ModelConfig(vocab_size=512, hidden=64, layers=2, ffn=96, heads=2, kv_heads=1, head_dim=32),
        TrainConfig(steps=20, rows=2, row_tokens=256, muon_lr=0.02, warmup_steps=2, log_every=5),
    ),
}


def preset(name: str, **changes: Any) -> tuple[ModelConfig, TrainConfig]:
    """A preset with some of the training's numbers changed; None leaves one as it is.

    Raises:
        InvalidRequestError: there is no such preset.
    """
    if name not in PRESETS:
        raise InvalidRequestError(f"there is no preset {name!r}; allowed: {', '.join(PRESETS)}")
    model, train = PRESETS[name]
    return model, dataclasses.replace(train, **{k: v for k, v in changes.items() if v is not None})
