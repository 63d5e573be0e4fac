"""What is known about a loaded model, and the first look at a path that should hold one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyslm.errors import GGUFError, ModelFileError, ModelNotFoundError

__all__ = ["ModelInfo", "check_model_path"]


@dataclasses.dataclass(frozen=True, slots=True)
class ModelInfo:
    """A loaded model."""

    path: Path
    name: str
    architecture: str
    """"llama", "qwen2", ... as GGUF spells it."""
    file_type: str
    """The type of most weights: "F16", "Q4_K", ..."""
    num_parameters: int
    file_bytes: int
    """Size of the file, or of all its parts."""
    context_length: int
    """Tokens that one sequence may hold, as loaded."""
    trained_context_length: int
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    kv_type: str
    kv_bytes_per_token: int
    kv_bytes: int
    """What keys and values take once all of their budget is in use."""
    threads: int
    isa: str
    """The tier of the kernels: "avx2", "neon", ..."""
    generates: bool
    """False for encoders, which only embed."""
    pooling: str
    """How embeddings come about: "mean", "cls" or "last"; "rank" for rerankers."""
    has_chat_template: bool
    weight_cache: str
    """Where the weights came from: "mapped from ..." or "packed" and why there was no entry."""

    @classmethod
    def from_native(cls, path: Path, info: Mapping[str, Any]) -> ModelInfo:
        """From `_native.Model.info`."""
        names = (field.name for field in dataclasses.fields(cls) if field.name != "path")
        return cls(path=path, **{name: info[name] for name in names})


def check_model_path(model: str | os.PathLike[str]) -> Path:
    """The path, if a file that begins like GGUF is there.

    Raises:
        ModelNotFoundError: nothing is there.
        ModelFileError: a directory, or a file that cannot be read.
        GGUFError: a file of another kind.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        hint = (
            "; `pyslm convert` makes a GGUF file of it" if any(path.glob("*.safetensors")) else ""
        )
        raise ModelFileError(f"{path} is a directory, not a GGUF file{hint}")
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise ModelFileError(f"{path} is not a regular file; give the path of a GGUF file")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelNotFoundError(f"{path}: no such file; give the path of a GGUF file") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from None
    if magic != b"GGUF":
        raise GGUFError(f"{path} is not a GGUF file: it begins with {magic!r}, not b'GGUF'")
    return path
