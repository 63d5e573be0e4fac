"""The tools that a request offers to the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyslm.errors import InvalidRequestError

__all__ = ["Tool", "is_tool_name", "tools_of"]

_OPEN_ENDED = {"additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"}
_NAME = re.compile(r"[\w.:/-]{1,256}")


def is_tool_name(name: object) -> bool:
    """Whether a function may be called this."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A function that the model may call.

    `parameters` is the JSON schema of its arguments: that of an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, tool: Mapping[str, Any]) -> Tool:
        """A tool as OpenAI has them: {"type": "function", "function": {...}}, or the inner part.

        Raises:
            InvalidRequestError: no such object, a bad name, or parameters that are no object's.
        """
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping):
            raise InvalidRequestError(f"a tool is {tool!r:.80}; allowed: an object with a function")
        name = function.get("name")
        if not isinstance(name, str) or not is_tool_name(name):
            raise InvalidRequestError(
                f"a tool's name is {name!r:.80}; allowed: 1 to 256 letters, digits and any of _.:/-"
            )
        parameters = function.get("parameters")
        if parameters is None or parameters == {}:
            parameters = {"type": "object", "properties": {}}
        if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
            raise InvalidRequestError(
                f"the parameters of the tool {name} are {parameters!r:.80}; allowed: a JSON schema "
                'with "type": "object"'
            )
        return cls(name, str(function.get("description") or ""), parameters)

    @property
    def properties(self) -> Mapping[str, Any]:
        """Parameter name -> schema."""
        properties = self.parameters.get("properties")
        return properties if isinstance(properties, Mapping) else {}

    def described(self) -> dict[str, Any]:
        """The tool as templates take it."""
        function = {"name": self.name, "description": self.description}
        return {"type": "function", "function": {**function, "parameters": dict(self.parameters)}}

    def argument_schema(self) -> dict[str, Any]:
        """The schema that calls are constrained to: without parameters that nobody declared,
        unless the tool's own schema speaks of them."""
        schema = {"type": "object", **self.parameters}
        if not _OPEN_ENDED & schema.keys():
            schema["additionalProperties"] = False
        return schema


def tools_of(tools: Iterable[Mapping[str, Any] | Tool]) -> dict[str, Tool]:
    """The tools by name.

    Raises:
        InvalidRequestError: one is malformed, or two have the same name.
    """
    result: dict[str, Tool] = {}
    for given in tools:
        tool = given if isinstance(given, Tool) else Tool.of(given)
        if tool.name in result:
            raise InvalidRequestError(f"two tools are named {tool.name}; allowed: one of a name")
        result[tool.name] = tool
    return result
