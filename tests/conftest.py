"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# The processes that tests start must find the installed package, not the source tree they run in.
os.environ.setdefault("PYTHONSAFEPATH", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Sample models and vocabularies, which live outside the repository."""
    beside = Path(__file__).resolve().parent.parent.parent / "shared"
    path = Path(os.environ.get("PYSLM_SHARED") or beside)
    if not path.is_dir():
        pytest.skip(f"needs the folder of sample models; set PYSLM_SHARED (looked at {path.name})")
    return path
