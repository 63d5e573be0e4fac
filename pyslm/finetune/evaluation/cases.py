"""The held-out cases, made of `heldout.toml`, `second.toml` or `blind.toml`.

What a model does at the first two is looked at to see where training falls short. The last was
written by somebody who had seen none of it, and nobody looks at what comes of its single cases:
once it has compared some models, it joins the others, and a new one is written.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyslm.identifiers import spoken

__all__ = [
    "MEASURES",
    "SETS",
    "Case",
    "held_out_cases",
    "held_out_source",
    "held_out_values",
]

MEASURES = {
    "tool, shared words": 0.97, "tool, names alike": 0.97, "tool, paraphrased": 0.85,
    "no tool fits": 0.97, "arguments": 0.93, "two calls": 0.85, "asks what is missing": 0.85,
    "answer from result": 0.95, "routing": 0.95, "next request": 0.95,
}  # fmt: skip
"""What is measured, and the share of cases that must be right."""
SETS = ("heldout", "second", "blind")
"""The files that cases are made of."""
_PARAM = re.compile(
    r"(?P<key>\w+)(?P<opt>\?)?: (?P<type>\S+)(?: = (?P<default>\S+))?(?: - (?P<about>.*))?"
)
_TYPES = ("string", "integer", "number", "boolean")
_NUM_TOOLS = (2, 3, 4, 5, 6)


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A conversation to be continued, and what the continuation must be.

    Attributes:
        measure: one of `MEASURES`.
        messages: up to where the model answers.
        tools: as OpenAI has them.
        calls: names and arguments of the calls to be made.
        must: texts that the answer must hold.
        exact: the answer is this and nothing else.
        choices: what it can be, where it is one of several.
    """

    measure: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    must: tuple[str, ...] = ()
    exact: str | None = None
    choices: tuple[str, ...] = ()


