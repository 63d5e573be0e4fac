"""Quantizing whole GGUF files.

    report = quantize_file("qwen-f16.gguf", "qwen-q4.gguf", "Q4_K_M")
    print(f"{report.bits_per_weight:.2f} bits per weight")

Tensors stream through: besides the source's metadata, memory holds one encoded tensor and a few
rows per thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from pyslm import _native
from pyslm.errors import (
    GGUFError,
    InvalidRequestError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from pyslm.new_file import check_out, check_space, replacing
from pyslm.quant_mix import Mix, ModelFacts, TensorShape, find_mix, target_types

__all__ = ["QuantizeReport", "TensorReport", "quantize_file"]

Progress = Callable[[str, int, int], None]
"""Called with a tensor's name, the bytes of the source done so far, and all of its bytes."""

_CHUNK_ELEMS = 1 << 20
_FLOATS = ("F32", "F16", "BF16")


@dataclasses.dataclass(frozen=True, slots=True)
class TensorReport:
    """What became of one tensor."""

    name: str
    shape: tuple[int, ...]
    """Innermost dimension first."""
    source_type: str
    type: str
    source_bytes: int
    num_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class QuantizeReport:
    """What `quantize_file` did."""

    source: Path
    out: Path
    type: str
    tensors: tuple[TensorReport, ...]
    source_bytes: int
    """Of all tensors of the source, without metadata."""
    num_bytes: int
    """Of all tensors written."""
    seconds: float

    @property
    def num_parameters(self) -> int:
        return sum(int(np.prod(tensor.shape)) for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.num_bytes / max(self.num_parameters, 1)


def quantize_file(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    type: str,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
    allow_requantize: bool = False,
    token_embedding: str | None = None,
) -> QuantizeReport:
    """Write the model in `source` to `out` with its weights in another type.

    Args:
        source: A GGUF file; of a split set, the first part.
        out: The file to write, replaced in one step once it is complete.
        type: "Q4_K_M", "q8_0", ... see `pyslm.quant_mix.MIXES`.
        progress: Called after each piece of work; what it raises ends the work and leaves no file.
        threads: Default: the cores this process may use. The result does not depend on it.
        allow_requantize: Accept a source that is quantized already. The result is worse than
            quantizing the original; turning one into F32, F16 or BF16 is always allowed.
        token_embedding: Another format for the embedding of tokens: "Q4_K", "Q8_0", ...

    Raises:
        InvalidRequestError: an unknown type, a quantized source, `out` is the source, a weight
            that is not finite.
        ModelNotFoundError, ModelFileError: the source cannot be read, or `out` not be written.
        GGUFError, UnsupportedModelError: the source is broken, or of a type pyslm cannot read.
    """
    started = time.monotonic()
    source, out = Path(source), Path(out)
    mix = find_mix(type)
    num_threads = _num_threads(threads)
    if not source.is_file():
        raise ModelNotFoundError(f"{source}: no such file; give the path of a GGUF file")
    reader = _native.GGUFReader(str(source))
    check_out(out, [Path(name) for name in reader.files])
    tensors = [TensorShape(t.name, tuple(t.shape), t.type) for t in reader.tensors()]
    types = target_types(mix, _facts(reader, source), tensors, token_embedding)
    _check_source_types(source, mix, tensors, types, allow_requantize)
    reports = tuple(
        TensorReport(t.name, tuple(t.shape), t.type, types[t.name], t.num_bytes,
                     _num_bytes(types[t.name], t.num_elements))
        for t in reader.tensors()
    )  # fmt: skip
    num_bytes = sum(report.num_bytes for report in reports)
    check_space(out, num_bytes)
    architecture = _architecture(reader, source)
    with (
        replacing(out) as partial,
        contextlib.closing(gguf.GGUFWriter(partial, architecture)) as writer,
    ):
        _write(reader, writer, mix, reports, progress, num_threads)
    return QuantizeReport(
        source=source,
        out=out,
        type=mix.name,
        tensors=reports,
        source_bytes=sum(report.source_bytes for report in reports),
        num_bytes=num_bytes,
        seconds=time.monotonic() - started,
    )


def _write(
    reader: Any,
    writer: gguf.GGUFWriter,
    mix: Mix,
    reports: tuple[TensorReport, ...],
    progress: Progress | None,
    num_threads: int,
) -> None:
    _copy_metadata(reader, writer, mix)
    for report in reports:
        writer.add_tensor_info(
            report.name,
            report.shape[::-1],
            np.dtype(np.float32),
            report.num_bytes,
            raw_dtype=gguf.GGMLQuantizationType[report.type],
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    done, total = 0, sum(report.source_bytes for report in reports)
    with ThreadPoolExecutor(num_threads) as pool:
        for report in reports:
            encoded = np.empty(report.num_bytes, np.uint8)
            for source_bytes in _convert(reader, report, encoded, pool):
                done += source_bytes
                if progress is not None:
                    progress(report.name, done, total)
            writer.write_tensor_data(encoded)


def _convert(
    reader: Any, report: TensorReport, out: npt.NDArray[np.uint8], pool: ThreadPoolExecutor
) -> Iterator[int]:
    """Fill `out`, piece by piece in the pool; yields the bytes of the source behind each piece."""
    row = max(report.shape[0] if report.shape else 1, 1)
    num_elems = int(np.prod(report.shape))
    chunk = max(_CHUNK_ELEMS // row, 1) * row
    jobs = [
        pool.submit(_convert_rows, reader, report, begin, min(begin + chunk, num_elems), out)
        for begin in range(0, num_elems, chunk)
    ]
    try:
        for job in as_completed(jobs):
            yield job.result()
    finally:
        for job in jobs:
            job.cancel()


def _convert_rows(
    reader: Any, report: TensorReport, begin: int, end: int, out: npt.NDArray[np.uint8]
) -> int:
    """Elements [begin, end), whole rows, of one tensor; returns the bytes read."""
    first = _num_bytes(report.source_type, begin)
    count = _num_bytes(report.source_type, end) - first
    data = reader.read(report.name, first, count)
    target = out[_num_bytes(report.type, begin) : _num_bytes(report.type, end)]
    if report.type == report.source_type:
        target[:] = np.frombuffer(data, np.uint8)
        return count
    x = _native.dequantize(report.source_type, data, end - begin)
    try:
        target[:] = _native.quantize(report.type, x)
    except InvalidRequestError as error:
        bad = np.flatnonzero(~np.isfinite(x))
        if not bad.size:
            raise
        raise InvalidRequestError(
            f"element {begin + int(bad[0])} of tensor {report.name!r} is {x[bad[0]]}; a model with "
            "such weights is broken and cannot be quantized"
        ) from error
    return count


def _num_bytes(type: str, num_elems: int) -> int:
    block_elems, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type]]
    return num_elems // block_elems * block_bytes


def _copy_metadata(reader: Any, writer: gguf.GGUFWriter, mix: Mix) -> None:
    """All keys but those of split files; an empty array is left out (the writer has no such)."""
    writer.data_alignment = reader.alignment
    own = {"general.architecture", "general.file_type", "general.quantization_version"}
    for key in reader.keys():  # noqa: SIM118
        if key in own or key.startswith("split."):
            continue
        kind, _, element = reader.value_type(key).rstrip("]").partition("[")
        value = reader.string_array(key) if element == "string" else reader.get(key)
        if element and not value:
            continue
        writer.add_key_value(
            key,
            value,
            gguf.GGUFValueType[kind.upper()],
            gguf.GGUFValueType[element.upper()] if element else None,
        )
    writer.add_file_type(mix.file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _architecture(reader: Any, source: Path) -> str:
    architecture = reader.get("general.architecture", None)
    if not isinstance(architecture, str) or not architecture:
        raise GGUFError(f"{source}: key 'general.architecture' is missing or no text")
    return architecture


def _facts(reader: Any, source: Path) -> ModelFacts:
    prefix = _architecture(reader, source)

    def integer(key: str, absent: int) -> int:
        value = reader.get(f"{prefix}.{key}", absent)
        if isinstance(value, list):  # one number per layer: the first layer that has any
            value = next((item for item in value if item), absent)
        return value if isinstance(value, int) else absent

    heads = integer("attention.head_count", 1)
    return ModelFacts(
        num_layers=integer("block_count", 0),
        queries_per_kv=heads // max(integer("attention.head_count_kv", heads), 1),
        num_experts=integer("expert_count", 0),
    )


def _check_source_types(
    source: Path,
    mix: Mix,
    tensors: list[TensorShape],
    types: dict[str, str],
    allow_requantize: bool,
) -> None:
    for tensor in tensors:
        if types[tensor.name] == tensor.type:
            continue
        if tensor.type not in _native.weight_formats():
            raise UnsupportedModelError(f"{source}: tensor {tensor.name!r} is {tensor.type}")
        if not (tensor.type in _FLOATS or mix.is_float or allow_requantize):
            raise InvalidRequestError(
                f"{source} is quantized already (tensor {tensor.name!r} is {tensor.type}); "
                "quantize the F16, BF16 or F32 original instead, or allow requantizing and accept "
                "the loss"
            )


def _num_threads(threads: int | None) -> int:
    if threads is None:
        # Not on macOS and Windows, says typeshed.
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not 1 <= threads <= 1024:
        raise InvalidRequestError(f"threads is {threads}; allowed: 1 to 1024")
    return threads
