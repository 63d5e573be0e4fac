"""The state of a training on disk: complete or not there at all."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import torch

from pyslm.errors import ModelFileError
from pyslm.finetune.config import ModelConfig, TrainConfig
from pyslm.new_file import replacing

__all__ = ["Checkpoint"]

_UNREADABLE = (OSError, EOFError, RuntimeError, pickle.UnpicklingError, TypeError, KeyError)


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a training needs to go on as if it had never stopped.

    `weights` and `optimizers` are torch's state dicts; `log` the measurements so far.
    """

    step: int
    model: ModelConfig
    train: TrainConfig
    weights: dict[str, Any]
    optimizers: list[dict[str, Any]]
    log: list[dict[str, Any]]

    def save(self, path: Path) -> None:
        """Replaces the file at `path` in one step."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data |= {"model": dataclasses.asdict(self.model), "train": dataclasses.asdict(self.train)}
        with replacing(path) as partial:
            torch.save(data, partial)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Reads one; tensors come to the CPU.

        Raises:
            ModelFileError: it cannot be read, or is none of ours.
        """
        try:
            data = torch.load(path, map_location="cpu", weights_only=True)
            data |= {"model": ModelConfig(**data["model"]), "train": TrainConfig(**data["train"])}
            return cls(**data)
        except _UNREADABLE as error:
            raise ModelFileError(
                f"{path} is no checkpoint of this version ({type(error).__name__}: {error}); "
                "remove it to begin anew"
            ) from error
