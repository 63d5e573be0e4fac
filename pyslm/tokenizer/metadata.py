"""Where the tokenizer's metadata comes from: the only file here that knows the GGUF container.

The native reader is used, since the `gguf` package makes one NumPy view per string, which takes
seconds on a vocabulary of 150 k entries. Any mapping from key to plain Python value can stand in
for it (see `load_tokenizer`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, TypeAlias

__all__ = ["Metadata", "Value", "read_metadata"]

Value: TypeAlias = bool | int | float | str | list[str] | Sequence[float]


class Metadata(Protocol):
    """Any mapping from key to value; the native GGUF reader has this method too."""

    def get(self, key: str, default: None, /) -> Value | None:
        """The value of `key`, None where there is none."""


def read_metadata(path: str | os.PathLike[str]) -> Metadata:
    """The metadata of a GGUF file; text that is not UTF-8 comes as bytes.

    Raises:
        ModelNotFoundError, ModelFileError: the file cannot be opened or read.
        GGUFError: it breaks a rule of the format.
    """
    from pyslm import _native

    return _native.GGUFReader(path)
