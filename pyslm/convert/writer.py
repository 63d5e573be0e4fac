"""Writes the GGUF file: first everything but the weights, then one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

from pyslm.convert.checkpoint import Checkpoint, Floats, SourceTensor
from pyslm.convert.family import Family, Target
from pyslm.errors import ModelFileError, UnsupportedModelError

__all__ = ["FILE_TYPES", "Job", "plan", "write_tensors"]

FILE_TYPES = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One tensor to write: from the checkpoint, or computed where `source` is None."""

    target: Target
    source: SourceTensor | None
    type: GGMLQuantizationType

    @property
    def num_bytes(self) -> int:
        block_elements, block_bytes = gguf.GGML_QUANT_SIZES[self.type]
        return prod(self.target.shape) // block_elements * block_bytes

    def data(self) -> npt.NDArray[Any]:
        """The values in `type`, ready to write."""
        target = self.target
        values = self.source.read() if self.source else target.values
        assert values is not None  # plan() gives every target one of the two
        if target.transform:
            values = target.transform(values)
        return _encode(values, self.type, target.name)


def plan(
    checkpoint: Checkpoint, family: Family, targets: tuple[Target, ...], dtype: str
) -> list[Job]:
    """Pairs targets with tensors; every missing, misshapen or superfluous tensor is an error."""
    sources = _sources(checkpoint, family)
    jobs, missing = [], []
    for target in targets:
        source = sources.pop(target.source, None)
        if target.values is None and source is None:
            if not target.optional:
                missing.append(target.source)
            continue
        if source is not None and source.shape != target.shape:
            raise ModelFileError(
                f"{source.path}: tensor '{source.name}' has shape {list(source.shape)}; by "
                f"config.json it must be {list(target.shape)}"
            )
        jobs.append(Job(target, source, _choose_type(target, dtype)))
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ModelFileError(
            f"{checkpoint.folder}: tensors that config.json calls for are missing: "
            f"{', '.join(missing[:5])}{more}"
        )
    _refuse_leftovers(checkpoint, family, sources)
    return jobs


def _sources(checkpoint: Checkpoint, family: Family) -> dict[str, SourceTensor]:
    """Tensors under the names the family knows: without prefix, old spellings made new."""
    sources = {}
    for name, tensor in checkpoint.tensors.items():
        for prefix in sorted(family.prefixes, key=len, reverse=True):
            if name.startswith(prefix):
                name = name.removeprefix(prefix)
                break
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
        name = name.replace("LayerNorm.beta", "LayerNorm.bias")
        sources[name] = tensor
    return sources


def _refuse_leftovers(
    checkpoint: Checkpoint, family: Family, sources: dict[str, SourceTensor]
) -> None:
    """A weight left out silently would be another model."""
    embedding = next((n for n in checkpoint.tensors if n.endswith("embed_tokens.weight")), None)
    left = [
        name
        for name in sources
        if not name.endswith(family.ignored) and not (name == "lm_head.weight" and embedding)
    ]
    if left:
        raise UnsupportedModelError(
            f"{checkpoint.folder}: {len(left)} tensors have no place in a model of architecture "
            f"{family.gguf_architecture}: {', '.join(sorted(left)[:5])}"
        )


def _choose_type(target: Target, dtype: str) -> GGMLQuantizationType:
    """Matrices get the wanted type; vectors, and rows that no block fits, a plainer one."""
    wanted, _ = FILE_TYPES[dtype]
    if len(target.shape) == 1 or target.f32 or target.values is not None:
        return GGMLQuantizationType.F32
    block_elements, _ = gguf.GGML_QUANT_SIZES[wanted]
    return GGMLQuantizationType.F16 if target.shape[-1] % block_elements else wanted


def _encode(values: Floats, kind: GGMLQuantizationType, name: str) -> npt.NDArray[Any]:
    if kind == GGMLQuantizationType.F16:
        largest = float(np.abs(values).max(initial=0.0))
        if largest > 65504:
            raise ModelFileError(
                f"tensor '{name}' holds {largest:g}, more than f16 can (65504); use bf16 or f32"
            )
    return gguf.quantize(values, kind)


def write_tensors(
    writer: GGUFWriter, jobs: list[Job], progress: Callable[[float], None] | None
) -> None:
    """Writes header, metadata and all tensors; holds one tensor in memory at a time."""
    for job in jobs:
        dtype = np.dtype(np.float32)  # the writer wants one; raw_dtype is what counts
        writer.add_tensor_info(
            job.target.name, job.target.shape, dtype, job.num_bytes, raw_dtype=job.type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    total = max(1, sum(job.num_bytes for job in jobs))
    done = 0
    for job in jobs:
        writer.write_tensor_data(job.data())
        done += job.num_bytes
        if progress:
            progress(done / total)
