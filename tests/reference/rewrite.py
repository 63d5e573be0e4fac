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


def add_weight(writer: gguf.GGUFWriter, name: str, values: Floats, kind: Kind) -> None:
    """Adds a tensor, quantized by the `gguf` package where `kind` is not F32."""
    if kind == Kind.F32:
        writer.add_tensor(name, np.ascontiguousarray(values, np.float32))
    elif kind == Kind.F16:
        writer.add_tensor(name, values.astype(np.float16))
    else:
        data = gguf.quants.quantize(np.ascontiguousarray(values, np.float32), kind)
        writer.add_tensor(name, data, raw_dtype=kind)


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
) -> Path:
    """Writes `target` and returns its path.

    `metadata` replaces values by full key (None removes one); `tensors` maps the decoded tensors
    to those to write; `kind` gives the type of each (default: F32 throughout).
    """
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    changes = dict(metadata or {})
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in changes:
            continue
        kinds = field.types
        sub_type = kinds[-1] if kinds[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kinds[0], sub_type=sub_type)
    for name, value in changes.items():
        if value is not None:
            add_value(writer, name, value)
    decoded = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    for name, values in tensors(decoded).items():
        add_weight(writer, name, values, kind(name, values) if kind else Kind.F32)
    finish(writer)
    return Path(target)