def held_out_source(name: str = "heldout") -> dict[str, Any]:
    """One of `SETS`, as it is."""
    path = Path(__file__).with_name(f"{name}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def held_out_values(tool: Mapping[str, Any]) -> set[str]:
    """Text values of a tool of a set; numbers and choices cannot but come in training, too."""
    texts = set()
    for slot, values in tool["values"].items():
        kind = next(p for p in tool["params"] if p.partition(":")[0].rstrip("?") == slot)
        if "|" not in kind:
            flat = itertools.chain(*(v if isinstance(v, list) else [v] for v in values))
            texts |= {value for value in flat if isinstance(value, str)}
    return texts


def held_out_cases(seed: int = 0, rounds: int = 3, name: str = "heldout") -> list[Case]:
    """All cases, `rounds` times; chance decides which values and which tools come together."""
    source = held_out_source(name)
    first = _Cases(source, random.Random(seed))
    later = _Cases(source, random.Random(seed + 1))  # the draws of the others stay as they were
    return [case for _ in range(rounds) for case in first.all()] + [
        case for _ in range(rounds) for case in later.next_requests()
    ]


class _Cases:
    def __init__(self, source: Mapping[str, Any], rng: random.Random) -> None:
        self._source = source
        self._tools: list[dict[str, Any]] = source["tool"]
        self._rng = rng

    def all(self) -> Iterator[Case]:
        for tool in self._tools:
            for text in tool["stem"] + [tool["act"]]:
                yield self._call("tool, shared words", tool, text)
            for text in tool["para"]:
                yield self._call("tool, paraphrased", tool, text)
            yield self._unwanted(tool)
            for text in tool["lack"]:
                yield self._lacking(tool, text)
            yield self._answer(tool)
        for first, second in zip(self._tools, self._shuffled(self._tools), strict=True):
            if first is not second:
                yield self._two(first, second)
        for team in self._source["team"]:
            yield from self._routes(team)
        for tool in self._tools:
            yield self._alike(tool)

    def next_requests(self) -> Iterator[Case]:
        """Each after a call of another tool and its answer: one that a tool fits, one that none."""
        for tool in self._tools:
            wanted = self._call("next request", tool, tool["stem"][-1])
            unwanted = self._unwanted(tool)
            for case in (wanted, dataclasses.replace(unwanted, measure="next request")):
                names = [other["function"]["name"] for other in case.tools]
                able = [o for o in self._tools if o["name"] in names and o is not tool]
                before = self._answered(self._rng.choice(able))
                yield dataclasses.replace(case, messages=(*before, *case.messages))

    def _call(self, measure: str, tool: dict[str, Any], text: str) -> Case:
        said, arguments = self._filled(tool, text)
        calls = ((tool["name"], arguments),)
        return Case(measure, (_user(said),), self._with_others([tool]), calls)

    def _alike(self, tool: dict[str, Any]) -> Case:
        """All names begin with the same word: get_weather, get_current_time."""
        case = self._call("tool, names alike", tool, tool["stem"][0])
        verb = self._rng.choice(("get", "list", "create", "update"))
        names = {other["name"]: f"{verb}_{_snake(other['name'])}" for other in self._tools}
        tools = tuple(
            other | {"function": other["function"] | {"name": names[other["function"]["name"]]}}
            for other in case.tools
        )
        calls = tuple((names[name], arguments) for name, arguments in case.calls)
        return dataclasses.replace(case, tools=tools, calls=calls)

    def _two(self, first: dict[str, Any], second: dict[str, Any]) -> Case:
        a, a_arguments = self._filled(first, first["act"])
        b, b_arguments = self._filled(second, second["act"])
        text = self._rng.choice(self._source["joins"]).format(a=a, b=b)
        calls = ((first["name"], a_arguments), (second["name"], b_arguments))
        return Case("two calls", (_user(text),), self._with_others([first, second]), calls)

    def _unwanted(self, tool: dict[str, Any]) -> Case:
        said, _ = self._filled(tool, tool["stem"][0])
        others = [other for other in self._tools if other is not tool]
        chosen = self._rng.sample(others, self._rng.choice(_NUM_TOOLS))
        return Case("no tool fits", (_user(said),), tuple(map(described, chosen)))

    def _lacking(self, tool: dict[str, Any], text: str) -> Case:
        text, _, missing = text.partition(" | ")
        said, _ = self._filled(tool, text)
        must = (missing.replace("_", " "),)
        return Case("asks what is missing", (_user(said),), self._with_others([tool]), must=must)

    def _answer(self, tool: dict[str, Any]) -> Case:
        return Case(
            "answer from result", self._called(tool), self._with_others([tool]),
            must=tuple(tool["must"]),
        )  # fmt: skip

    def _called(self, tool: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """A request, its call and the result."""
        said, arguments = self._filled(tool, tool["stem"][0])
        function = {"name": tool["name"], "arguments": arguments}
        calls = [{"id": "1", "type": "function", "function": function}]
        call = {"role": "assistant", "content": None, "tool_calls": calls}
        return _user(said), call, {"role": "tool", "tool_call_id": "1", "content": tool["result"]}

    def _answered(self, tool: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """And what is told of it."""
        facts = [f"{spoken(key)}: {_said(v)}" for key, v in json.loads(tool["result"]).items()]
        return *self._called(tool), {"role": "assistant", "content": f"{', '.join(facts)}."}

    def _routes(self, team: dict[str, Any]) -> Iterator[Case]:
        agents: dict[str, Any] = team["agents"]
        lines = [f"- {name}: {agent['about']}" for name, agent in agents.items()]
        system = {"role": "system", "content": "\n".join((team["intro"], *lines))}
        for name, agent in agents.items():
            for text in agent["requests"]:
                yield Case("routing", (system, _user(text)), exact=name, choices=tuple(agents))

    def _filled(self, tool: dict[str, Any], text: str) -> tuple[str, dict[str, Any]]:
        """The request with values in their places, and the arguments that it means."""
        text, _, implied = text.partition(" | ")
        values: dict[str, Any] = {}
        for _, name, _, _ in string.Formatter().parse(text):
            if name and name not in values:
                values[name] = self._rng.choice(tool["values"][name])
        said = text.format(**{name: _said(value) for name, value in values.items()})
        if implied:
            name, _, value = implied.partition("=")
            values[name] = json.loads(value)
        order = [param.partition(":")[0].rstrip("?") for param in tool["params"]]
        return said, {name: values[name] for name in order if name in values}

    def _with_others(self, tools: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
        others = [tool for tool in self._tools if tool not in tools]
        chosen = tools + self._rng.sample(others, self._rng.choice(_NUM_TOOLS) - 1)
        return tuple(map(described, self._shuffled(chosen)))

    def _shuffled(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._rng.sample(tools, len(tools))


def described(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of the file as OpenAI has it."""
    properties: dict[str, Any] = {}
    required = []
    for text in tool["params"]:
        match = _PARAM.fullmatch(text)
        assert match, text  # the file is ours
        schema = _schema(match["type"])
        if match["default"]:
            schema["default"] = json.loads(match["default"])
        if match["about"]:
            schema["description"] = match["about"]
        properties[match["key"]] = schema
        if not match["opt"]:
            required.append(match["key"])
    parameters = {"type": "object", "properties": properties, "required": required}
    function = {"name": tool["name"], "description": tool["about"], "parameters": parameters}
    return {"type": "function", "function": function}


def _schema(kind: str) -> dict[str, Any]:
    if kind.startswith("["):
        return {"type": "array", "items": _schema(kind[1:-1])}
    return {"type": kind} if kind in _TYPES else {"type": "string", "enum": kind.split("|")}


def _snake(name: str) -> str:
    return spoken(name).replace(" ", "_")


def _said(value: Any) -> str:
    if isinstance(value, list):
        return value[0] if len(value) == 1 else f"{', '.join(value[:-1])} and {value[-1]}"
    return str(value)


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}
