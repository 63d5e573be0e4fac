"""The native reader against the reader and writer of the package `gguf`."""

from __future__ import annotations

import os
import shutil
import struct
import threading
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import raw_file
from gguf import GGMLQuantizationType, GGUFEndian, GGUFValueType, GGUFWriter
from raw_file import Tensor, build

from pyslm._native import GGUFReader
from pyslm.errors import (
    GGUFError,
    InvalidRequestError,
    ModelFileError,
    ModelNotFoundError,
    UnsupportedModelError,
)

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


def assert_same(reader: GGUFReader, theirs: gguf.GGUFReader) -> None:
    ours = dict.fromkeys(reader.keys())
    assert list(ours) == [k for k in theirs.fields if not k.startswith("GGUF.")]
    for key in ours:
        expected = theirs.fields[key].contents()
        got = reader.get(key)
        assert got == expected, key
        assert type(got) is type(expected), key
    assert len(reader.tensors()) == len(theirs.tensors)
    for tensor, other in zip(reader.tensors(), theirs.tensors, strict=True):
        assert tensor.name == other.name
        assert tensor.type == other.tensor_type.name
        assert list(tensor.shape) == [int(d) for d in other.shape]
        assert tensor.num_elements == other.n_elements
        assert tensor.offset == other.data_offset
        assert tensor.num_bytes == other.n_bytes
        assert reader.read(tensor.name) == other.data.tobytes()


@pytest.mark.parametrize("alignment", [None, 8, 64, 4096])
def test_every_type_as_the_gguf_package_reads_it(tmp_path: Path, alignment: int | None) -> None:
    path = write_model(tmp_path / "m.gguf", alignment)
    reader = GGUFReader(path)
    assert reader.alignment == (alignment or 32)
    assert reader.version == 3
    assert reader.files == [str(path)]
    assert reader.total_bytes == path.stat().st_size
    assert_same(reader, gguf.GGUFReader(path))


def test_version_2_differs_only_in_its_number(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", 2)
    path.write_bytes(data)
    reader = GGUFReader(str(path))
    assert reader.version == 2
    assert_same(reader, gguf.GGUFReader(path))


def test_value_types_are_named(tmp_path: Path) -> None:
    reader = GGUFReader(write_model(tmp_path / "m.gguf"))
    for name, kind, _ in SCALARS:
        assert reader.value_type(f"scalar.{name}.0") == kind.name.lower()
        assert reader.value_type(f"array.{name}") == f"array[{kind.name.lower()}]"


def slow(name: str) -> Any:  # the package takes seconds for a large vocabulary
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name",
    ["bert-bge", slow("gemma-4"), slow("gpt-2"), slow("llama-bpe"), "llama-spm", slow("phi-3"),
     slow("qwen2")],
)  # fmt: skip
def test_real_vocabularies(shared: Path, name: str) -> None:
    path = shared / "vocab" / f"ggml-vocab-{name}.gguf"
    reader, theirs = GGUFReader(path), gguf.GGUFReader(path)
    for key in list(reader.keys()):
        field = theirs.fields[key]
        if field.types == [V.ARRAY, V.STRING]:
            raw = [bytes(field.parts[i]) for i in field.data]
            assert reader.string_array(key) == raw
            assert reader.get(key)[:100] == [t.decode() for t in raw[:100]]
        else:
            assert reader.get(key) == field.contents()


def test_a_real_model(shared: Path) -> None:
    path = shared / "models" / "stories260K.gguf"
    assert_same(GGUFReader(path), gguf.GGUFReader(path))


def test_a_vocabulary_of_256k_entries_is_read_within_a_fifth_of_a_second(shared: Path) -> None:
    def seconds() -> float:
        start = time.thread_time()
        reader = GGUFReader(shared / "vocab" / "ggml-vocab-gemma-4.gguf")
        assert len(reader.string_array("tokenizer.ggml.tokens")) == 262144
        return time.thread_time() - start

    assert min(seconds() for _ in range(3)) < 0.2


def test_text_that_is_not_utf8_is_bytes(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    texts = [b"ok", b"\xff\xfe", "ü".encode(), b"\xc3"]
    path.write_bytes(
        build([
            (b"a", raw_file.STRING, b"\x80"),
            (b"b", raw_file.ARRAY, (raw_file.STRING, texts)),
        ]).data
    )  # fmt: skip
    reader = GGUFReader(path)
    assert reader.get("a") == b"\x80"
    assert reader.get("b") == ["ok", b"\xff\xfe", "ü", b"\xc3"]
    assert reader.string_array("b") == texts


def test_keys_in_order_and_absent_ones(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(build([(b"z", raw_file.U8, 1), (b"a", raw_file.U8, 2)]).data)
    reader = GGUFReader(path)
    assert reader.keys() == ["z", "a"]
    assert "a" in reader
    assert "b" not in reader
    assert reader.get("b", None) is None
    with pytest.raises(KeyError, match="b"):
        reader.get("b")
    with pytest.raises(KeyError, match="w"):
        reader.read("w")
    with pytest.raises(GGUFError, match=r"'a' is uint8; it must be array\[string\]"):
        reader.string_array("a")


def test_parts_of_a_tensor(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(build(tensors=[Tensor("t", [25], 24, 0)], data_bytes=25).data)
    reader = GGUFReader(path)
    whole = reader.read("t")
    assert whole == path.read_bytes()[-25:]
    for begin in range(26):
        assert reader.read("t", begin) == whole[begin:]
        for n in range(26 - begin):
            assert reader.read("t", begin, n) == whole[begin : begin + n]
    for begin, n in [(0, 26), (25, 1), (26, 0), (2**63, 1), (1, 2**64 - 1)]:
        with pytest.raises(InvalidRequestError, match="it has 25 bytes"):
            reader.read("t", begin, n)


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    reader = GGUFReader(path)
    expected = {t.name: reader.read(t.name) for t in reader.tensors()}
    wrong: list[str] = []

    def work() -> None:
        for _ in range(30):
            wrong.extend(name for name, data in expected.items() if reader.read(name) != data)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Split sets.


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


# Files that are none.


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
