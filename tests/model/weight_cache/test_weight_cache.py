"""Packed weights on disk: used when nothing has changed, and never otherwise."""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import pytest
from embedded import embed
from reference.packed_entries import (
    IDS,
    assert_packed_afresh,
    entry,
    flip,
    load,
    logits,
    settled,
    truth,
)
from tiny_gguf import decoder_tensors, write_decoder, write_encoder

from pyslm import ModelFileError, _native

HEADER = struct.Struct("<8sQQQQQ")  # magic, manifest bytes, chunks, body offset, file bytes, sum


# --- used ---------------------------------------------------------------------------------------


def test_second_load_is_mapped_and_equal_to_the_bit(model: Path, cache: Path) -> None:
    first, origin = logits(model, cache)
    assert "there was no entry" in origin
    np.testing.assert_array_equal(first, truth(model))
    second, origin = logits(model, cache)
    assert origin == f"mapped from {entry(cache)}"
    np.testing.assert_array_equal(second, first)


def test_encoders_too(tmp_path: Path, cache: Path) -> None:
    model = settled(write_encoder(tmp_path / "encoder.gguf"))
    vectors = [embed(load(model, cache)[0], [IDS, IDS[:5]]) for _ in range(2)]
    assert load(model, cache)[1].startswith("mapped")
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_belongs_to_the_user_alone(model: Path, cache: Path) -> None:
    before = os.umask(0)
    try:
        load(model, cache)
    finally:
        os.umask(before)
    assert cache.stat().st_mode & 0o7777 == 0o700
    assert entry(cache).stat().st_mode & 0o7777 == 0o600


def test_a_mapped_entry_may_be_deleted(model: Path, cache: Path) -> None:
    load(model, cache)
    mapped, origin = load(model, cache)
    assert origin.startswith("mapped")
    shutil.rmtree(cache)
    np.testing.assert_array_equal(mapped.logits(IDS), truth(model))


# --- the key ------------------------------------------------------------------------------------


def rewrite(model: Path) -> None:
    tensors = decoder_tensors()
    write_decoder(model, tensors={"token_embd.weight": tensors["token_embd.weight"] * 2})


def append(model: Path) -> None:
    with model.open("ab") as file:
        file.write(bytes(32))


def copy_over(model: Path) -> None:
    status = model.stat()
    shutil.copyfile(model, model.with_suffix(".copy"))
    os.utime(model.with_suffix(".copy"), ns=(status.st_atime_ns, status.st_mtime_ns))
    model.with_suffix(".copy").replace(model)  # same bytes, size and mtime, another inode


@pytest.mark.parametrize("change", [os.utime, rewrite, append, copy_over])
def test_a_changed_file_is_packed_afresh(
    model: Path, cache: Path, change: Callable[[Path], None]
) -> None:
    load(model, cache)
    old = entry(cache)
    change(model)
    settled(model)
    assert_packed_afresh(model, cache, "there was no entry")
    if change is not copy_over:  # entries of an inode's past are removed
        assert entry(cache) != old
    assert load(model, cache)[1].startswith("mapped")


def test_every_part_of_a_split_file_counts(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "GGUFWriter", partial(gguf.GGUFWriter, split_max_tensors=15))
    write_decoder(tmp_path / "split.gguf")
    parts = sorted(tmp_path.glob("split-*.gguf"))
    assert len(parts) > 2
    settled(parts[0])
    load(parts[0], cache)
    assert load(parts[0], cache)[1].startswith("mapped")
    os.utime(parts[-1])
    settled(parts[0])
    assert_packed_afresh(parts[0], cache, "there was no entry")


def test_a_file_changed_a_moment_ago_is_not_stored(model: Path, cache: Path) -> None:
    """It may change once more within the same tick, and its times would not tell."""
    os.utime(model, (time.time() + 3600,) * 2)
    loaded, _ = load(model, cache)
    assert "changed a moment ago" in loaded.info["weight_cache"]
    assert not list(cache.iterdir())


def checksum64(data: bytes) -> int:
    """csrc/core/checksum.h, written a second time."""
    prime, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def step(lane: int, word: int) -> int:
        product = (lane ^ word) * prime & mask
        return (product << 29 | product >> 35) & mask

    lanes = [((i + 1) * prime & mask) ^ len(data) for i in range(8)]
    whole = len(data) // 64 * 64
    padded = data[:whole] + data[whole:].ljust(64, b"\0")
    for at in range(0, len(padded), 64):
        lanes = [
            step(lane, word)
            for lane, word in zip(lanes, struct.unpack_from("<8Q", padded, at), strict=True)
        ]
    result = 0
    for lane in lanes:
        result = step(result, lane)
    return result ^ result >> 32


def test_another_layout_version_is_packed_afresh(model: Path, cache: Path) -> None:
    load(model, cache)
    path = entry(cache)
    data = bytearray(path.read_bytes())
    magic, manifest_bytes, chunks, *places, stored = HEADER.unpack_from(data)
    end = HEADER.size + manifest_bytes

    def index_sum() -> int:
        header = HEADER.pack(magic, manifest_bytes, chunks, *places, 0)
        parts = (header, bytes(data[HEADER.size : end]), bytes(data[end : end + 24 * chunks]))
        return checksum64(struct.pack("<3Q", *map(checksum64, parts)))

    assert index_sum() == stored
    layout = data.index(b"\nlayout ") + len(b"\nlayout ")
    data[layout] ^= 1
    HEADER.pack_into(data, 0, magic, manifest_bytes, chunks, *places, index_sum())
    path.write_bytes(data)
    assert_packed_afresh(model, cache, "another version of pyslm")


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 9, 20, 47, 60, 200])
def test_a_damaged_index_is_packed_afresh(model: Path, cache: Path, at: int) -> None:
    load(model, cache)
    flip(entry(cache), at)
    assert_packed_afresh(model, cache, "it")
    assert load(model, cache)[1].startswith("mapped")  # replaced by a sound one


def test_a_damaged_body_fails_loudly_and_is_removed(model: Path, cache: Path) -> None:
    load(model, cache)
    flip(entry(cache), HEADER.unpack_from(entry(cache).read_bytes())[3] + 1000)
    damaged, origin = load(model, cache)
    assert origin.startswith("mapped")
    with pytest.raises(ModelFileError, match=r"damaged.*does not match its checksum.*load the"):
        damaged.logits(IDS)
    with pytest.raises(ModelFileError, match="damaged"):
        embed(damaged, [IDS])
    assert_packed_afresh(model, cache, "there was no entry")


@pytest.mark.parametrize("num_bytes", [0, 10, 47, 48, 500, 4096, -1])
def test_a_truncated_entry_is_packed_afresh(model: Path, cache: Path, num_bytes: int) -> None:
    load(model, cache)
    path = entry(cache)
    os.truncate(path, num_bytes if num_bytes >= 0 else path.stat().st_size - 1)
    assert_packed_afresh(model, cache, "it")
    assert load(model, cache)[1].startswith("mapped")


def test_verify_finds_and_removes_damage(model: Path, cache: Path, tmp_path: Path) -> None:
    load(model, cache)
    sound = entry(cache)
    other = settled(write_decoder(tmp_path / "other.gguf", "qwen3"))
    load(other, cache)
    (bad,) = set(cache.iterdir()) - {sound}
    flip(bad, bad.stat().st_size // 2)
    found = {name: problem for name, _, problem in _native.verify_weight_cache(cache, remove=True)}
    assert found[sound.name] == ""
    assert "checksum" in found[bad.name]
    assert entry(cache) == sound
