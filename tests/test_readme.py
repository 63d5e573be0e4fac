"""The README says what the code says."""

from __future__ import annotations

import importlib.util
import json
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


def test_the_model_in_the_package_is_told_by_its_report(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr(tables, "REPORT", tmp_path / "report.json")
    without = tables.updated(readme)
    assert "## nano" not in without
    assert "pyslm run MODEL.gguf" in without.partition("## Run")[2][:200]
    measures = {
        "routing": {"wanted": 0.95, "constrained": [9, 10], "free": [8, 10]},
        "two calls": {"wanted": 0.85, "constrained": [0, 0], "free": [0, 0]},
    }
    blind = {"routing": [14, 20], "two calls": [0, 0]}
    told = {
        "parameters": 5_344_640, "bytes": 5_880_992, "context": 4096, "begun_with": None,
        "commit": "abcdef0123",
        "seed": 7, "steps": 100, "tokens": 409_600, "nearness": {"dimensions": 48},
        "evaluation": {"cases": 12, "measures": measures},
        "blind": {"measures": {name: {"constrained": share} for name, share in blind.items()}},
    }  # fmt: skip
    tables.REPORT.write_text(json.dumps(told))
    written = tables.updated(without)
    assert (
        "| routing | 95% | 90.0% of 10 | 80.0% of 10 | 70.0% of 20 |\n"
        "| two calls | 85% | none | none | none |" in written
    )
    said = " ".join(written.split())
    for fact in ("5.3 million parameters and, for how near texts are", "48 numbers a token, 5.9 MB",
                 "12 requests", "100 steps of 4,096 tokens"):  # fmt: skip
        assert fact in said
    tables.REPORT.write_text(json.dumps(told | {"nearness": None}))
    assert "5.3 million parameters, 5.9 MB" in tables.updated(without)
    tables.REPORT.write_text(json.dumps(told))
    assert "--tools demo" in written.partition("## Run")[2][:200]
    assert tables.updated(written) == written
    tables.REPORT.unlink()
    assert tables.updated(written) == without
