"""Models in several files: prefix-00001-of-0000N.gguf."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import raw_file
from raw_file import Tensor, build
from written_model import READABLE, V, write_model

from pyslm._native import GGUFReader
from pyslm.errors import (
    GGUFError,
    ModelNotFoundError,
)


def write_split(folder: Path, **options: Any) -> list[Path]:
    write_model(folder / "m.gguf", **(options or {"split_max_tensors": 6}))
    return sorted(folder.glob("m-*.gguf"))


@pytest.mark.parametrize(
    "options",
    [
        {"split_max_tensors": 6},
        {"split_max_tensors": 1},
        {"split_max_tensors": 7, "small_first_shard": True},
    ],
)
def test_split_sets(tmp_path: Path, options: dict[str, Any]) -> None:
    paths = write_split(tmp_path, **options)
    whole = GGUFReader(write_model(tmp_path / "whole.gguf"))
    reader = GGUFReader(paths[0])
    assert reader.files == [str(p) for p in paths]
    assert reader.total_bytes == sum(p.stat().st_size for p in paths)
    assert [t.name for t in reader.tensors()] == [t.name for t in whole.tensors()]
    for tensor in reader.tensors():
        assert reader.read(tensor.name) == whole.read(tensor.name)
    assert sorted({t.file for t in reader.tensors()})[-1] == len(paths) - 1


def test_split_set_with_a_part_missing(tmp_path: Path) -> None:
    paths = write_split(tmp_path)
    paths[2].unlink()
    with pytest.raises(ModelNotFoundError, match=r"m-00003-of-00004\.gguf"):
        GGUFReader(paths[0])


def test_a_later_part_names_the_first(tmp_path: Path) -> None:
    paths = write_split(tmp_path)
    with pytest.raises(
        GGUFError, match=r"part 2 of 4.*open the first part.*m-00001-of-00004\.gguf"
    ):
        GGUFReader(paths[1])


def test_split_set_under_another_name(tmp_path: Path) -> None:
    paths = write_split(tmp_path)
    shutil.copy(paths[0], tmp_path / "renamed.gguf")
    with pytest.raises(GGUFError, match="its name does not end in"):
        GGUFReader(tmp_path / "renamed.gguf")


def test_split_set_with_parts_exchanged(tmp_path: Path) -> None:
    paths = write_split(tmp_path)
    shutil.copy(paths[1], paths[2])
    with pytest.raises(GGUFError, match=r"part 2 of 4 .*expected part 3 of 4"):
        GGUFReader(paths[0])


def test_split_set_with_a_wrong_tensor_count(tmp_path: Path) -> None:
    paths = write_split(tmp_path)
    data = paths[0].read_bytes()
    key = b"split.tensors.count" + struct.pack("<Ii", V.INT32, len(READABLE))
    assert data.count(key) == 1
    paths[0].write_bytes(data.replace(key, key[:-4] + struct.pack("<i", len(READABLE) + 1)))
    with pytest.raises(GGUFError, match=r"split.tensors.count is 22, but .* hold 21 tensors"):
        GGUFReader(paths[0])


def test_split_set_with_a_tensor_twice(tmp_path: Path) -> None:
    def part(i: int) -> bytes:
        keys = [(b"split.no", raw_file.U16, i), (b"split.count", raw_file.U16, 2)]
        return bytes(build(keys, [Tensor("w", [8], 0, 0)], data_bytes=32).data)

    for i in range(2):
        (tmp_path / f"m-{i + 1:05d}-of-00002.gguf").write_bytes(part(i))
    with pytest.raises(GGUFError, match=r"00002-of-00002\.gguf: tensor 'w' occurs twice"):
        GGUFReader(tmp_path / "m-00001-of-00002.gguf")
