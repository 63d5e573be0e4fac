"""Builds GGUF files field by field, right or wrong, and remembers where each field lies."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B",
           U64: "Q", I64: "q", F64: "d"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    offset: int
    width: int


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    dims: Sequence[int]
    type: int
    offset: int
    n_dims: int | None = None  # None: len(dims)


@dataclass(slots=True)
class RawFile:
    """Header, metadata and tensor infos as bytes; `fields` says what lies where."""

    data: bytearray = field(default_factory=bytearray)
    fields: list[Field] = field(default_factory=list)

    def add(self, name: str, format_: str, value: Any) -> None:
        packed = struct.pack("<" + format_, value)
        self.fields.append(Field(name, len(self.data), len(packed)))
        self.data += packed

    def add_string(self, name: str, text: bytes) -> None:
        self.add(f"{name}.length", "Q", len(text))
        self.data += text

    def add_value(self, name: str, type_: int, value: Any) -> None:
        self.add(f"{name}.type", "I", type_)
        self.add_payload(name, type_, value)

    def add_payload(self, name: str, type_: int, value: Any) -> None:
        if type_ == STRING:
            self.add_string(name, value)
        elif type_ == ARRAY:
            element, items = value
            self.add(f"{name}.element", "I", element)
            self.add(f"{name}.count", "Q", len(items))
            for i, item in enumerate(items):
                self.add_payload(f"{name}[{i}]", element, item)
        else:
            self.add(name, FORMATS[type_], value)

    def add_tensor(self, tensor: Tensor) -> None:
        name = f"tensor {tensor.name}"
        self.add_string(f"{name}.name", tensor.name.encode())
        self.add(
            f"{name}.n_dims", "I", len(tensor.dims) if tensor.n_dims is None else tensor.n_dims
        )
        for i, dim in enumerate(tensor.dims):
            self.add(f"{name}.dim{i}", "Q", dim)
        self.add(f"{name}.type", "I", tensor.type)
        self.add(f"{name}.offset", "Q", tensor.offset)


def build(
    metadata: Sequence[tuple[bytes, int, Any]] = (),
    tensors: Sequence[Tensor] = (),
    *,
    data_bytes: int = 0,
    alignment: int = 32,
    version: int = 3,
    num_keys: int | None = None,
    num_tensors: int | None = None,
) -> RawFile:
    """A whole file: the index, padding to `alignment`, then `data_bytes` of tensor data."""
    out = RawFile()
    out.add("magic", "I", 0x46554747)
    out.add("version", "I", version)
    out.add("num_tensors", "Q", len(tensors) if num_tensors is None else num_tensors)
    out.add("num_keys", "Q", len(metadata) if num_keys is None else num_keys)
    for key, type_, value in metadata:
        out.add_string(f"key {key!r}", key)
        out.add_value(f"value {key!r}", type_, value)
    for tensor in tensors:
        out.add_tensor(tensor)
    if tensors:
        out.data += bytes(-len(out.data) % alignment)
        out.data += bytes(i * 37 % 251 for i in range(data_bytes))
    return out
