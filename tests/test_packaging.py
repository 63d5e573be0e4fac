"""What a user installs: stubs that match the native core, metadata, and nothing else."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
from pathlib import Path

import pytest

import pyslm
from pyslm import _native
from pyslm.hub.embedded import FILE, LOSS_PLOT, REPORT

PACKAGE = Path(pyslm.__file__).parent


def stub_names(body: list[ast.stmt]) -> set[str]:
    """The names that statements of a stub define."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.fixture(scope="module")
def stub() -> ast.Module:
    return ast.parse((PACKAGE / "_native.pyi").read_text(encoding="utf-8"))


def test_stub_names_what_the_module_has_and_nothing_else(stub: ast.Module) -> None:
    actual = {name for name in dir(_native) if not name.startswith("_")}
    assert stub_names(stub.body) == actual


def test_stub_classes_have_the_attributes_of_the_module(stub: ast.Module) -> None:
    for node in stub.body:
        if isinstance(node, ast.ClassDef):
            actual = {n for n in vars(getattr(_native, node.name)) if not n.startswith("_")}
            in_stub = {n for n in stub_names(node.body) if not n.startswith("_")}
            assert in_stub == actual, node.name


def test_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert inspect.getdoc(_native)


def installed_files() -> list[str]:
    try:
        files = importlib.metadata.files("pyslm") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    if not any(str(file).endswith("llm.py") for file in files):
        pytest.skip("pyslm is not installed as a wheel")
    return [str(file) for file in files]


def test_wheel_holds_the_package_and_nothing_else() -> None:
    files = installed_files()
    for needed in (
        "pyslm/py.typed",
        "pyslm/_native.pyi",
        "pyslm/cli/run.py",
        "pyslm/hub/catalog.toml",
        "pyslm/finetune/nano.jinja",
        "pyslm/finetune/data/lexicon.tsv",
        "pyslm/finetune/data/meanings.npz",
        "pyslm/finetune/data/tools/everyday.toml",
        "pyslm/finetune/evaluation/heldout.toml",
    ):
        assert needed in files
    assert any(
        file.startswith("pyslm/_native.") and file.endswith((".so", ".pyd")) for file in files
    )
    strangers = [f for f in files if f.endswith((".cpp", ".h", ".inl", ".pyx", ".o", ".a"))]
    assert not strangers
    tops = {file.split("/")[0] for file in files if not file.startswith("..")}
    assert {top.split("-")[0] for top in tops} == {"pyslm"}


def test_wheel_holds_the_model_of_the_source_tree() -> None:
    """Where the tests lie beside a source tree that has one, what was built of it has it, too."""
    folder = Path(__file__).resolve().parent.parent / "pyslm" / "hub" / "nano"
    if not (folder / FILE).is_file():
        pytest.skip(f"the source tree comes without its model ({FILE})")
    files = installed_files()
    for name in (FILE, REPORT, LOSS_PLOT):
        assert f"pyslm/hub/nano/{name}" in files
        built = PACKAGE / "hub" / "nano" / name
        assert built.read_bytes() == (folder / name).read_bytes(), "install the package anew"


def test_version_is_that_of_the_metadata() -> None:
    installed_files()
    assert importlib.metadata.version("pyslm") == pyslm.__version__
