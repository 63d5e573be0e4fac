"""Paths that are no model, and models that we do not run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import raw_file
from gguf import GGMLQuantizationType, GGUFEndian, GGUFWriter
from raw_file import Tensor, build
from written_model import READABLE, finish

from pyslm._native import GGUFReader
from pyslm.errors import (
    ModelFileError,
    ModelNotFoundError,
    UnsupportedModelError,
)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no such model file: .*nowhere\.gguf"):
        GGUFReader(tmp_path / "nowhere.gguf")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelNotFoundError, match="no such model file"):
        GGUFReader(tmp_path / "file" / "below.gguf")
    with pytest.raises(ModelNotFoundError, match="NUL"):
        GGUFReader("a\0b")


def test_not_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"is a directory; give the path of a \.gguf file"):
        GGUFReader(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelFileError, match="is not a regular file"):
        GGUFReader(tmp_path / "fifo")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.touch(mode=0)
    with pytest.raises(ModelFileError, match="Permission denied"):
        GGUFReader(path)


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.gguf"
    with pytest.raises(ModelNotFoundError, match=r"\\xff\.gguf"):
        GGUFReader(path)
    Path(os.fsdecode(path)).write_bytes(build([(b"a", raw_file.U8, 1)]).data)
    assert GGUFReader(path).files == [os.fsdecode(path)]
    with pytest.raises(TypeError):
        GGUFReader(3)


def test_big_endian_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = GGUFWriter(path, "llama", endianess=GGUFEndian.BIG)
    writer.add_tensor("w", np.zeros(4, np.float32))
    finish(writer)
    with pytest.raises(UnsupportedModelError, match="big-endian"):
        GGUFReader(path)


@pytest.mark.parametrize("kind", [k for k in GGMLQuantizationType if k not in READABLE])
def test_unsupported_tensor_types_are_named(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(build(tensors=[Tensor("w", [256], kind, 0)], data_bytes=1024).data)
    with pytest.raises(
        UnsupportedModelError, match=rf"tensor 'w': .*\({kind.name}\); supported: F32, F16"
    ):
        GGUFReader(path)


def test_a_file_that_shrinks_after_opening(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(build(tensors=[Tensor("w", [256], 0, 0)], data_bytes=1024).data)
    reader = GGUFReader(path)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ModelFileError, match="has become shorter"):
        reader.read("w")
