"""Models that the package `gguf` writes, with every value type and every tensor type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter

V = GGUFValueType
SCALARS: list[tuple[str, GGUFValueType, list[Any]]] = [
    ("u8", V.UINT8, [0, 1, 255]),
    ("i8", V.INT8, [-128, 0, 127]),
    ("u16", V.UINT16, [0, 2**16 - 1]),
    ("i16", V.INT16, [-(2**15), 2**15 - 1]),
    ("u32", V.UINT32, [0, 2**32 - 1]),
    ("i32", V.INT32, [-(2**31), 2**31 - 1]),
    ("u64", V.UINT64, [0, 2**63, 2**64 - 1]),
    ("i64", V.INT64, [-(2**63), 2**63 - 1]),
    ("f32", V.FLOAT32, [0.0, -1.5, 3.0e38, 1e-45, float("inf")]),
    ("f64", V.FLOAT64, [0.1, -1e308, 5e-324]),
    ("bool", V.BOOL, [True, False]),
    ("string", V.STRING, ["a", "naïve ▁ 🙂", "line\nend\0nul", "x" * 300_000]),
]
READABLE = [
    GGMLQuantizationType[name]
    for name in [
        "F32",
        "F16",
        "BF16",
        "Q4_0",
        "Q4_1",
        "Q5_0",
        "Q5_1",
        "Q8_0",
        "Q2_K",
        "Q3_K",
        "Q4_K",
        "Q5_K",
        "Q6_K",
        "IQ4_NL",
        "IQ4_XS",
        "MXFP4",
        "I8",
        "I16",
        "I32",
        "I64",
        "F64",
    ]
]


def finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def raw_tensor(kind: GGMLQuantizationType, rows: int, row_blocks: int, seed: int) -> np.ndarray:
    _, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (rows, row_blocks * block_bytes), dtype=np.uint8)


def write_model(path: Path, alignment: int | None = None, **options: Any) -> Path:
    writer = GGUFWriter(path, "llama", **options)
    if alignment:
        writer.add_custom_alignment(alignment)
    for name, kind, values in SCALARS:
        for i, value in enumerate(values):
            writer.add_key_value(f"scalar.{name}.{i}", value, kind)
        writer.add_key_value(f"array.{name}", values, V.ARRAY, sub_type=kind)
    for i, kind in enumerate(READABLE):
        writer.add_tensor(f"blk.{i}.weight", raw_tensor(kind, 3, i % 3 + 1, i), raw_dtype=kind)
    finish(writer)
    return path
