"""Against llama.cpp's own quantizer: the same types for every tensor, and no larger an error.

Needs a Python with llama-cpp-python: PYSLM_PEER_PYTHON names its interpreter.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from model_files import write_model

from pyslm.quant_mix import MIXES
from pyslm.quantize import quantize_file

pytestmark = pytest.mark.compare

PEER = os.environ.get("PYSLM_PEER_PYTHON")

QUANTIZE = """
import ctypes, sys, llama_cpp
source, out, file_type = sys.argv[1:]
params = llama_cpp.llama_model_quantize_default_params()
params.ftype, params.nthread = int(file_type), 1
sys.exit(llama_cpp.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params)))
"""

SHAPES: dict[str, dict[str, Any]] = {
    "grouped queries": {"layers": 22, "rows": 4},
    "tied": {"layers": 17, "rows": 4, "kv_heads": 8, "tied": True},
    "rows of 96 and 160": {"width": 96, "ffn": 160, "rows": 4},
    "rows of 100 and 132": {"width": 100, "ffn": 132, "rows": 4},
    "fused": {"arch": "phi3", "layers": 12, "rows": 4, "fused": True},
    "eight experts": {"layers": 8, "experts": 8, "rows": 4},
    "four experts": {"arch": "qwen3moe", "layers": 9, "experts": 4, "rows": 4},
}


@pytest.fixture(autouse=True)
def _needs_peer() -> None:
    if not PEER:
        pytest.skip("set PYSLM_PEER_PYTHON to a Python that has llama-cpp-python")


def quantize_with_peer(source: Path, out: Path, file_type: int) -> None:
    command = [str(PEER), "-c", QUANTIZE, str(source), str(out), str(file_type)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]


def tensors(path: Path) -> dict[str, gguf.ReaderTensor]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize("shape", SHAPES)
def test_types_are_llama_cpp_s(shape: str, tmp_path: Path) -> None:
    source = write_model(tmp_path / "source.gguf", **SHAPES[shape])
    for mix in MIXES.values():
        if mix.name == "MXFP4_MOE" and "experts" not in shape:
            continue
        quantize_file(source, tmp_path / "ours.gguf", mix.name)
        quantize_with_peer(source, tmp_path / "theirs.gguf", mix.file_type)
        ours, theirs = tensors(tmp_path / "ours.gguf"), tensors(tmp_path / "theirs.gguf")
        types = {name: tensor.tensor_type.name for name, tensor in ours.items()}
        assert types == {name: t.tensor_type.name for name, t in theirs.items()}, mix.name


@pytest.mark.parametrize("name", [name for name in MIXES if not MIXES[name].is_float])
def test_error_is_no_larger_than_llama_cpp_s(name: str, tmp_path: Path) -> None:
    experts = 4 if name == "MXFP4_MOE" else 0
    source = write_model(
        tmp_path / "source.gguf", layers=2, rows=256, dtype=np.float32, experts=experts
    )
    quantize_file(source, tmp_path / "ours.gguf", name)
    quantize_with_peer(source, tmp_path / "theirs.gguf", MIXES[name].file_type)
    ours, theirs = tensors(tmp_path / "ours.gguf"), tensors(tmp_path / "theirs.gguf")
    for tensor_name, original in tensors(source).items():
        x = original.data.astype(np.float64).ravel()
        errors = [
            np.sqrt(np.mean((gguf.quants.dequantize(t.data, t.tensor_type).ravel() - x) ** 2))
            for t in (ours[tensor_name], theirs[tensor_name])
        ]
        assert errors[0] <= errors[1], tensor_name
