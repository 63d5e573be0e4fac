"""A model with an adapter in training, in torch."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from pyslm.errors import UnsupportedModelError
from pyslm.finetune.lora_file import ALPHA_OVER_RANK

__all__ = ["MODULES", "Example", "LoraModel"]

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Example = tuple[list[int], list[int]]
"""Token ids and, of each, what is to be learned: the id itself, or -100."""


class LoraModel:
    """The base stays as it is; only the adapter's matrices are trained."""

    def __init__(self, base: Path, rank: int, device: str, seed: int) -> None:
        """Reads a GGUF file, dequantized to float32.

        Raises:
            UnsupportedModelError: `transformers` cannot read it.
        """
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(seed)
        config = LoraConfig(
            r=rank,
            lora_alpha=ALPHA_OVER_RANK * rank,
            target_modules=list(MODULES),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what these libraries tell each other
            self._model: Any = get_peft_model(_loaded(base), config).to(device)
        self._model.train()
        self._device = device
        trained = [p for p in self._model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(trained, weight_decay=0.0)

    def train(self, examples: Sequence[Example], learning_rate: float) -> float:
        """One step; gives the mean loss of what is learned."""
        count = sum(label >= 0 for _, labels in examples for label in labels[1:])
        total = 0.0
        for ids, labels in examples:  # one after the other: nothing is padded
            loss = self._loss(ids, labels) / max(count, 1)
            loss.backward()
            total += loss.item()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return total

    def _loss(self, ids: list[int], labels: list[int]) -> torch.Tensor:
        logits = self._model(torch.tensor([ids], device=self._device)).logits[0, :-1].float()
        wanted = torch.tensor(labels[1:], device=self._device)
        return functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum")

    @torch.no_grad()
    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Of each position, [tokens, vocabulary]."""
        self._model.eval()
        found = self._model(torch.tensor([list(ids)], device=self._device)).logits[0]
        self._model.train()
        return np.asarray(found.float().cpu())

    def matrices(self) -> Iterator[tuple[int, str, npt.NDArray[Any], npt.NDArray[Any]]]:
        """Layer, module, and the two matrices A [rank, columns] and B [rows, rank], float32."""
        for name, module in self._model.named_modules():
            if not hasattr(module, "lora_A"):
                continue
            parts = name.split(".")
            layer = int(parts[parts.index("layers") + 1])
            a, b = (getattr(module, part)["default"].weight for part in ("lora_A", "lora_B"))
            yield layer, parts[-1], *(np.asarray(m.detach().float().cpu()) for m in (a, b))


def _loaded(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # bars of its own
            return AutoModelForCausalLM.from_pretrained(
                base.parent, gguf_file=base.name, dtype=torch.float32, local_files_only=True
            )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise UnsupportedModelError(f"transformers cannot read {base}: {error}") from error
