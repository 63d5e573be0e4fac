"""What a GGUF file holds, without loading it: for `pyslm inspect` and for choosing a model."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import Any

from pyslm._native import GGUFReader
from pyslm.errors import GGUFError

__all__ = ["ModelSummary", "TensorSummary", "TypeUse", "inspect_model"]

_MAX_SHOWN_ITEMS = 64


@dataclass(frozen=True, slots=True)
class TypeUse:
    """How much of a model is stored in one tensor type."""

    tensors: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """One tensor; shape[0] is the innermost (contiguous) dimension, as GGUF writes it."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """The contents of a GGUF file or split set.

    `context_length` is in tokens, None where the file does not say; `types` is sorted by bytes,
    largest first; `metadata` keeps the file's order, with arrays of more than 64 items replaced by
    a string such as "array[string] of 32000".
    """

    path: str
    files: tuple[str, ...]
    version: int
    architecture: str
    name: str | None
    parameters: int
    file_bytes: int
    types: dict[str, TypeUse]
    context_length: int | None
    tokenizer: str | None
    pre_tokenizer: str | None
    vocab_size: int | None
    has_chat_template: bool
    metadata: dict[str, Any]
    tensors: tuple[TensorSummary, ...]

    def to_json(
        self, *, metadata: bool = True, tensors: bool = True, indent: int | None = 2
    ) -> str:
        """The summary as strict JSON: bytes that are not UTF-8 escaped, NaN and infinity quoted."""
        fields = asdict(self)
        if not metadata:
            del fields["metadata"]
        if not tensors:
            del fields["tensors"]
        return json.dumps(_jsonable(fields), indent=indent, ensure_ascii=False, allow_nan=False)


def inspect_model(path: str | os.PathLike[str]) -> ModelSummary:
    """Reads the metadata and the tensor index of a model; never its weights.

    Raises ModelNotFoundError, ModelFileError, GGUFError, or UnsupportedModelError where the file
    has tensors of a type that pyslm does not read.
    """
    reader = GGUFReader(path)
    tensors = tuple(TensorSummary(t.name, t.type, t.shape, t.num_bytes) for t in reader.tensors())
    architecture = _text(reader, "general.architecture") or "unknown"
    tokens = reader.get("tokenizer.ggml.tokens", None)
    return ModelSummary(
        path=os.fspath(path),
        files=tuple(reader.files),
        version=reader.version,
        architecture=architecture,
        name=_text(reader, "general.name"),
        parameters=sum(math.prod(t.shape) for t in tensors),
        file_bytes=reader.total_bytes,
        types=_count_types(tensors),
        context_length=_integer(reader, f"{architecture}.context_length"),
        tokenizer=_text(reader, "tokenizer.ggml.model"),
        pre_tokenizer=_text(reader, "tokenizer.ggml.pre"),
        vocab_size=len(tokens) if isinstance(tokens, list) else None,
        has_chat_template="tokenizer.chat_template" in reader,
        metadata={key: _shortened(reader, key) for key in reader.keys()},  # noqa: SIM118
        tensors=tensors,
    )


def _count_types(tensors: tuple[TensorSummary, ...]) -> dict[str, TypeUse]:
    use: dict[str, TypeUse] = {}
    for tensor in tensors:
        before = use.get(tensor.type, TypeUse(0, 0))
        use[tensor.type] = TypeUse(before.tensors + 1, before.bytes + tensor.bytes)
    return dict(sorted(use.items(), key=lambda item: item[1].bytes, reverse=True))


def _text(reader: GGUFReader, key: str) -> str | None:
    value = reader.get(key, None)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if value is None or isinstance(value, str):
        return value
    raise GGUFError(
        f"{reader.files[0]}: key '{key}' is {reader.value_type(key)}; it must be a string"
    )


def _integer(reader: GGUFReader, key: str) -> int | None:
    value = reader.get(key, None)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise GGUFError(
        f"{reader.files[0]}: key '{key}' is {reader.value_type(key)}; it must be an integer"
    )


def _shortened(reader: GGUFReader, key: str) -> Any:
    value = reader.get(key)
    if isinstance(value, list) and len(value) > _MAX_SHOWN_ITEMS:
        return f"{reader.value_type(key)} of {len(value)}"
    return value


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
