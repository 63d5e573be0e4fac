"""The README says what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_current(tables: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert tables.updated(readme) == readme, "run: python benchmarks/tables.py --write"


def test_links_lead_to_files() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text("utf-8")):
            assert (ROOT / target).exists(), f"{page} links to {target}"


def test_verbs_of_the_readme_exist() -> None:
    from typer.main import get_command

    from pyslm.cli.app import build_app

    commands = get_command(build_app()).commands  # type: ignore[attr-defined]
    verbs = {name for name, command in commands.items() if not command.hidden}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = readme.partition("lists the other verbs:")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", listed)) | {"run"} == verbs
