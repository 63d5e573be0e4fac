"""Packed weights on disk: who else may write there, several processes, interruptions."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from reference.packed_entries import (
    assert_packed_afresh,
    cache_name,
    entry,
    load,
    settled,
    start,
    truth,
)
from tiny_gguf import HIDDEN, write_decoder

from pyslm import _native

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


def test_a_linked_directory_is_refused(model: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.parent.mkdir()
    cache.symlink_to(tmp_path / "elsewhere")
    assert_packed_afresh(model, cache, "cannot open the directory")
    assert not list((tmp_path / "elsewhere").iterdir())


# --- several at once, and interruptions -----------------------------------------------------------


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
