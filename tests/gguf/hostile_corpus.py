"""Hostile GGUF files by the thousand, and a program that opens them.

Run as `python hostile_corpus.py CORPUS PATH` it writes each file of one corpus to PATH, opens it,
and at the end prints one line of JSON, {"loaded": n, "refused": n}. It ends with another status
than 0 where a file raises anything but GGUFError or UnsupportedModelError, or where opening one
takes more memory than 4 times the file and 64 MiB. The last file tried stays at PATH.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from raw_file import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    STRING,
    U8,
    U16,
    U32,
    U64,
    RawFile,
    Tensor,
    build,
)  # fmt: skip

VALUES = [0, 1, -1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
# Not in the list, but where off-by-one errors and type confusions live.
MORE_VALUES = [2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 30, 31, 33, 64, 256, 2**16, 2**31 - 1, 2**32,
               2**61, 2**62, 2**63 - 1, 2**64 - 31, 2**64 - 32]  # fmt: skip


def sample() -> RawFile:
    """A small file with every kind of field: each value type, arrays of each, four tensors."""
    numbers = {U8: 7, I8: -7, U16: 7, I16: -7, U32: 7, I32: -7, U64: 7, I64: -7, F32: 0.5,
               F64: 0.25, BOOL: 1}  # fmt: skip
    metadata = [
        (b"general.architecture", STRING, b"llama"),
        (b"general.alignment", U32, 32),
        *((b"scalar.%d" % type_, type_, value) for type_, value in numbers.items()),
        *((b"array.%d" % type_, ARRAY, (type_, [value] * 3)) for type_, value in numbers.items()),
        (b"tokenizer.ggml.tokens", ARRAY, (STRING, [b"<s>", b"", b"\xff", b"abc"])),
    ]
    tensors = [
        Tensor("a.weight", [32, 2], 0, 0),
        Tensor("b.weight", [32, 2, 1, 1], 2, 256),
        Tensor("c.weight", [256], 12, 320),
        Tensor("d.weight", [3, 3], 1, 480),
    ]
    return build(metadata, tensors, data_bytes=512)


def one_field_changed(values: list[int]) -> Iterator[bytes]:
    file = sample()
    for field in file.fields:
        for value in values:
            yield patched(file.data, field.offset, field.width, value)


def patched(data: bytes | bytearray, offset: int, width: int, value: int) -> bytes:
    cut = value % 2 ** (8 * width)
    return bytes(data[:offset]) + cut.to_bytes(width, "little") + bytes(data[offset + width :])


def fields() -> Iterator[bytes]:
    yield from one_field_changed(VALUES)
    yield from one_field_changed(MORE_VALUES)


def truncated() -> Iterator[bytes]:
    data = bytes(sample().data)
    for end in range(len(data)):
        yield data[:end]


def several_fields(count: int = 12_000) -> Iterator[bytes]:
    """Two to four fields changed at once, so that one lie covers for another."""
    rng = random.Random(1)
    file = sample()
    for _ in range(count):
        data = bytes(file.data)
        for field in rng.sample(file.fields, rng.randint(2, 4)):
            value = rng.choice([*VALUES, *MORE_VALUES, rng.getrandbits(64)])
            data = patched(data, field.offset, field.width, value)
        yield data[: rng.randint(0, len(data))] if rng.random() < 0.1 else data


def bytes_changed(count: int = 6_000) -> Iterator[bytes]:
    rng = random.Random(2)
    original = bytes(sample().data)
    end_of_index = len(original) - 512
    for _ in range(count):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(end_of_index)] = rng.choice(
                [0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)]
            )
        yield bytes(data)


def spliced(count: int = 2_000) -> Iterator[bytes]:
    """A stretch of the file cut out, doubled or moved."""
    rng = random.Random(3)
    original = bytes(sample().data)
    for _ in range(count):
        begin, end, to = sorted(rng.randrange(len(original)) for _ in range(3))
        piece = original[begin:end]
        yield rng.choice([
            original[:begin] + original[end:],
            original[:end] + piece + original[end:],
            original[:to] + piece + original[to:],
        ])  # fmt: skip


MILLION = 1 << 20


def amplifying() -> Iterator[bytes]:
    """Files of 8 to 17 MiB whose every byte asks for as much memory as it can."""
    n = 8 * MILLION
    head = build([], num_keys=1).data
    key = (1).to_bytes(8, "little") + b"k"

    def array(element: int, count: int) -> bytes:
        return (
            bytes(head)
            + key
            + (ARRAY).to_bytes(4, "little")
            + element.to_bytes(4, "little")
            + count.to_bytes(8, "little")
        )

    yield array(U8, n) + bytes(n)
    yield array(U8, 2 * n) + bytes(2 * n)
    yield array(BOOL, 2 * n) + bytes(2 * n)
    yield array(STRING, n // 8) + bytes(n)  # empty strings
    yield array(STRING, n // 9) + ((1).to_bytes(8, "little") + b"x") * (n // 9)
    yield array(STRING, 1) + n.to_bytes(8, "little") + bytes(n)
    yield array(STRING, 2) + 2 * (n.to_bytes(8, "little") + bytes(n))
    many = 60_000
    keys = b"".join(
        (5).to_bytes(8, "little") + b"%05d" % i + (U8).to_bytes(4, "little") + b"\0"
        for i in range(many)
    )
    yield bytes(build([], num_keys=many).data) + keys
    yield bytes(build([], num_keys=n // 18).data) + bytes(n)
    tensors = [Tensor(f"{i:x}", [1], 24, 8 * i) for i in range(many)]
    yield bytes(
        build([(b"general.alignment", U32, 8)], tensors, data_bytes=8 * many, alignment=8).data
    )
    yield bytes(build([], num_tensors=n // 33).data) + bytes(n)


CORPORA: dict[str, Callable[[], Iterator[bytes]]] = {
    "fields": fields,
    "truncated": truncated,
    "several_fields": several_fields,
    "bytes_changed": bytes_changed,
    "spliced": spliced,
    "amplifying": amplifying,
}


def virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limit_memory(file_bytes: int) -> None:
    """Makes the allocator fail beyond 4 times the file and 64 MiB (a MemoryError is not caught)."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (virtual_bytes() + 4 * file_bytes + (64 << 20), hard))


def main(corpus: str, path: str) -> None:
    from pyslm._native import GGUFReader
    from pyslm.errors import GGUFError, UnsupportedModelError

    sanitized = "asan" in os.environ.get("LD_PRELOAD", "")  # its shadow memory defies RLIMIT_AS
    counts = {"loaded": 0, "refused": 0}
    for i, data in enumerate(CORPORA[corpus]()):
        with open(path, "wb") as file:
            file.write(data)
        # Each large file against its own size; the small ones against the first's.
        if not sanitized and (i == 0 or len(data) > MILLION):
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            limit_memory(len(data))
        del data
        try:
            reader = GGUFReader(path)
            if corpus != "amplifying":  # there Python's own objects would take the memory
                for key in list(reader.keys()):
                    reader.get(key)
                    reader.value_type(key)
                for tensor in reader.tensors():
                    assert len(reader.read(tensor.name)) == tensor.num_bytes
            counts["loaded"] += 1
            del reader
        except (GGUFError, UnsupportedModelError) as error:
            if len(str(error)) > 2000:
                raise RuntimeError("a message of unbounded length") from error
            counts["refused"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
