"""Packed weights on disk: how much, and where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from reference.packed_entries import (
    assert_packed_afresh,
    entry,
    load,
    settled,
)
from tiny_gguf import write_decoder

from pyslm import LLM, InvalidRequestError
from pyslm.weight_cache import cache_directory, cache_options

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
