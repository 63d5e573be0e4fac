"""`Tool`: a Python function that a model may call."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import docstring_parser
import jsonschema
import pydantic
import referencing
import referencing.exceptions
from pydantic_core import SchemaError

from pyslm.agents.schemas import ArgumentsSchema, for_models, unenforceable, without_other_formats
from pyslm.chat.tools import is_tool_name
from pyslm.errors import AgentConfigError

__all__ = ["ArgumentsError", "Tool", "tool"]

_F = TypeVar("_F", bound=Callable[..., Any])
_POSITIONS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_MAX_PROBLEMS = 5


class ArgumentsError(ValueError):
    """Arguments that a tool's schema does not allow; the message is for the model."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A function that a model may call.

    `Tool(function)`, or the decorators `tool` and `Agent.tool`, take name, description and schema
    from the function: its name, its docstring, its parameters with their types. `Tool.of_schema`
    makes one of a schema.

    Raises:
        AgentConfigError: a function that cannot be called with named JSON values, or whose types
            have a pattern that a model cannot be held to.
    """

    function: Callable[..., Any]
    """Plain or async."""
    name: str = ""
    description: str = ""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The JSON schema of the arguments: that of an object."""
    timeout: float | None = None
    """Seconds; None: as the agent's config says."""
    sensitive: bool = False
    """No agent may call it unless a policy says so by name."""
    writes: bool = False
    """It changes something: a policy may ask for approval."""
    trusted: bool = True
    """False: its results hold what strangers wrote (mail, web pages). Once such a result is in a
    conversation, tools that write need approval."""
    network: bool = False
    """It needs other machines: an `OfflineQueue` keeps its calls while they cannot be reached."""
    builtin: bool = False
    """It belongs to the agent itself, as its memory does: allowed unless a policy denies it."""
    check: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    """Turns JSON arguments into those of the function; raises `ArgumentsError`."""

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise AgentConfigError(f"a tool is {self.function!r:.80}; allowed: a function")
        own_name = getattr(self.function, "__name__", type(self.function).__name__)
        self._set("name", self.name or own_name)
        if not is_tool_name(self.name):
            raise AgentConfigError(
                f"a tool's name is {self.name!r:.80}; allowed: 1 to 256 letters, digits and any of "
                "_.:/-; give it one by @tool(name=...)"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise AgentConfigError(f"timeout of {self.name} is {self.timeout}; allowed: above 0")
        if self.check is None:
            told = docstring_parser.parse(inspect.getdoc(self.function) or "")
            model, keys = _arguments_model(self.function, self.name, told)
            self._set("description", self.description or _description(told))
            self._set("parameters", _schema(model, self.name))
            self._set("check", _checker(model, keys))

    @classmethod
    def of_schema(
        cls,
        function: Callable[..., Any],
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        **settings: Any,
    ) -> Tool:
        """A tool whose arguments are checked by a JSON schema and handed on by name.

        Raises:
            AgentConfigError: the schema is none, or a model cannot be held to it; says to what.
        """
        try:
            jsonschema.Draft202012Validator.check_schema(dict(parameters))
        except jsonschema.SchemaError as error:
            raise AgentConfigError(
                f"the parameters of the tool {name} are no JSON schema: {error.message}"
            ) from None
        _check_enforceable(parameters, name)
        check = _schema_checker(parameters)
        return cls(function, name, description, parameters, check=check, **settings)

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The function's arguments, of the right types.

        Raises:
            ArgumentsError: the schema does not allow them.
        """
        assert self.check is not None
        return self.check(given)

    def described(self) -> dict[str, Any]:
        """The tool as models take it: OpenAI's shape."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        return {"type": "function", "function": function}

    def __call__(self, *values: Any, **named: Any) -> Any:
        """Calls the function."""
        return self.function(*values, **named)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str = ...,
    description: str = ...,
    timeout: float | None = ...,
    sensitive: bool = ...,
    writes: bool = ...,
    trusted: bool = ...,
    network: bool = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Decorator that makes a `Tool` of a function: `@tool`, or `@tool(timeout=5)`."""
    if function is not None:
        return Tool(function, **settings)
    return lambda decorated: Tool(decorated, **settings)


def _arguments_model(
    function: Callable[..., Any], name: str, told: docstring_parser.Docstring
) -> tuple[type[pydantic.BaseModel], dict[str, str]]:
    """A model of the parameters, and field -> parameter: fields have names of their own, for
    pydantic keeps some to itself."""
    try:
        signature = inspect.signature(function)
        hints = _hints(function)
    except (NameError, TypeError, ValueError) as error:
        raise AgentConfigError(
            f"the types of the tool {name} cannot be read: {error}; they must be known where the "
            "function is defined"
        ) from None
    texts = {param.arg_name: param.description for param in told.params}
    fields: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for index, (parameter, details) in enumerate(signature.parameters.items()):
        if details.kind not in _POSITIONS:
            raise AgentConfigError(
                f"the tool {name} takes {details}; allowed: parameters with names, no * or **"
            )
        required = details.default is inspect.Parameter.empty
        field = pydantic.Field(
            ... if required else details.default, alias=parameter, description=texts.get(parameter)
        )
        fields[f"field_{index}"] = (hints.get(parameter, Any), field)
        keys[f"field_{index}"] = parameter
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    try:
        return pydantic.create_model(name, __config__=config, **fields), keys
    except SchemaError as error:
        reason = str(error).splitlines()[-1].strip()
        raise AgentConfigError(
            f"a parameter of the tool {name} cannot be checked: {reason}"
        ) from None
    except (pydantic.errors.PydanticUserError, TypeError, NameError) as error:
        raise AgentConfigError(
            f"a parameter of the tool {name} is of no type that JSON can say: "
            f"{str(error).splitlines()[0]}"
        ) from None


def _schema(model: type[pydantic.BaseModel], name: str) -> dict[str, Any]:
    try:
        schema = for_models(model.model_json_schema(schema_generator=ArgumentsSchema))
    except (pydantic.errors.PydanticUserError, TypeError) as error:
        raise AgentConfigError(
            f"a parameter of the tool {name} is of no type that JSON can say: "
            f"{str(error).splitlines()[0]}"
        ) from None
    made: dict[str, Any] = without_other_formats(schema)  # pydantic checks these, too
    _check_enforceable(made, name)
    return made


def _check_enforceable(schema: Mapping[str, Any], name: str) -> None:
    problem = unenforceable(schema)
    if problem is not None:
        raise AgentConfigError(
            f"a model cannot be held to the parameters of the tool {name}: {problem}; change or "
            "leave out that keyword, and check the value in the tool itself"
        )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of the parameters; those defined in the function that makes the tool, too."""
    hinted: Any = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(hinted, include_extras=True)
    except NameError:
        frame = inspect.currentframe()
        while frame is not None and frame.f_globals.get("__name__", "").startswith("pyslm.agents"):
            frame = frame.f_back
        if frame is None:
            raise
        return typing.get_type_hints(hinted, localns=frame.f_locals, include_extras=True)


def _description(told: docstring_parser.Docstring) -> str:
    parts = (told.short_description, told.long_description)
    return "\n\n".join(part.strip() for part in parts if part)


def _checker(
    model: type[pydantic.BaseModel], keys: Mapping[str, str]
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def check(given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            found = model.model_validate(dict(given))
        except pydantic.ValidationError as error:
            raise ArgumentsError(_problems(error)) from None
        return {key: getattr(found, field) for field, key in keys.items()}

    return check


def _problems(error: pydantic.ValidationError) -> str:
    problems = [
        f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    more = len(problems) - _MAX_PROBLEMS
    return "; ".join(problems[:_MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def _schema_checker(parameters: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    nothing_else = referencing.Registry[Any]()  # without it, what a schema names is fetched
    validator = jsonschema.Draft202012Validator(dict(parameters), registry=nothing_else)

    def check(given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            found = list(validator.iter_errors(given))
        except referencing.exceptions.Unresolvable as error:
            raise ArgumentsError(
                f"the tool's schema refers to what is not there: {error}"
            ) from None
        problems = [f"{each.json_path}: {each.message}" for each in found]
        if problems:
            raise ArgumentsError("; ".join(problems[:_MAX_PROBLEMS]))
        return dict(given)

    return check
