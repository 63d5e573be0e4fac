"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from pyslm.hub.embedded import FILE, embedded_folder

# The processes that tests start must find the installed package, not the source tree they run in.
os.environ.setdefault("PYTHONSAFEPATH", "1")
# Tests have no model but their own; those of the model in the package ask for it by a fixture. (The
# second variable is for the processes of pytest-xdist, which find the first already changed.)
os.environ.setdefault("PYSLM_TEST_NANO", os.environ.get("PYSLM_NANO", ""))
os.environ["PYSLM_NANO"] = "none"


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What others' code leaves open where its warnings are ignored is collected there, and not
    under some later test, which would fail of it."""
    ignores, goes_on = (
        each is not None and each.path == item.path and any(each.iter_markers("filterwarnings"))
        for each in (item, nextitem)
    )
    if ignores and not goes_on:
        gc.collect()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Sample models and vocabularies, which live outside the repository."""
    beside = Path(__file__).resolve().parent.parent.parent / "shared"
    path = Path(os.environ.get("PYSLM_SHARED") or beside)
    if not path.is_dir():
        pytest.skip(f"needs the folder of sample models; set PYSLM_SHARED (looked at {path.name})")
    return path


@pytest.fixture(scope="session")
def nano_file() -> Path:
    """The model that comes with the package, or the one of PYSLM_NANO in its place."""
    chosen = os.environ["PYSLM_TEST_NANO"]
    path = Path(chosen) if chosen else embedded_folder() / FILE
    if not path.is_file():
        pytest.skip(f"this pyslm comes without its model ({path.name} is not in the package)")
    return path


@pytest.fixture
def nano(nano_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, known by its name."""
    monkeypatch.setenv("PYSLM_NANO", str(nano_file))
    return nano_file
