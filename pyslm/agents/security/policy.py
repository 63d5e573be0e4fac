"""Who may call which tool with which arguments."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import jsonschema
import pydantic_core

from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError

__all__ = ["Allow", "ApprovalHook", "ApprovalRequest", "Decision", "Policy", "User"]

_WILDCARDS = "*?["


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """Whose request it is."""

    name: str
    roles: tuple[str, ...] | None = None
    """What the user may do is allowed to these roles; None: as the agent alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Allow:
    """A rule: these tools may be called."""

    tools: str
    """A name, or a pattern such as "lookup_*". Patterns never match sensitive tools."""
    arguments: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """A JSON schema for each argument that is restricted: {"amount": {"maximum": 50}}."""
    when: Callable[[Mapping[str, Any], User | None], bool | None] | None = None
    """A further condition, of the arguments and the user: holds if it gives True."""
    approval: bool = False
    """Only after somebody has approved the very call."""

    def matches(self, tool: Tool) -> bool:
        """Whether the rule speaks of a tool."""
        if any(character in self.tools for character in _WILDCARDS):
            return not tool.sensitive and fnmatch.fnmatchcase(tool.name, self.tools)
        return tool.name == self.tools

    def problem(self, arguments: Mapping[str, Any], user: User | None) -> str | None:
        """Why the rule does not allow these arguments."""
        schema = {
            "type": "object",
            "properties": dict(self.arguments),
            "required": list(self.arguments),
        }
        told = pydantic_core.to_jsonable_python(dict(arguments), fallback=str)
        for error in jsonschema.Draft202012Validator(schema).iter_errors(told):
            return f"{error.json_path}: {error.message}"
        if self.when is not None and self.when(arguments, user) is not True:
            return "a condition of the rule does not hold"
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """On one call."""

    verdict: Literal["allow", "deny", "ask"]
    """ask: somebody has to approve it."""
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """What somebody is asked to approve."""

    agent: str
    user: str
    session: str | None
    tool: str
    arguments: Mapping[str, Any]
    """As the tool would get them."""
    reason: str


ApprovalHook: TypeAlias = Callable[[ApprovalRequest], bool | Awaitable[bool]]
"""Anything but True, an error and silence all mean no."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules by role. A call is allowed if a rule of one of the agent's roles allows it and, where
    the user has roles, a rule of one of these does, too. What no rule speaks of is as `default`
    says; sensitive tools need a rule with their very name.

    ::

        Policy(roles={"support": ["lookup_*", Allow("refund", {"amount": {"maximum": 50}})]})
    """

    roles: Mapping[str, Sequence[str | Allow]] = dataclasses.field(default_factory=dict)
    default: Literal["allow", "deny"] = "deny"
    deny: Sequence[str] = ()
    """Patterns of tools that nobody may call, whatever the rules say."""
    approve_writes: bool = False
    """Tools marked `writes` need approval."""
    guard_untrusted: bool = True
    """Once a conversation holds results of tools that are not `trusted`, tools marked `writes` or
    `sensitive` need approval: what strangers wrote may have talked the model into it."""
    approval_seconds: float = 300.0
    """No answer for so long means no."""

    def __post_init__(self) -> None:
        if self.default not in ("allow", "deny"):
            raise AgentConfigError(f"default is {self.default!r}; allowed: allow, deny")
        for role, rules in self.roles.items():
            if isinstance(rules, str) or not all(isinstance(r, (str, Allow)) for r in rules):
                raise AgentConfigError(
                    f"the rules of the role {role!r} are {rules!r:.80}; allowed: a list of names, "
                    "patterns and Allow"
                )
            for rule in rules:
                for schema in rule.arguments.values() if isinstance(rule, Allow) else ():
                    _check_schema(role, schema)

    def decide(
        self,
        roles: Sequence[str],
        user: User | None,
        tool: Tool,
        arguments: Mapping[str, Any],
        *,
        untrusted: bool = False,
    ) -> Decision:
        """On one call of an agent that has these roles.

        Args:
            untrusted: the conversation holds what strangers wrote.
        """
        if any(fnmatch.fnmatchcase(tool.name, pattern) for pattern in self.deny):
            return Decision("deny", "the policy denies this tool to everybody")
        if tool.builtin:
            return Decision("allow", "it is a part of the agent")
        asks = False
        holders = [("the agent", tuple(roles))]
        if user is not None and user.roles is not None:
            holders.append((f"the user {user.name}", user.roles))
        for who, theirs in holders:
            decision = self._of_roles(who, theirs, user, tool, arguments)
            if decision.verdict == "deny":
                return decision
            asks |= decision.verdict == "ask"
        if untrusted and self.guard_untrusted and (tool.writes or tool.sensitive):
            return Decision("ask", "the conversation holds results that strangers wrote")
        if asks or (self.approve_writes and tool.writes):
            return Decision("ask", "the policy asks for approval")
        return Decision("allow", "a rule allows it")

    def _of_roles(
        self,
        who: str,
        roles: Sequence[str],
        user: User | None,
        tool: Tool,
        arguments: Mapping[str, Any],
    ) -> Decision:
        found = [rule for role in roles for rule in self._rules(role) if rule.matches(tool)]
        problems = []
        for rule in sorted(found, key=lambda rule: rule.approval):
            problem = rule.problem(arguments, user)
            if problem is None:
                return Decision("ask" if rule.approval else "allow", "a rule allows it")
            problems.append(problem)
        if problems:
            return Decision("deny", f"{who} may call {tool.name}, but not so: {problems[0]}")
        if tool.sensitive:
            return Decision("deny", f"{tool.name} is sensitive, and no rule lets {who} call it")
        governed = any(rule.matches(tool) for role in self.roles for rule in self._rules(role))
        if governed or self.default == "deny":
            return Decision("deny", f"no rule lets {who} call {tool.name}")
        return Decision("allow", "nothing speaks against it")

    def _rules(self, role: str) -> list[Allow]:
        rules = self.roles.get(role, ())
        return [rule if isinstance(rule, Allow) else Allow(rule) for rule in rules]


def _check_schema(role: str, schema: Mapping[str, Any]) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise AgentConfigError(
            f"a rule of the role {role!r} has {schema!r:.80}, which is no JSON schema: "
            f"{error.message}"
        ) from None
