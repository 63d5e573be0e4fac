"""A model, and a cache for its packed weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference.packed_entries import settled
from tiny_gguf import write_decoder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return settled(write_decoder(tmp_path / "model.gguf"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "packed"
