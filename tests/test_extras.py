"""Without an extra, what needs it says so in one line; all the rest works."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pyslm.errors import AgentConfigError, InvalidRequestError
from pyslm.extras import PACKAGES, check_extra

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
GONE = {name for names in PACKAGES.values() for name in names}
# A plain installation, as Python sees it: it finds nothing that an extra brings.
BARE = f"""
import importlib.machinery, json, sys

GONE = {sorted(GONE)}
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = (
    lambda name, *rest: None if name.partition(".")[0] in GONE else find(name, *rest)
)
"""


def bare(code: str) -> Any:
    """What a program prints as JSON in its last line, run where no extra is installed."""
    done = subprocess.run(
        [sys.executable, "-c", BARE + code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def distribution(requirement: str) -> str:
    """The name in a requirement, as packages are compared."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=\[;]", requirement)[0]).lower()


def declared(extra: str, extras: dict[str, list[str]]) -> set[str]:
    """The packages of an extra and of those that it includes."""
    found: set[str] = set()
    for requirement in extras[extra]:
        included = re.match(r"pyslm\[(.*?)\]", requirement)
        if included is None:
            found.add(distribution(requirement))
        else:
            found |= {name for each in included[1].split(",") for name in declared(each, extras)}
    return found


@pytest.mark.parametrize("extra", PACKAGES)
def test_what_an_extra_must_bring_is_declared(extra: str) -> None:
    if not PYPROJECT.is_file():
        pytest.skip("the tests run without the source tree")
    extras = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    installed = importlib.metadata.packages_distributions()
    names = declared(extra, extras["optional-dependencies"])
    for package in PACKAGES[extra]:
        brought_by = {distribution(name) for name in installed.get(package, [])}
        # What is not installed cannot be looked up; mcp brings mcp_types, the core the framework.
        assert not brought_by or brought_by & (names | {"mcp-types"}), package


def test_an_extra_that_is_there_is_passed_over() -> None:
    check_extra("serve", "this test")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "serve", ("json", "no_such_package"))
    told = r"^this test needs no_such_package, .*; run: pip install 'pyslm\[serve\]'$"
    with pytest.raises(InvalidRequestError, match=told):
        check_extra("serve", "this test")
    with pytest.raises(AgentConfigError, match=told):
        check_extra("serve", "this test", AgentConfigError)


def test_public_names_work_or_name_their_extra() -> None:
    found = bare("""
import pyslm, pyslm.guide

def told(get):
    try:
        get()
    except pyslm.AgentConfigError as error:
        return str(error)

found = {name: told(lambda: getattr(pyslm, name)) for name in pyslm.__all__}
for name in pyslm.guide.__all__:
    found["guide." + name] = told(lambda: getattr(pyslm.guide, name))
found["guide.install()"] = told(pyslm.guide.install)
print(json.dumps(found))
""")
    assert found["LLM"] is None
    assert found["AsyncLLM"] is None
    assert found["Agent"] is None
    assert "pip install 'pyslm[guide]'" in found["guide.FoundryLocalManager"]
    assert "pip install 'pyslm[guide]'" in found["guide.VLLMProductionService"]
    assert "pip install 'pyslm[guide]'" in found["guide.install()"]
    assert not [said for said in found.values() if said and "\n" in said]


def test_help_of_each_verb_and_group_needs_no_extra() -> None:
    found = bare("""
import contextlib, io, typer
from pyslm.cli import invoke
from pyslm.cli.app import build_app

def lines(command, path):
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from lines(each, [*path, name])

found = {}
for path in lines(typer.main.get_command(build_app()), []):
    with contextlib.redirect_stdout(io.StringIO()) as told:
        code = invoke([*path, "--help"])
    found[" ".join(path)] = [code, "Usage: pyslm" in told.getvalue()]
print(json.dumps(found))
""")
    assert {"", "run", "serve", "agent run", "audit verify", "finetune"} <= set(found)
    assert all(each == [0, True] for each in found.values()), found


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["serve"], "serve"),
        (["keys", "list"], "serve"),
        (["finetune", "tools.json", "--base", "a", "--out", "b"], "train"),
    ],
)
def test_verbs_name_their_extra_in_one_line(arguments: list[str], extra: str) -> None:
    code, told = bare(f"""
import contextlib, io
from pyslm.cli import invoke

with contextlib.redirect_stderr(io.StringIO()) as told:
    code = invoke({arguments!r})
print(json.dumps([code, told.getvalue()]))
""")
    assert code == 2
    assert re.fullmatch(rf"pyslm: error: .* run: pip install 'pyslm\[{extra}\]'\n", told)
