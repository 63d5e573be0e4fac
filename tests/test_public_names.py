"""`import pyslm` gives the public names, all of them, and gives them fast."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

import pyslm
from pyslm import errors


def test_every_public_name_is_there() -> None:
    for name in pyslm.__all__:
        assert getattr(pyslm, name) is not None
    assert set(pyslm.__all__) <= set(dir(pyslm))


def test_no_other_public_names() -> None:
    """What a name without underscore in the package is: public, or one of our modules."""
    modules = {module.name for module in pkgutil.iter_modules(pyslm.__path__)}
    typing_only = {"annotations", "lazy_names", "TYPE_CHECKING"}
    names = {name for name in vars(pyslm) if not name.startswith("_")}
    assert names - modules - typing_only <= set(pyslm.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        pyslm.nonsense  # noqa: B018


def test_every_error_has_the_root_and_is_exported() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.PyslmError)
        assert name in pyslm.__all__


def test_all_of_each_module_exists() -> None:
    optional = {  # of extras that the tests do without
        "pyslm.agents.agent_framework": "agent_framework",
        "pyslm.finetune": "torch",
    }
    missing = tuple(name for name, needed in optional.items() if find_spec(needed) is None)
    for module in pkgutil.walk_packages(pyslm.__path__, "pyslm.", onerror=lambda name: None):
        if module.name.startswith(missing) or module.name in ("pyslm.__main__", "pyslm._native"):
            continue
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            assert hasattr(loaded, name), f"{module.name}.__all__ names {name}"


def test_public_classes_and_methods_have_docstrings() -> None:
    for name in pyslm.__all__:
        value = getattr(pyslm, name)
        if not inspect.isclass(value):
            continue
        assert value.__doc__, name
        for method, function in inspect.getmembers(value, inspect.isfunction):
            if not method.startswith("_"):
                assert function.__doc__, f"{name}.{method}"


def test_import_is_light() -> None:
    """Neither NumPy nor the native core is loaded before it is needed."""
    code = "import sys, pyslm; print(sorted({'numpy', 'pyslm._native', 'rich'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
