"""How near texts are in what they mean, by vectors that a model's file has for its tokens.

A very small model knows too little of what words have to do with each other to tell a request in
other words from one that no tool is for. A vector per token, learned from a model of sentences and
added up over a text, knows much of that (Tulkens and van Dongen 2024, "model2vec"); what it cannot
do is read. So `weighing` adds both. The vectors are metadata, not a tensor: programs that know
nothing of them load the file all the same.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyslm.errors import GGUFError

if TYPE_CHECKING:
    import gguf

__all__ = ["Nearness", "NearnessTable", "NearnessWeights"]

_VECTORS = "pyslm.nearness.vectors"
"""array[uint64]: the blocks of all vectors, one after the other, padded with zeros."""
_TYPE = "pyslm.nearness.type"
"""string: the blocks' format, "Q4_K" or another of GGUF's."""
_DIMENSIONS = "pyslm.nearness.dimensions"
"""uint32: of a vector; there is one for each token."""
_WEIGHTS = "pyslm.nearness.weights"
"""array[float32]: `NearnessWeights`."""
_MOST_TEXTS = 512  # whose vectors are kept: tools come again with every request
_Vectors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class NearnessWeights:
    """How much nearness counts beside log-probabilities."""

    fit: float
    """For the log-odds that a tool fits, for each 1 of cosine."""
    neutral: float
    """The cosine that says neither."""
    tool: float
    """For the log-probability of a tool against others."""
    choice: float
    """For the log-probability of a described choice, as an agent."""


@dataclasses.dataclass(frozen=True, slots=True)
class NearnessTable:
    """As a file has it."""

    blocks: bytes
    type: str
    """The blocks' format: "Q4_K" or another of GGUF's."""
    dimensions: int
    weights: NearnessWeights

    @classmethod
    def of(cls, vectors: _Vectors, type: str, weights: NearnessWeights) -> NearnessTable:
        """That of vectors [tokens, dimensions].

        Raises:
            InvalidRequestError: their number is none that blocks of this format can hold.
        """
        from pyslm import _native

        flat = np.ascontiguousarray(vectors, np.float32).reshape(-1)
        return cls(_native.quantize(type, flat).tobytes(), type, vectors.shape[1], weights)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> NearnessTable | None:
        """That of a GGUF file; None: it has none.

        Raises:
            ModelFileError, GGUFError: the file cannot be read, or what it has of it is damaged.
        """
        from pyslm import _native

        reader = _native.GGUFReader(path)
        if _VECTORS not in reader:
            return None
        try:
            kind = str(reader.get(_TYPE))
            num_bytes = _native.weight_formats()[kind][1]
            data = np.array(reader.get(_VECTORS), "<u8").tobytes()
            dimensions = int(reader.get(_DIMENSIONS))
            weights = NearnessWeights(*map(float, reader.get(_WEIGHTS)))
            if dimensions < 1 or not all(map(math.isfinite, dataclasses.astuple(weights))):
                raise ValueError(f"{dimensions} dimensions, {weights}; allowed: 1 or more, finite")
            return cls(data[: len(data) // num_bytes * num_bytes], kind, dimensions, weights)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise GGUFError(f"{path}: the keys pyslm.nearness.* are damaged: {error}") from error

    def vectors(self, num_tokens: int) -> _Vectors:
        """float32 [num_tokens, dimensions].

        Raises:
            GGUFError: it is no table of so many.
        """
        from pyslm import _native

        block, num_bytes, _ = _native.weight_formats()[self.type]
        num_elements = len(self.blocks) // num_bytes * block
        if num_elements != num_tokens * self.dimensions:
            raise GGUFError(
                f"{_VECTORS} has {num_elements} numbers; allowed: {num_tokens} tokens of "
                f"{self.dimensions}"
            )
        return _native.dequantize(self.type, self.blocks, num_elements).reshape(num_tokens, -1)

    def add_to(self, writer: gguf.GGUFWriter) -> None:
        """Writes the keys."""
        import gguf

        padded = self.blocks + bytes(-len(self.blocks) % 8)
        kinds = gguf.GGUFValueType
        numbers = np.frombuffer(padded, "<u8").tolist()
        writer.add_key_value(_VECTORS, numbers, kinds.ARRAY, kinds.UINT64)
        writer.add_string(_TYPE, self.type)
        writer.add_uint32(_DIMENSIONS, self.dimensions)
        weights = list(dataclasses.astuple(self.weights))
        writer.add_key_value(_WEIGHTS, weights, kinds.ARRAY, kinds.FLOAT32)


class Nearness:
    """Compares texts. Safe to share by threads."""

    def __init__(
        self,
        vectors: _Vectors,
        weights: NearnessWeights,
        encode: Callable[[str], Sequence[int]],
    ) -> None:
        """
        Args:
            vectors: [tokens, dimensions]; the longer one is, the more its token tells.
            encode: a text's tokens.
        """
        self.vectors = vectors
        self.weights = weights
        self._encode = encode
        self._known: dict[str, _Vectors] = {}

    def cosine(self, one: str, other: str) -> float:
        """From -1 to 1; 0 where a text says nothing."""
        return float(self._vector(one) @ self._vector(other))

    def _vector(self, text: str) -> _Vectors:
        """Of length 1, or 0."""
        known = self._known.get(text)
        if known is not None:
            return known
        total = self.vectors[list(self._encode(text.lower()))].sum(0, dtype=np.float64)
        vector: _Vectors = (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)
        if len(self._known) >= _MOST_TEXTS:
            self._known.clear()
        self._known[text] = vector
        return vector
