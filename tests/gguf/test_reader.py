"""The native reader against the reader and writer of the package `gguf` (contract A2)."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path
from typing import Any

import gguf
import pytest
import raw_file
from raw_file import Tensor, build
from written_model import SCALARS, V, write_model

from pyslm._native import GGUFReader
from pyslm.errors import (
    GGUFError,
    InvalidRequestError,
)


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
