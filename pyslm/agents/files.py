"""Agents in TOML files: the fields of `Config`, and what else an `Agent` takes.

::

    name = "support"
    model_alias = "phi-4-mini"
    context = "You help customers."
    tools = ["tools.py",            # beside this file: what is marked with @tool
             "calendar",            # by name: see `pyslm.agents.toolkits`
             { database = { path = "shop.db" } }]
    roles = ["support"]
    audit = true                    # the user's own log; or a file

    [policy]
    approve_writes = true
    [policy.roles]
    support = ["lookup_*", { tools = "refund", arguments = { amount = { maximum = 50 } } }]

    [resources]
    max_memory_usage = "4GB"

    [[mcp]]                         # a server whose tools it uses: the fields of `McpServer`
    name = "files"
    command = ["mcp-files", "--root", "notes"]
    allow = ["read_*"]
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyslm.agents.agent import Agent
from pyslm.agents.config import Config, unknown
from pyslm.agents.mcp.server import McpServer
from pyslm.agents.monitoring.resources import ResourceConfig
from pyslm.agents.security.audit import default_audit_path
from pyslm.agents.security.policy import Allow, ApprovalHook, Policy
from pyslm.agents.toolkits import OfflineQueue, named_tools
from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError

__all__ = ["agents_folder", "find_agent", "known_agents", "load_agent", "load_tools", "make_agent"]

_OTHERS = ("tools", "roles", "audit", "sessions", "policy", "resources", "mcp")


def agents_folder() -> Path:
    """Where agents are found by name; PYSLM_AGENTS names another folder."""
    chosen = os.environ.get("PYSLM_AGENTS")
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute()
    import platformdirs

    return Path(platformdirs.user_config_dir("pyslm")) / "agents"


def known_agents() -> dict[str, Path]:
    """Name -> file of those in the folder."""
    folder = agents_folder()
    files = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    return {path.stem: path for path in files}


def find_agent(name: str) -> Path:
    """The file of an agent: a path, or a name in the folder.

    Raises:
        AgentConfigError: there is none.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    known = known_agents()
    if name not in known:
        there = ", ".join(known) or "none"
        raise AgentConfigError(
            f"there is no agent {name!r:.80}; name a TOML file, or one of those in "
            f"{agents_folder()}: {there}"
        )
    return known[name]


def load_agent(path: Path, *, approve: ApprovalHook | None = None, **changes: Any) -> Agent:
    """The agent of a file.

    Args:
        changes: fields of the config, in place of the file's.

    Raises:
        AgentConfigError: the file cannot be read, or says what is not allowed.
    """
    found = {"name": path.stem, **_read(path)}
    try:
        return make_agent(found, path.parent, approve=approve, **changes)
    except AgentConfigError as error:
        raise AgentConfigError(f"{path}: {error}") from None


def make_agent(
    found: Mapping[str, Any],
    folder: Path,
    *,
    approve: ApprovalHook | None = None,
    queue: OfflineQueue | None = None,
    **changes: Any,
) -> Agent:
    """The agent of what a file says.

    Args:
        folder: where the paths in it begin.
        queue: keeps calls of its tools that need the network, while there is none.
        changes: fields of the config, in place of those found.

    Raises:
        AgentConfigError: it says what is not allowed.
    """
    fields = {field.name for field in dataclasses.fields(Config)}
    for name in found:
        if name not in fields and name not in _OTHERS:
            raise AgentConfigError(unknown("an agent", name, {*fields, *_OTHERS}))
    settings = {name: value for name, value in found.items() if name in fields}
    tools = [tool for entry in _list(found, "tools") for tool in _tools_of(entry, folder)]
    for name in ("policy", "resources"):
        if not isinstance(found.get(name, {}), Mapping):
            raise AgentConfigError(f"{name} is {found[name]!r:.80}; allowed: names with values")
    audit, resources = found.get("audit", False), found.get("resources")
    audit_path = default_audit_path() if audit is True else folder / audit if audit else None
    sessions = found.get("sessions")
    return Agent(
        Config(**{**settings, **changes}),
        tools=tools if queue is None else queue.tools(tools),
        mcp=[_server(folder, server) for server in _list(found, "mcp")],
        roles=_list(found, "roles"),
        policy=_policy(found["policy"]) if "policy" in found else None,
        resource_limits=ResourceConfig(**resources) if resources else None,
        audit=audit_path,
        sessions=None if sessions is None else folder / sessions,
        approve=approve,
    )


def _tools_of(entry: Any, folder: Path) -> list[Tool]:
    """Of a Python file, a name, or a name with its settings."""
    if isinstance(entry, str):
        return load_tools(folder / entry) if entry.endswith(".py") else named_tools(entry)
    if isinstance(entry, Mapping) and len(entry) == 1:
        name, settings = next(iter(entry.items()))
        if isinstance(settings, Mapping):
            return named_tools(str(name), settings, folder)
    raise AgentConfigError(
        f"tools has {entry!r:.80}; allowed: a Python file, a name such as database, or a name with "
        "its settings"
    )


def load_tools(path: Path) -> list[Tool]:
    """The tools of a Python file: what is marked with `@tool`. The file is run.

    Raises:
        AgentConfigError: it cannot be read, fails, or marks nothing.
    """
    spec = importlib.util.spec_from_file_location(f"pyslm_tools_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise AgentConfigError(f"{path} is no Python file with tools")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise AgentConfigError(f"{path} fails: {type(error).__name__}: {error}") from error
    tools = [value for value in vars(module).values() if isinstance(value, Tool)]
    if not tools:
        raise AgentConfigError(f"{path} marks no function with @tool")
    return tools


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AgentConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentConfigError(f"{path} is no TOML: {error}") from None


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name, [])
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise AgentConfigError(f"{name} is {value!r:.80}; allowed: a list")
    return list(value)


def _server(folder: Path, found: Any) -> McpServer:
    if not isinstance(found, Mapping) or "name" not in found:
        raise AgentConfigError(f"mcp is {found!r:.80}; allowed: tables [[mcp]], each with a name")
    cwd = found.get("cwd")
    return McpServer(**{**found, "cwd": None if cwd is None else str(folder / cwd)})


def _policy(found: Mapping[str, Any]) -> Policy:
    known = {field.name for field in dataclasses.fields(Policy)}
    for name in found:
        if name not in known:
            raise AgentConfigError(unknown("the policy", name, known))
    roles = {
        role: [rule if isinstance(rule, str) else _rule(rule) for rule in rules]
        for role, rules in found.get("roles", {}).items()
    }
    return Policy(**{**found, "roles": roles})


def _rule(found: Any) -> Allow:
    known = ("tools", "arguments", "approval")
    if not isinstance(found, Mapping) or "tools" not in found or set(found) - set(known):
        raise AgentConfigError(f"a rule is {found!r:.80}; allowed: a name, or {', '.join(known)}")
    return Allow(**found)
