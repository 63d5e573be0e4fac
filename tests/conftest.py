"""Fixtures that every part of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The project's shared folder (models, vocabularies, tools); skips where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("PYSLM_SHARED", default))
    if not path.is_dir():
        pytest.skip(f"no shared folder at {path}; set PYSLM_SHARED")
    return path
