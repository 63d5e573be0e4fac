"""Copies of a GGUF file with other metadata, tensors or tensor types, through gguf.GGUFWriter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Kind = gguf.GGMLQuantizationType
# of [rows, columns] to bytes [rows, bytes of a row]
Quantizer = Callable[[Floats, Kind], npt.NDArray[np.uint8]]


def add_value(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """Writes a metadata value with the GGUF type that its Python type suggests."""
    adders: dict[type, Callable[[str, Any], None]] = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
        list: writer.add_array,
    }
    adders[type(value)](key, value)


def copy_metadata(
    reader: gguf.GGUFReader,
    writer: gguf.GGUFWriter,
    changes: Mapping[str, Any],
    prefixes: tuple[str, str] = ("", ""),
) -> None:
    """All values but the architecture's name; `changes` replaces by full key, None removes. Keys
    that begin with the first of `prefixes` come to begin with the second."""
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in changes:
            continue
        sub_type = field.types[-1] if len(field.types) > 1 else None
        if name.startswith(prefixes[0]):
            name = prefixes[1] + name.removeprefix(prefixes[0])
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub_type)
    for name, value in changes.items():
        if value is not None:
            add_value(writer, name, value)


def add_weight(
    writer: gguf.GGUFWriter,
    name: str,
    values: Floats,
    kind: Kind,
    quantize: Quantizer = gguf.quants.quantize,
) -> None:
    """Adds a tensor of type `kind`, quantized where it needs to be."""
    values = np.ascontiguousarray(values, np.float32)
    if kind == Kind.F32:
        writer.add_tensor(name, values)
    elif kind == Kind.F16:
        writer.add_tensor(name, values.astype(np.float16))
    else:
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file(progress=False)
    writer.close()


def rewrite(
    source: str | Path,
    target: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    tensors: Callable[[dict[str, Floats]], dict[str, Floats]] = dict,
    kind: Callable[[str, Floats], Kind] | None = None,
    quantize: Quantizer = gguf.quants.quantize,
    architecture: str | None = None,
) -> Path:
    """Writes `target` and returns its path.

    `metadata` replaces values by full key (None removes one); `tensors` maps the decoded tensors
    to those to write; `kind` gives the type of each (default: F32 throughout) and `quantize`
    makes the blocks. Another `architecture` gets the values of the first under its own keys.
    """
    reader = gguf.GGUFReader(source)
    first = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture or first)
    copy_metadata(reader, writer, metadata or {}, (f"{first}.", f"{architecture or first}."))
    decoded = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    for name, values in tensors(decoded).items():
        add_weight(writer, name, values, kind(name, values) if kind else Kind.F32, quantize)
    finish(writer)
    return Path(target)
