"""What a family of models has to say to be converted; one file per family says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
from gguf import MODEL_TENSOR, GGUFWriter

from pyslm.convert.checkpoint import Floats
from pyslm.convert.config import Config

__all__ = ["Family", "Layout", "Target", "tensor_name"]


@dataclass(frozen=True, slots=True)
class Target:
    """A tensor of the GGUF file and where it comes from.

    `shape` is row-major, as in the checkpoint; `transform` keeps it. A Target with `values` is
    computed, not read.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    optional: bool = False
    f32: bool = False  # kept in F32 whatever type was asked for
    transform: Callable[[Floats], Floats] | None = None
    values: Floats | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """All that conversion needs to know of one model."""

    vocab_size: int  # rows of the embedding table
    targets: tuple[Target, ...]
    add_metadata: Callable[[GGUFWriter], None]


@dataclass(frozen=True, slots=True)
class Family:
    """`lay_out` takes config.json and the model's folder; `ignored` are suffixes of tensors that
    carry nothing the graph needs."""

    architectures: tuple[str, ...]
    gguf_architecture: str
    lay_out: Callable[[Config, Path], Layout]
    ignored: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ("",)  # of tensor names, stripped where a checkpoint has them


def tensor_name(kind: MODEL_TENSOR, layer: int | None = None, part: str = "weight") -> str:
    """llama.cpp's name, as in "blk.3.attn_q.weight"."""
    return f"{gguf.TENSOR_NAMES[kind].format(bid=layer)}.{part}"


def linear(
    kind: MODEL_TENSOR,
    source: str,
    rows: int,
    columns: int,
    *,
    layer: int | None = None,
    bias: bool | None = False,
    transform: Callable[[Floats], Floats] | None = None,
) -> Iterator[Target]:
    """A matrix [rows, columns] and its bias [rows]: there, not there, or (None) maybe."""
    yield Target(tensor_name(kind, layer), f"{source}.weight", (rows, columns), transform=transform)
    if bias is not False:
        name = tensor_name(kind, layer, "bias")
        yield Target(name, f"{source}.bias", (rows,), optional=bias is None, transform=transform)
