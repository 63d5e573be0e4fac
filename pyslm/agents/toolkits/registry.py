"""Finds toolkits by name, and checks their settings."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pyslm.agents.config import unknown
from pyslm.agents.tools import ArgumentsError, Tool
from pyslm.errors import AgentConfigError

__all__ = ["ENTRY_POINTS", "Toolkit", "default_folder", "named_tools", "toolkit_names"]

ENTRY_POINTS = "pyslm.tools"
"""The group in which packages offer toolkits."""

Toolkit: TypeAlias = Callable[..., Iterable[Tool]]
"""Its parameters are the settings, checked as the arguments of a tool are; a relative path among
them is meant from the folder of the file that holds the settings."""

_OWN = {
    "database": "pyslm.agents.toolkits.database:database_tools",
    "calendar": "pyslm.agents.toolkits.calendar:calendar_tools",
    "email": "pyslm.agents.toolkits.mail:email_tools",
    "demo": "pyslm.agents.toolkits.demo:demo_tools",
}


def toolkit_names() -> tuple[str, ...]:
    """All that are installed, ours first."""
    others = sorted({point.name for point in _entry_points()} - set(_OWN))
    return (*_OWN, *others)


def named_tools(
    name: str, settings: Mapping[str, Any] | None = None, folder: Path | None = None
) -> list[Tool]:
    """The tools that a name stands for.

    Args:
        settings: of the toolkit; what is left out has a default.
        folder: where relative paths of the settings begin; None: the working directory.

    Raises:
        AgentConfigError: no such toolkit, a package that it needs is missing, or the settings are
            not allowed.
    """
    toolkit = _toolkit(name)
    described = Tool(toolkit, name)
    known = described.parameters.get("properties", {})
    for key in settings or {}:
        if key not in known:
            raise AgentConfigError(unknown(f"the tool {name}", key, known))
    try:
        arguments = described.arguments(settings or {})
    except ArgumentsError as error:
        raise AgentConfigError(f"the settings of the tool {name}: {error}") from None
    arguments = {key: _placed(value, folder) for key, value in arguments.items()}
    tools = list(toolkit(**arguments))
    if not all(isinstance(tool, Tool) for tool in tools):
        raise AgentConfigError(f"the toolkit {name} gives {tools!r:.80}; allowed: a list of Tool")
    return tools


def default_folder() -> Path:
    """Where toolkits keep what no setting places; PYSLM_TOOLS_DIR names another folder."""
    chosen = os.environ.get("PYSLM_TOOLS_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("pyslm")) / "tools"


def _placed(value: Any, folder: Path | None) -> Any:
    return (folder or Path()) / value.expanduser() if isinstance(value, Path) else value


def _toolkit(name: str) -> Toolkit:
    if name in _OWN:
        module, _, function = _OWN[name].partition(":")
        own: Toolkit = getattr(importlib.import_module(module), function)
        return own
    for point in _entry_points():
        if point.name == name:
            try:
                found: Toolkit = point.load()
            except Exception as error:  # the package's own
                raise AgentConfigError(
                    f"the tool {name}, of {point.value}, cannot be loaded: "
                    f"{type(error).__name__}: {error}"
                ) from error
            return found
    raise AgentConfigError(
        f"{unknown('the list of named tools', name, toolkit_names())}; packages add others by an "
        f"entry point of the group {ENTRY_POINTS}"
    )


def _entry_points() -> Iterable[importlib.metadata.EntryPoint]:
    return importlib.metadata.entry_points(group=ENTRY_POINTS)
