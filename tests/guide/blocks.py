"""Runs the guide's code blocks as they are, each in a namespace of its own.

What a block takes from blocks before it is executed before it. Of its text only the ports are
changed: those of the guide may be taken on this machine. What it uses and nobody defines (modules
that it does not import, databases of a shop) is given by the namespace, and methods that its
classes call and do not have are inherited from the classes of `pyslm.guide` with the same name.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import dataclasses
import inspect
import json
import logging
import socket
import time
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import pyslm.guide

# Block -> those that it takes names from, in order.
NEEDS: dict[str, tuple[str, ...]] = {
    "03": (), "04": ("03",), "05": (), "06": (), "07": (), "08": ("07",), "09": (),
    "12": (), "13": ("12",), "14": (), "15": (), "16": ("15",),
    "19": (), "20": ("19",), "21": ("19",), "22": ("19",), "23": (),
    "24": (), "25": ("24",), "26": ("24",), "29": ("24",), "30": ("24", "29"),
    "31": ("24",), "32": ("24",), "35": (), "36": ("35",),
}  # fmt: skip
# The server of the former would keep the port of one of the latter's.
_KEPT_PORTS = {"20": ("19",), "21": ("19",)}
OLLAMA_PORT = 11434
VLLM_PORTS = (8000, 8001, 8002)
_MODULES = {"asyncio": asyncio, "json": json, "logging": logging, "time": time}
_TYPES = ("Any", "Dict", "List", "Optional")
# Classes that call methods which they do not have.
INCOMPLETE = ("ProductionAgentService", "FoundryResourceManager")
# Classes of the guide's that are only data; ours would be decorated a second time.
_DATA = ("AgentRequest", "DeploymentScenario", "PerformanceMetrics", "VLLMServerConfig")
_FAKES = {name for name in pyslm.guide.__all__ if name[0].isupper()} - set(_DATA)


both = pytest.mark.parametrize("ours", [False, True], ids=["theirs", "ours"])


@dataclasses.dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks, and where what they ask is."""

    folder: Path
    ports: Mapping[int, int]
    """Of the guide -> those of this test."""

    def run(
        self, number: str, *, ours: bool = False, given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Executes a block and what it needs; gives its namespace.

        Args:
            ours: the classes of `pyslm.guide` stand in for those that the blocks define.
            given: further names, of things that the guide leaves to its reader.
        """
        return asyncio.run(self.run_async(number, ours=ours, given=given))

    async def run_async(
        self, number: str, *, ours: bool = False, given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """As `run`, on the event loop that is there."""
        names: dict[str, Any] = {name: getattr(typing, name) for name in _TYPES}
        names |= {**_MODULES, **(given or {}), "__name__": "guide"}
        # Blocks use the framework's names where an earlier part of the text imported them.
        exec("from microsoft_agent_framework import *", names)
        names["__builtins__"] = {**vars(builtins), "__build_class__": _class_builder(ours=ours)}
        for each in NEEDS[number]:
            await self._execute(each, names)
            if each in _KEPT_PORTS.get(number, ()):
                end(names["vllm_manager"])
        await self._execute(number, names)
        return names

    async def _execute(self, number: str, names: dict[str, Any]) -> None:
        path = self.folder / f"{number}.py"
        tree = _OtherPorts(self.ports).visit(ast.parse(path.read_text(), path.name))
        code = compile(tree, path.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, names)
        if inspect.isawaitable(running):
            await running


class _OtherPorts(ast.NodeTransformer):
    def __init__(self, ports: Mapping[int, int]) -> None:
        self._ports = ports

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        value: Any = node.value
        if type(value) is int:
            value = self._ports.get(value, value)
        elif isinstance(value, str):
            value = value.replace(f":{OLLAMA_PORT}", f":{self._ports[OLLAMA_PORT]}")
        return ast.copy_location(ast.Constant(value), node)


def _class_builder(*, ours: bool) -> Any:
    def build(body: Any, name: str, *bases: Any, **settings: Any) -> Any:
        if ours and name in _FAKES:
            return getattr(pyslm.guide, name)
        if name in INCOMPLETE and not bases:
            bases = (getattr(pyslm.guide, name),)
        return builtins.__build_class__(body, name, *bases, **settings)

    return build


def end(*managers: Any) -> None:
    """Ends the servers of blocks."""
    for manager in managers:  # beside each other
        if manager.process is not None:
            manager.process.terminate()
    for manager in managers:
        process = manager.process
        manager.shutdown()
        for pipe in (process.stdout, process.stderr) if process is not None else ():
            if pipe is not None:
                pipe.close()


def free_ports(count: int) -> list[int]:
    """That nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class EnoughError(Exception):
    """Ends a loop that the guide never ends."""


class Rounds:
    """An `asyncio.sleep` that lets a loop go round so many times."""

    def __init__(self, rounds: int) -> None:
        self.left = rounds
        self.waits: list[float] = []

    async def __call__(self, seconds: float, result: object = None) -> object:
        """Waits not at all."""
        if seconds < 1:  # somebody else's
            return result
        self.waits.append(seconds)
        self.left -= 1
        if self.left <= 0:
            raise EnoughError
        return result


def goes_round(loop: Any, monkeypatch: pytest.MonkeyPatch, rounds: int) -> list[float]:
    """Runs one of the guide's endless loops; gives how long it would have waited."""
    waits = Rounds(rounds)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", waits)
        with pytest.raises(EnoughError):
            asyncio.run(loop())
    return waits.waits
