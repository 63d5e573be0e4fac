"""Conversations that were held, as the training takes them: a JSON object a line,

    {"messages": [...], "tools": [...]}

the form of OpenAI's fine-tuning files, which `pyslm agent export` writes of an agent's sessions.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from pyslm.chat.exchanges import Message, last_exchange
from pyslm.chat.tool_formats.quoted import is_quoted
from pyslm.chat.tools import Tool, tools_of
from pyslm.errors import InvalidRequestError, ModelFileError, ModelNotFoundError
from pyslm.finetune.data.spec import Branch, Scene
from pyslm.finetune.evaluation.cases import Case

__all__ = ["by_exchange", "conversation_cases", "quotes_only", "read_conversations"]

CATEGORY = "session"
_MALFORMED = (
    ValueError, KeyError, TypeError, AttributeError, RecursionError,
    jsonschema.ValidationError, jsonschema.SchemaError,
)  # fmt: skip


def read_conversations(path: Path) -> tuple[Scene, ...]:
    """The conversations of a file.

    Raises:
        ModelNotFoundError, ModelFileError: there is no such file, or it cannot be read.
        InvalidRequestError: a line is no conversation, or a call in it is not one of its tools.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ModelNotFoundError(f"{path}: no such file; give one with conversations") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_scene(json.loads(line)))
            except _MALFORMED as error:
                told = getattr(error, "message", None) or str(error) or type(error).__name__
                raise InvalidRequestError(
                    f"line {number} of {path} is no conversation: {told}; allowed: "
                    '{"messages": [...], "tools": [...]}, as OpenAI has them'
                ) from None
    return tuple(found)


def conversation_cases(scenes: tuple[Scene, ...]) -> list[Case]:
    """What the assistant did after each request: which calls, or none."""
    cases = []
    for scene in scenes:
        system = [{"role": "system", "content": scene.system}] if scene.system else []
        messages = scene.branches[0].messages
        for i in range(1, len(messages)):
            if (messages[i - 1]["role"], messages[i]["role"]) != ("user", "assistant"):
                continue
            functions = [call["function"] for call in messages[i].get("tool_calls") or ()]
            calls = tuple((f["name"], f["arguments"]) for f in functions)
            cases.append(Case(CATEGORY, (*system, *messages[:i]), scene.tools, calls))
    return cases


def by_exchange(scene: Scene) -> Scene:
    """The conversation as nano is shown it: a branch for each request and what it leans on."""
    (branch,) = scene.branches
    messages = branch.messages
    asked = [i for i, message in enumerate(messages) if message["role"] == "user"]
    parts: list[tuple[dict[str, Any], ...]] = []
    for i, end in itertools.pairwise((*asked, len(messages))):
        begin = i + 1 - len(last_exchange(messages[: i + 1], scene.tools))
        part = messages[begin:end]
        if parts and part[: len(parts[-1])] == parts[-1]:  # it goes on
            parts[-1] = part
        else:
            parts.append(part)
    branches = tuple(dataclasses.replace(branch, messages=part) for part in parts)
    return dataclasses.replace(scene, branches=branches)


def quotes_only(scenes: tuple[Scene, ...]) -> bool:
    """Whether all texts in the arguments of calls were said before."""
    for scene, branch in ((each, branch) for each in scenes for branch in each.branches):
        tools = tools_of(scene.tools)
        said: list[Message] = [{"content": scene.system}]
        for message in branch.messages:
            for call in message.get("tool_calls") or ():
                name, arguments = call["function"]["name"], call["function"]["arguments"]
                if not is_quoted(arguments, tools[name].argument_schema(), said):
                    return False
            said.append(message)
    return True


def _scene(record: Mapping[str, Any]) -> Scene:
    tools = tools_of(record.get("tools") or ())
    system, messages = [], []
    for message in record["messages"]:
        if message["role"] in ("system", "developer"):
            system.append(_text(message))
        else:
            messages.append(_message(message, tools))
    if not any(message["role"] == "assistant" for message in messages):
        raise ValueError("the assistant says nothing in it")
    if messages[0]["role"] != "user":
        raise ValueError(f"it begins with the role {messages[0]['role']!r}; allowed: user")
    branch = Branch(CATEGORY, tuple(messages))
    described = tuple(tool.described() for tool in tools.values())
    return Scene("\n\n".join(system) or None, described, (branch,))


def _message(message: Mapping[str, Any], tools: Mapping[str, Tool]) -> dict[str, Any]:
    role = message["role"]
    if role not in ("user", "assistant", "tool"):
        raise ValueError(f"the role is {role!r}; allowed: system, user, assistant, tool")
    said: dict[str, Any] = {"role": role, "content": _text(message)}
    calls = message.get("tool_calls") or ()
    if role == "assistant" and calls:
        said["tool_calls"] = [_call(call["function"], tools) for call in calls]
    return said


def _call(function: Mapping[str, Any], tools: Mapping[str, Tool]) -> dict[str, Any]:
    name, arguments = function["name"], function["arguments"]
    if name not in tools:
        raise ValueError(f"the tool {name!r} is called and not among its tools")
    if isinstance(arguments, str):
        arguments = json.loads(arguments or "{}")
    jsonschema.validate(arguments, dict(tools[name].parameters))
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    if content is not None and not isinstance(content, str):
        raise ValueError(f"the content is {content!r:.80}; allowed: text")
    return content or ""
