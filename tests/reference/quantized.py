"""Files of every quantized type, without anyone's quantizer.

A block of random bits is a valid block. With its scales set so that the decoded weights have the
wanted spread, it takes every value of every field, and the `gguf` package's decoder says what
weights it stands for: an engine's error on it is that of its arithmetic alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from .rewrite import Kind, copy_metadata, finish

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Scales:
    """Byte offsets of a block's float16 scale and, where its values are not centred on zero,
    of the float16 that is subtracted (`minimum`) or added (`offset`) in units of the scale."""

    scale: int
    minimum: int | None = None
    centre: float = 0.0


_SCALES = {
    Kind.Q4_0: _Scales(0),
    Kind.Q4_1: _Scales(0, 2, -7.5),  # w = d q + m
    Kind.Q5_0: _Scales(0),
    Kind.Q5_1: _Scales(0, 2, -15.5),
    Kind.Q8_0: _Scales(0),
    Kind.Q2_K: _Scales(80, 82, 1.5),  # w = d scale q - dmin min
    Kind.Q3_K: _Scales(108),
    Kind.Q4_K: _Scales(0, 2, 7.5),
    Kind.Q5_K: _Scales(0, 2, 15.5),
    Kind.Q6_K: _Scales(208),
    Kind.IQ4_NL: _Scales(0),
    Kind.IQ4_XS: _Scales(0),
}
QUANTIZED = [*_SCALES, Kind.MXFP4]


def random_blocks(rows: int, cols: int, kind: Kind, std: float, seed: int) -> Bytes:
    """Blocks of bytes [rows, bytes of a row] that decode to weights with that standard deviation.
    The blocks' scales vary by a factor of up to 4."""
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (rows * cols // block_size, block_bytes), dtype=np.uint8)
    if kind == Kind.MXFP4:  # one power of two a block: exponent 127 is 2^0 / 2 of the code's unit
        exponent = 127 + round(np.log2(std / 3.5))
        blocks[:, 0] = rng.integers(exponent - 1, exponent + 2, len(blocks))
        return blocks.reshape(rows, -1)
    relative = rng.uniform(0.5, 2.0, len(blocks))
    if block_size == 32:  # codes such as -8 .. 7 are not centred; scales of both signs are
        relative *= rng.choice([-1.0, 1.0], len(blocks))
    _set_scales(blocks, _SCALES[kind], relative)
    spread = gguf.quants.dequantize(blocks.reshape(rows, -1), kind).std()
    _set_scales(blocks, _SCALES[kind], relative * std / spread)
    return blocks.reshape(rows, -1)


def _set_scales(blocks: Bytes, fields: _Scales, values: npt.NDArray[np.float64]) -> None:
    def put(offset: int, numbers: npt.NDArray[np.float64]) -> None:
        blocks[:, offset : offset + 2] = numbers.astype("<f2")[:, None].view(np.uint8)

    put(fields.scale, values)
    if fields.minimum is not None:
        put(fields.minimum, values * fields.centre)


def with_random_blocks(source: Path, target: Path, kind: Kind, std: float = 0.06) -> Path:
    """A copy of a file in which every matrix is random blocks of `kind`."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    copy_metadata(reader, writer, {})
    for i, tensor in enumerate(reader.tensors):
        if tensor.data.ndim == 1:
            writer.add_tensor(tensor.name, np.array(tensor.data))
            continue
        rows, cols = tensor.data.shape
        data = random_blocks(rows, cols, kind, std, seed=i)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    finish(writer)
    return target
