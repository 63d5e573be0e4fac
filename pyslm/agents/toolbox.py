"""The tools of one agent, and how a model's calls of them are run.

Nothing that a model writes, and nothing that a tool does, is raised: it becomes a result that says
what went wrong, for the model to go on with.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import pydantic_core

from pyslm.agents.models.model import Call
from pyslm.agents.tool_runner import ToolRunner
from pyslm.agents.tools import ArgumentsError, Tool
from pyslm.errors import AgentConfigError

__all__ = ["CallGuard", "Outcome", "ToolResult", "Toolbox"]

_log = logging.getLogger(__name__)

Outcome = Literal["ok", "unknown", "invalid", "denied", "failed", "timeout"]
MAX_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, slots=True)
class ToolResult:
    """How one call ended."""

    call: Call
    content: str
    """What the model is told."""
    outcome: Outcome
    """unknown: no such tool; invalid: its arguments; denied: not run, for a rule forbids it."""
    seconds: float = 0.0
    trusted: bool = True

    @property
    def ok(self) -> bool:
        """Whether the tool ran and gave something."""
        return self.outcome == "ok"

    def message(self) -> dict[str, Any]:
        """For the conversation, in OpenAI's shape."""
        call = self.call
        return {
            "role": "tool",
            "tool_call_id": call.id,
            "name": call.name,
            "content": self.content,
        }


class CallGuard(Protocol):
    """Decides whether a call may run, and sees how it ends."""

    async def refusal(self, call: Call, tool: Tool, arguments: Mapping[str, Any]) -> str | None:
        """Why it may not run; None: it may. What is raised here refuses it, too."""
        ...

    def ended(self, result: ToolResult) -> None:
        """The call has run, or was refused."""
        ...


class Toolbox:
    """Tools by name. Safe to share by tasks."""

    def __init__(
        self, tools: Iterable[Tool] = (), *, timeout: float = 30.0, max_result_chars: int = 20_000
    ) -> None:
        self._tools: dict[str, Tool] = {}
        self._timeout = timeout
        self._max_result_chars = max_result_chars
        self._runner = ToolRunner()
        self._refused: dict[str, str] = {}
        for each in tools:
            self.add(each)

    def add(self, tool: Tool) -> None:
        """Raises AgentConfigError where there is one of that name."""
        if tool.name in self._tools:
            raise AgentConfigError(f"two tools are named {tool.name}; allowed: one of a name")
        self._tools[tool.name] = tool

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def with_more(self, tools: Iterable[Tool], refused: Mapping[str, str] | None = None) -> Toolbox:
        """A copy with further tools; those that are there already keep their names.

        Args:
            refused: tool -> why it may not be called; it is not offered, either.
        """
        names = {tool.name for tool in self}
        new = [tool for tool in tools if tool.name not in names]
        more = Toolbox(
            [*self, *new], timeout=self._timeout, max_result_chars=self._max_result_chars
        )
        more._refused = self._refused | dict(refused or {})
        return more

    def described(self) -> list[dict[str, Any]]:
        """All tools as models take them."""
        return [tool.described() for tool in self]

    async def run(
        self,
        calls: Sequence[Call],
        guard: CallGuard | None = None,
        done: Callable[[ToolResult], None] | None = None,
    ) -> list[ToolResult]:
        """Runs the calls of one turn beside each other; results in the calls' order.

        Args:
            done: told of each result when it comes.
        """
        places = asyncio.Semaphore(MAX_AT_ONCE)

        async def run(call: Call) -> ToolResult:
            async with places:
                began = time.perf_counter()
                found = await self._run(call, guard)
                result = dataclasses.replace(found, seconds=time.perf_counter() - began)
            if guard is not None:
                guard.ended(result)
            if done is not None:
                done(result)
            return result

        running = [asyncio.ensure_future(run(call)) for call in calls]
        try:
            return list(await asyncio.gather(*running))
        finally:
            for task in running:  # of a request that was cancelled, or cannot be recorded
                task.cancel()

    async def _run(self, call: Call, guard: CallGuard | None) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None and call.name in self._refused:
            return _failed(call, "denied", f"not allowed: {self._refused[call.name]}")
        if tool is None:
            return _failed(call, "unknown", self._unknown(call.name))
        try:
            given = json.loads(call.arguments or "{}")
            if not isinstance(given, dict):
                raise ArgumentsError(f"arguments are {call.arguments:.80}, not a JSON object")
            arguments = tool.arguments(given)
        except (ValueError, RecursionError) as error:
            return _failed(call, "invalid", f"the arguments are not valid: {error}")
        if guard is not None:
            refusal = await _refusal(guard, call, tool, arguments)
            if refusal is not None:
                return _failed(call, "denied", f"not allowed: {refusal}")
        return await self._called(call, tool, arguments)

    async def _called(self, call: Call, tool: Tool, arguments: dict[str, Any]) -> ToolResult:
        timeout = tool.timeout or self._timeout
        try:
            value = await self._runner.value(tool, arguments, timeout)
            content = _written(value)
        except TimeoutError:
            return _failed(call, "timeout", f"{tool.name} did not answer within {timeout:g} s")
        except pydantic_core.PydanticSerializationError as error:
            _log.warning("the result of %s cannot be written as JSON: %s", tool.name, error)
            return _failed(call, "failed", f"the result of {tool.name} cannot be told: {error}")
        except Exception as error:
            _log.warning("the tool %s failed", tool.name, exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            return dataclasses.replace(_failed(call, "failed", reason), trusted=tool.trusted)
        return ToolResult(call, self._shortened(content), "ok", trusted=tool.trusted)

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._tools, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return (
            f"there is no tool {name:.80}{hint} The tools are: {', '.join(self._tools) or 'none'}"
        )

    def _shortened(self, content: str) -> str:
        limit = self._max_result_chars
        if len(content) <= limit:
            return content
        return f"{content[:limit]}\n[cut off: {len(content) - limit} more characters]"


async def _refusal(
    guard: CallGuard, call: Call, tool: Tool, arguments: Mapping[str, Any]
) -> str | None:
    try:
        return await guard.refusal(call, tool, arguments)
    except Exception as error:
        _log.error("the guard of %s failed; the call is refused", tool.name, exc_info=error)
        return "it could not be decided whether it may run"


def _written(value: Any) -> str:
    """A result as text: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    return pydantic_core.to_json(value).decode()


def _failed(call: Call, outcome: Outcome, reason: str) -> ToolResult:
    content = json.dumps({"error": reason}, ensure_ascii=False)
    return ToolResult(call, content, outcome)
