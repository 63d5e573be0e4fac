"""A small real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stories import stories

from pyslm import LLM


@pytest.fixture(scope="module")
def path(shared: Path) -> Path:
    return stories(shared)


@pytest.fixture(scope="module")
def llm(path: Path) -> Iterator[LLM]:
    with LLM(path) as model:
        yield model
