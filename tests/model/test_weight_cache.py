"""Packed weights on disk: used when nothing has changed, and never otherwise."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from embedded import embed
from tiny_gguf import HIDDEN, decoder_tensors, write_decoder, write_encoder

from pyslm import LLM, InvalidRequestError, ModelFileError, _native
from pyslm.weight_cache import cache_directory, cache_options

IDS = np.arange(1, 40, dtype=np.int32)
HEADER = struct.Struct("<8sQQQQQ")  # magic, manifest bytes, chunks, body offset, file bytes, sum
LOAD = """
import sys, numpy as np
from pyslm import _native
model = _native.Model(sys.argv[1], context_length=64, threads=1, weight_cache=sys.argv[2])
model.settle_weight_cache(60)
print(model.logits(np.arange(1, 40, dtype=np.int32)).tobytes().hex())
"""


def settled(path: Path) -> Path:
    """Past the tick of the file system's clock: younger files are not stored."""
    time.sleep(0.05)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return settled(write_decoder(tmp_path / "model.gguf"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "packed"


def load(model: Path, cache: Path, **options: Any) -> tuple[_native.Model, str]:
    """A model, and where its weights came from, before anything was stored."""
    loaded = _native.Model(str(model), context_length=64, threads=2, weight_cache=cache, **options)
    origin = loaded.info["weight_cache"]
    assert loaded.settle_weight_cache(60)
    return loaded, origin


def logits(model: Path, cache: Path, **options: Any) -> tuple[npt.NDArray[np.float32], str]:
    loaded, origin = load(model, cache, **options)
    return loaded.logits(IDS), origin


def truth(model: Path) -> npt.NDArray[np.float32]:
    return _native.Model(str(model), context_length=64, threads=2).logits(IDS)


def entry(cache: Path) -> Path:
    (found,) = cache.iterdir()
    assert found.suffix == ".packed"
    return found


def assert_packed_afresh(model: Path, cache: Path, reason: str) -> None:
    values, origin = logits(model, cache)
    assert origin.startswith("packed; ")
    assert reason in origin
    np.testing.assert_array_equal(values, truth(model))


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


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


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


# --- who else may write there -------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o400, 0o4600])
def test_an_entry_of_another_mode_is_refused(model: Path, cache: Path, mode: int) -> None:
    load(model, cache)
    entry(cache).chmod(mode)
    assert_packed_afresh(model, cache, "mode")


def test_a_directory_open_to_others_is_refused(model: Path, cache: Path) -> None:
    cache.mkdir(parents=True, mode=0o755)
    assert_packed_afresh(model, cache, "mode 0755; allowed: 0700")
    assert not list(cache.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("whole_directory", [False, True])
def test_another_owner_is_refused(model: Path, cache: Path, whole_directory: bool) -> None:
    load(model, cache)
    os.chown(cache if whole_directory else entry(cache), 65534, -1)
    assert_packed_afresh(model, cache, "belongs to user 65534")


def test_an_entry_with_two_names_is_refused(model: Path, cache: Path, tmp_path: Path) -> None:
    load(model, cache)
    os.link(entry(cache), tmp_path / "second")
    assert_packed_afresh(model, cache, "2 names")


@pytest.mark.parametrize("suffix", ["", ".tmp"])
def test_a_planted_link_is_not_followed(
    model: Path, cache: Path, tmp_path: Path, suffix: str
) -> None:
    load(model, cache)
    victim = tmp_path / "victim"
    entry(cache).rename(victim)
    before = victim.read_bytes()
    name = cache_name(model, tmp_path)
    (cache / (name + suffix)).symlink_to(victim)
    assert_packed_afresh(model, cache, "" if suffix else "cannot open")
    assert victim.read_bytes() == before


def cache_name(model: Path, tmp_path: Path) -> str:
    load(model, tmp_path / "name" / "packed")
    return entry(tmp_path / "name" / "packed").name


def test_a_linked_directory_is_refused(model: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.parent.mkdir()
    cache.symlink_to(tmp_path / "elsewhere")
    assert_packed_afresh(model, cache, "cannot open the directory")
    assert not list((tmp_path / "elsewhere").iterdir())


# --- several at once, and interruptions -----------------------------------------------------------


def start(model: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(model), str(cache)], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_at_once(model: Path, cache: Path) -> None:
    running = [start(model, cache) for _ in range(2)]
    results = [process.communicate(timeout=60)[0].strip() for process in running]
    assert results == [truth(model).tobytes().hex()] * 2
    assert entry(cache)
    assert load(model, cache)[1].startswith("mapped")


def test_another_writer_is_left_alone(model: Path, cache: Path, tmp_path: Path) -> None:
    name = cache_name(model, tmp_path)
    cache.mkdir(parents=True, mode=0o700)
    with (cache / f"{name}.tmp").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        loaded, _ = load(model, cache)
    assert "another process is storing it" in loaded.info["weight_cache"]
    assert [path.name for path in cache.iterdir()] == [f"{name}.tmp"]
    load(model, cache)  # its writer is gone without having finished
    assert entry(cache).name == name


@pytest.mark.parametrize("delay", [0, 0.01, 0.03])
def test_kill_while_writing_leaves_no_half_entry(tmp_path: Path, cache: Path, delay: float) -> None:
    embeddings = np.zeros((150_000, HIDDEN), np.float32)
    model = settled(
        write_decoder(tmp_path / "model.gguf", tensors={"token_embd.weight": embeddings})
    )
    process = start(model, cache)
    while process.poll() is None and not (cache.exists() and list(cache.iterdir())):
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert all(problem == "" for *_, problem in _native.verify_weight_cache(cache, remove=False))
    load(model, cache)
    assert entry(cache)  # and what was left is gone
    assert load(model, cache)[1].startswith("mapped")


# --- bounds -------------------------------------------------------------------------------------


def test_the_entry_used_longest_ago_makes_room(cache: Path, tmp_path: Path) -> None:
    models = [settled(write_decoder(tmp_path / f"{i}.gguf")) for i in range(4)]
    load(models[0], cache)
    size = entry(cache).stat().st_size
    limit = 3 * size + 100
    names = {}
    for i, model in enumerate(models[:3]):
        before = {path.name for path in cache.iterdir()}
        load(model, cache, weight_cache_limit=limit)
        names[i] = ({path.name for path in cache.iterdir()} - before) or before
    load(models[0], cache)  # used again: model 1 is now the oldest
    load(models[3], cache, weight_cache_limit=limit)
    left = {path.name for path in cache.iterdir()}
    assert len(left) == 3
    assert names[0] <= left
    assert not names[1] & left
    assert sum(path.stat().st_size for path in cache.iterdir()) <= limit


def test_entries_in_use_are_not_removed(model: Path, cache: Path, tmp_path: Path) -> None:
    load(model, cache)
    mapped, _ = load(model, cache)
    other, _ = load(
        settled(write_decoder(tmp_path / "other.gguf")),
        cache,
        weight_cache_limit=entry(cache).stat().st_size + 100,
    )
    assert "other models in use" in other.info["weight_cache"]
    assert entry(cache)
    del mapped


def test_an_entry_larger_than_the_cache_is_not_stored(model: Path, cache: Path) -> None:
    loaded, _ = load(model, cache, weight_cache_limit=1000)
    assert "the cache may hold" in loaded.info["weight_cache"]
    assert not list(cache.iterdir())


def test_a_place_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_packed_afresh(model, tmp_path / "file" / "packed", "cannot make the directory")
    assert_packed_afresh(model, Path("/proc/self/pyslm"), "cannot make the directory")
    assert_packed_afresh(model, Path("~/.cache"), "not an absolute path")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_parent(model: Path, cache: Path) -> None:
    cache.parent.mkdir(mode=0o500)
    assert_packed_afresh(model, cache, "cannot make the directory")
    assert not list(cache.parent.iterdir())


# --- options ------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PYSLM_CACHE_DIR", str(tmp_path / "chosen"))
    return tmp_path / "chosen" / "packed"


def test_small_files_only_when_asked(shared: Path, environment: Path) -> None:
    path = shared / "models" / "stories260K.gguf"
    for option, wanted in ((None, "below"), (False, "off"), (True, "no entry"), (True, "mapped")):
        with LLM(path, weight_cache=option) as llm:
            assert wanted in llm.info.weight_cache
        assert environment.exists() == (option is True)


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, environment: Path) -> None:
    assert cache_directory() == environment
    monkeypatch.delenv("PYSLM_CACHE_DIR")
    assert cache_directory().parts[-2:] == ("pyslm", "packed")


def test_a_bad_bound_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLM_CACHE_MAX_BYTES", "20 GB")
    with pytest.raises(InvalidRequestError, match="PYSLM_CACHE_MAX_BYTES is '20 GB'"):
        cache_options(None)
