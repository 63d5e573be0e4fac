"""Files made to break the reader: none may crash it, hang it or make it take much memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile_corpus import CORPORA, sample
from raw_file import ARRAY, BOOL, F32, I32, STRING, U8, U16, U32, U64, Tensor, build

import pyslm
from pyslm._native import GGUFReader
from pyslm.errors import GGUFError, UnsupportedModelError

PACKAGE_PARENT = Path(pyslm.__file__).parents[1]  # the child runs the pyslm that we do


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs memfd, /proc and RLIMIT_AS")
@pytest.mark.parametrize(
    ("corpus", "least_files", "least_loaded"),
    [
        ("fields", 4500, 1000),
        ("truncated", 1500, 10),
        ("several_fields", 12000, 300),
        ("bytes_changed", 6000, 500),
        ("spliced", 2000, 100),
        ("amplifying", 11, 6),
    ],
)
def test_corpus_loads_or_is_refused(
    tmp_path: Path, corpus: str, least_files: int, least_loaded: int
) -> None:
    """Thousands of files in a process of their own, whose death by a signal we would see."""
    script = Path(__file__).with_name("hostile_corpus.py")
    env = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join(
            [str(PACKAGE_PARENT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        ),
    )
    memory = os.memfd_create("hostile.gguf")  # a disk would take longer than the reader
    done = subprocess.run(
        [sys.executable, script, corpus, f"/proc/self/fd/{memory}"],
        capture_output=True, text=True, env=env, timeout=240, check=False, pass_fds=[memory],
    )  # fmt: skip
    if done.returncode != 0:
        culprit = tmp_path / "hostile.gguf"
        with open(memory, "rb") as file:
            culprit.write_bytes(file.read())
        killed_by = signal.Signals(-done.returncode).name if done.returncode < 0 else "an exception"
        pytest.fail(f"ended by {killed_by} on {culprit}\n{done.stderr[-3000:]}")
    os.close(memory)
    counts = json.loads(done.stdout)
    assert counts["loaded"] + counts["refused"] >= least_files
    # Were nothing loaded, the corpus would test the first check only.
    assert counts["loaded"] >= least_loaded


def test_the_unharmed_sample_loads(tmp_path: Path) -> None:
    assert len(CORPORA) == 6
    path = tmp_path / "m.gguf"
    path.write_bytes(sample().data)
    reader = GGUFReader(path)
    assert len(reader.keys()) == 25
    assert len(reader.tensors()) == 4


def nested_arrays(depth: int) -> bytes:
    level = ARRAY.to_bytes(4, "little") + (1).to_bytes(8, "little")
    head = (
        build([], num_keys=1).data + (1).to_bytes(8, "little") + b"k" + ARRAY.to_bytes(4, "little")
    )
    return bytes(head) + level * depth


def tensor_file(*tensors: Tensor, data_bytes: int = 1024, **options: Any) -> bytes:
    return bytes(build(tensors=tensors, data_bytes=data_bytes, **options).data)


def key_file(*metadata: tuple[bytes, int, Any]) -> bytes:
    return bytes(build(metadata).data)


W = Tensor("w", [8], 0, 0)
HUGE_STRING = bytes(build([(b"k", STRING, b"abc")]).data)[:-11] + b"\xff" * 8 + b"abc"
REFUSED = {
    # case: (file, what the message says)
    "empty": (b"", r"offset 0, header: the file is empty"),
    "three bytes": (b"GGU", r"not a GGUF file: it has only 3 bytes"),
    "another format": (
        b"PK\x03\x04" + bytes(99),
        r"begins with 50 4b 03 04 'PK\\x03\\x04', not with",
    ),
    "only the magic": (b"GGUF", r"the file is truncated: 4 bytes are needed at offset 4"),
    "version 0": (
        bytes(build(version=0).data),
        r"offset 4, header: GGUF version 0; supported: 2 and 3",
    ),
    "n_tensors": (
        bytes(build(num_tensors=2**64 - 1).data),
        r"offset 8, tensor count: 18446744073709551615 t",
    ),
    "n_kv": (
        bytes(build(num_keys=2**63).data),
        r"offset 16, key count: 9223372036854775808 keys cannot fit",
    ),
    "key count": (bytes(build(num_keys=65537).data) + bytes(10**6), r"65537 keys; allowed: 65536"),
    "key length": (
        key_file((b"k" * 65537, U8, 1)),
        r"key 0: a string of 65537 bytes; allowed here: 65536",
    ),
    "empty key": (
        key_file((b"", U8, 1), (b"k", STRING, b"text")),
        r"key 0: the name of the key is empty",
    ),
    "binary key": (key_file((b"a\x1b[2J", U8, 1)), r"'a\\x1b\[2J' is not printable ASCII"),
    "not UTF-8 key": (key_file((b"a\xff", U8, 1)), r"'a\\xff' is not printable ASCII"),
    "key twice": (key_file((b"k", U8, 1), (b"k", U8, 1)), r"key 'k': the key occurs twice"),
    "value type": (
        bytes(build([(b"k", U8, 1)]).data).replace(b"k\0", b"k\x0d"),
        r"key 'k': value type 13;",
    ),
    "string length": (
        HUGE_STRING,
        r"key 'k': 18446744073709551615 string bytes cannot fit in the 3 ",
    ),
    "bool": (key_file((b"k", BOOL, 2)), r"key 'k': a bool of value 2; allowed: 0 and 1"),
    "bool array": (key_file((b"k", ARRAY, (BOOL, [1, 0, 9]))), r"key 'k': a bool of value 9"),
    "array wrap": (
        key_file((b"k", ARRAY, (U64, [])))[:-8] + (2**61).to_bytes(8, "little") + bytes(64),
        r"key 'k': 2305843009213693952 array elements cannot fit in the 64 bytes",
    ),
    "string array": (
        key_file((b"k", ARRAY, (STRING, [])))[:-8] + (9).to_bytes(8, "little") + bytes(64),
        r"key 'k': 9 strings cannot fit in the 64 bytes",
    ),
    "alignment 0": (
        key_file((b"general.alignment", U32, 0)),
        r"alignment 0; allowed: powers of two from 8",
    ),
    "alignment 4": (key_file((b"general.alignment", U32, 4)), r"alignment 4; allowed"),
    "alignment 48": (key_file((b"general.alignment", U32, 48)), r"alignment 48; allowed"),
    "alignment 2^31": (
        key_file((b"general.alignment", U32, 2**31)),
        r"alignment 2147483648; allowed",
    ),
    "alignment type": (key_file((b"general.alignment", U64, 32)), r"is uint64, must be uint32"),
    "alignment array": (
        key_file((b"general.alignment", ARRAY, (U32, [32]))),
        r"is array\[uint32\], must",
    ),
    "tensor name length": (
        tensor_file(Tensor("w" * 65537, [8], 0, 0)),
        r"tensor 0: a string of 65537 bytes",
    ),
    "empty tensor name": (tensor_file(Tensor("", [8], 0, 0)), r"the name of the tensor is empty"),
    "tensor name": (tensor_file(Tensor("w\n", [8], 0, 0)), r"'w\\x0a' is not printable ASCII"),
    "tensor twice": (tensor_file(W, Tensor("w", [8], 0, 32)), r"tensor 'w' occurs twice"),
    "no dims": (tensor_file(Tensor("w", [], 0, 0)), r"tensor 'w': 0 dimensions; allowed: 1 to 4"),
    "five dims": (
        tensor_file(Tensor("w", [1] * 5, 0, 0)),
        r"tensor 'w': 5 dimensions; allowed: 1 to 4",
    ),
    "dim 0": (
        tensor_file(Tensor("w", [8, 0], 0, 0)),
        r"tensor 'w': dimension 1 is 0; allowed: at least 1",
    ),
    "dim -1": (
        tensor_file(Tensor("w", [2**64 - 1], 0, 0)),
        r"tensor 'w': dimension 0 is 18446744073709551615",
    ),
    "product wraps": (
        tensor_file(Tensor("w", [2**32, 2**32], 24, 0)),
        r"tensor 'w': dimension 1 is 4294967296",
    ),
    "product wraps to 8": (
        tensor_file(Tensor("w", [2**31 + 4, 2, 2**32, 2**31], 24, 0)),
        r"tensor 'w': dimension \d is \d+",
    ),
    "bytes wrap": (
        tensor_file(Tensor("w", [2**60], 28, 0)),
        r"9223372036854775808 bytes .* beyond the 1024 bytes",
    ),
    "ragged blocks": (
        tensor_file(Tensor("w", [33], 2, 0)),
        r"rows of 33 elements; Q4_0 needs a multiple of 32",
    ),
    "ragged rows": (
        tensor_file(Tensor("w", [16, 2], 2, 0)),
        r"rows of 16 elements; Q4_0 needs a multiple of 32",
    ),
    "misaligned": (
        tensor_file(Tensor("w", [8], 0, 4)),
        r"offset 4 is not a multiple of the alignment 32",
    ),
    "offset wraps": (
        tensor_file(Tensor("w", [16], 0, 2**64 - 32)),
        r"64 bytes at data offset 18446744073709551584 reach beyond",
    ),
    "one byte short": (
        tensor_file(W, data_bytes=31),
        r"32 bytes at data offset 0 reach beyond the 31 bytes",
    ),
    "no data": (
        tensor_file(W, data_bytes=0),
        r"tensor 'w': its 32 bytes .* is the file truncated\?",
    ),
    "extent": (
        tensor_file(Tensor("w", [249], 0, 32)),
        r"996 bytes at data offset 32 reach beyond the 1024",
    ),
    "overlap": (
        tensor_file(Tensor("a", [16], 0, 0), Tensor("b", [8], 0, 32)),
        r"'b': its data .* overlaps that of tensor 'a'",
    ),
    "same place": (
        tensor_file(Tensor("a", [8], 0, 0), Tensor("b", [8], 0, 0)),
        r"overlaps that of tensor",
    ),
    "part without siblings": (
        key_file((b"split.no", U16, 0), (b"split.count", U16, 3)),
        r"one of the 3 parts of a split model, but",
    ),
    "split.count": (
        key_file((b"split.count", I32, -1)),
        r"key 'split.count' must be an integer from 0 to 99999",
    ),
    "split.count type": (
        key_file((b"split.count", F32, 2.0)),
        r"key 'split.count' must be an integer",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_offset_name_and_rule(tmp_path: Path, case: str) -> None:
    data, message = REFUSED[case]
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(GGUFError, match=message) as caught:
        GGUFReader(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(build(version=1).data), r"GGUF version 1; supported: 2 and 3"),
        (bytes(build(version=4).data), r"GGUF version 4; supported: 2 and 3"),
        (bytes(build(version=3 << 24).data), r"big-endian"),
        (nested_arrays(1), r"key 'k': an array of arrays; supported"),
        (nested_arrays(100_000), r"key 'k': an array of arrays; supported"),
        (
            tensor_file(Tensor("w", [32], 4, 0)),
            r"tensor 'w': tensor type 4 \(unknown\); supported: F32",
        ),
        (tensor_file(Tensor("w", [32], 2**32 - 1, 0)), r"tensor type 4294967295 \(unknown\)"),
    ],
)
def test_unsupported(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(UnsupportedModelError, match=message):
        GGUFReader(path)


def test_extents_that_just_fit_load(tmp_path: Path) -> None:
    """The neighbours of the refused cases, so that no check is too strict."""
    path = tmp_path / "m.gguf"
    for data in [
        tensor_file(W, data_bytes=32),
        tensor_file(Tensor("w", [248], 0, 32)),
        tensor_file(Tensor("a", [16], 0, 32), Tensor("b", [8], 0, 0)),
        tensor_file(Tensor("w", [1, 1, 1, 1], 0, 1020 // 32 * 32)),
        tensor_file(Tensor("w" * 65536, [8], 0, 0)),
        key_file((b"k" * 65536, U8, 1), (b"K", U8, 1)),
        key_file((b"general.alignment", U32, 2**20)),
        key_file((b"k", ARRAY, (STRING, [])), (b"l", ARRAY, (U64, [])), (b"m", STRING, b"")),
        key_file((b"split.count", U16, 1), (b"split.no", U16, 0)),
        bytes(build().data),
    ]:
        path.write_bytes(data)
        GGUFReader(path)
