"""The tensors of a safetensors checkpoint, whole or sharded, read one at a time.

Source: https://huggingface.co/docs/safetensors, "Format": u64 header length, JSON header, data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pyslm.convert.config import read_json
from pyslm.errors import ModelFileError, ModelNotFoundError, PyslmError, UnsupportedModelError

__all__ = ["Checkpoint", "Floats", "SourceTensor"]

Floats: TypeAlias = npt.NDArray[np.float32]

_INDEX = "model.safetensors.index.json"
_FLOAT_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}


@dataclass(frozen=True, slots=True)
class SourceTensor:
    """Where a tensor lies; `shape` is row-major (outermost dimension first)."""

    name: str
    path: Path
    type: str
    shape: tuple[int, ...]
    offset: int

    def read(self) -> Floats:
        """The values as float32 (exact for F32, F16 and BF16), shape `shape`."""
        dtype = _FLOAT_TYPES.get(self.type)
        if dtype is None:
            raise UnsupportedModelError(
                f"{self.path.name}: tensor '{self.name}' is {self.type}; supported: "
                f"{', '.join(_FLOAT_TYPES)}"
            )
        raw = np.fromfile(self.path, dtype, prod(self.shape), offset=self.offset)
        if raw.size != prod(self.shape):
            raise ModelFileError(f"{self.path} has become shorter while being read")
        if self.type == "BF16":
            values = (raw.astype(np.uint32) << 16).view(np.float32)
        else:
            with np.errstate(over="ignore"):  # an F64 beyond F32 becomes inf, refused below
                values = raw.astype(np.float32)
        if not np.isfinite(values).all():
            raise ModelFileError(
                f"{self.path}: tensor '{self.name}' holds NaN or infinity; the file is damaged"
            )
        return values.reshape(self.shape)


class Checkpoint:
    """Every tensor of a folder by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tensors: dict[str, SourceTensor] = {}
        for path in _files(folder):
            for tensor in _read_header(path):
                if tensor.name in self.tensors:
                    raise ModelFileError(
                        f"tensor '{tensor.name}' is in {self.tensors[tensor.name].path.name} and "
                        f"in {path.name}; remove one of the files"
                    )
                self.tensors[tensor.name] = tensor


def _files(folder: Path) -> list[Path]:
    if (folder / _INDEX).is_file():
        return _indexed_files(folder)
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")):
        raise UnsupportedModelError(
            f"{folder} has PyTorch pickle files only, which can run code when read; "
            "save the model as safetensors (save_pretrained does)"
        )
    raise ModelNotFoundError(f"{folder} has no *.safetensors")


def _indexed_files(folder: Path) -> list[Path]:
    weights = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise ModelFileError(f"{folder / _INDEX}: 'weight_map' must be an object of file names")
    names = {name for name in weights.values() if isinstance(name, str) and Path(name).name == name}
    if len(names) != len(set(map(str, weights.values()))):
        raise ModelFileError(f"{folder / _INDEX}: 'weight_map' must hold names of files beside it")
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise ModelNotFoundError(f"{folder} has no {', '.join(missing)}, which {_INDEX} names")
    return [folder / name for name in sorted(names)]


def _read_header(path: Path) -> list[SourceTensor]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise PyslmError(
            "converting needs the package safetensors: pip install 'pyslm[convert]'"
        ) from error
    try:
        with safe_open(path, framework="numpy"):  # checks the header and every extent
            pass
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a valid safetensors file: {error}") from error
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error}") from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return [
        SourceTensor(
            name, path, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]
        )
        for name, entry in header.items()
    ]
