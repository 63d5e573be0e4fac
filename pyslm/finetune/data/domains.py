"""The tools and teams of `tools/*.toml`, which are about something.

A parameter is written "key=kind", "?" after an optional one, and perhaps " - description". The
kinds are those of `kinds.toml`, "bool", "enum:a|b" (allowed values), "choice:topic" (some of
`choices.toml`), "like:a|b" (any text, such as these) and "list:a|b" (some of such). A request may
say more than its places: after " | " stand arguments that its words imply.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyslm.errors import InvalidRequestError

__all__ = ["Agent", "Domain", "DomainParam", "Team", "load_domains", "load_teams"]

_FOLDER = Path(__file__).parent / "tools"
_PARAM = re.compile(
    r"(?P<key>\w+)=(?P<kind>\w+)(?::(?P<values>(?:(?! - )[^?])*))?(?P<optional>\?)?"
    r"(?: - (?P<about>.+))?"
)


@dataclasses.dataclass(frozen=True, slots=True)
class DomainParam:
    """An argument; `values` are what stands after the colon of its kind."""

    key: str
    kind: str
    values: tuple[str, ...]
    required: bool
    about: str

    @classmethod
    def read(cls, text: str) -> DomainParam:
        match = _PARAM.fullmatch(text)
        if match is None:
            raise InvalidRequestError(
                f"{text!r} is no parameter; allowed: 'key=kind[:a|b][?][ - about]'"
            )
        values = tuple(match["values"].split("|")) if match["values"] else ()
        return cls(
            match["key"], match["kind"], values, match["optional"] is None, match["about"] or ""
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Domain:
    """A tool with the words for it; see `ToolSpec`."""

    names: tuple[str, ...]
    about: tuple[str, ...]
    params: tuple[DomainParam, ...]
    stems: tuple[str, ...]
    paras: tuple[str, ...]
    gives: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Agent:
    """One of a team: what is said of it, and requests for it."""

    name: str
    about: tuple[str, ...]
    requests: tuple[str, ...]


Team = tuple[Agent, ...]


@functools.cache
def load_domains() -> tuple[Domain, ...]:
    """All tools, in the order of the files' names."""
    return tuple(
        Domain(
            tuple(entry["names"]),
            tuple(entry["about"]),
            tuple(map(DomainParam.read, entry["params"])),
            tuple(entry["stem"]),
            tuple(entry["para"]),
            tuple((key, kind) for key, _, kind in (g.partition("=") for g in entry["gives"])),
        )
        for file in _files()
        for entry in file.get("tool", ())
    )


@functools.cache
def load_teams() -> tuple[Team, ...]:
    """All teams, in the order of the files' names."""
    return tuple(
        tuple(
            Agent(name, tuple(entry["about"]), tuple(entry["requests"]))
            for name, entry in team["agents"].items()
        )
        for file in _files()
        for team in file.get("team", ())
    )


def _files() -> Iterator[Mapping[str, Any]]:
    for path in sorted(_FOLDER.glob("*.toml")):
        yield tomllib.loads(path.read_text(encoding="utf-8"))
