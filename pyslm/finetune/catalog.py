"""A person's own tools, as the generator takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyslm.chat.tools import Tool, tools_of
from pyslm.errors import InvalidRequestError, ModelFileError, ModelNotFoundError
from pyslm.finetune.data.files import Lexicon, Word, load_toml
from pyslm.finetune.data.spec import Param, ToolSpec
from pyslm.identifiers import spoken

__all__ = ["MAX_TOOLS", "read_catalog", "tool_spec"]

MAX_TOOLS = 32
_MAKERS = {"integer": "count", "number": "money", "boolean": "flag"}
_LIST_MAKERS = {"integer": "integers", "string": "things"}
_FORMATS = {"date": "date", "time": "clock", "email": "email", "uri": "url", "date-time": "date"}
_MAX_ALIKE = 6


def read_catalog(path: Path) -> tuple[ToolSpec, ...]:
    """The tools of a JSON file: a list, or an object with a list "tools".

    Raises:
        ModelNotFoundError, ModelFileError: there is no such file, or it is no JSON.
        InvalidRequestError: it holds no tools or too many, or a tool is malformed.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelNotFoundError(f"{path}: no such file; give a JSON file with tools") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} is no JSON file: {error}") from error
    tools = data.get("tools") if isinstance(data, Mapping) else data
    if not isinstance(tools, list) or not tools:
        raise InvalidRequestError(
            f"{path} holds no tools; allowed: a list of OpenAI tools, or an object whose "
            "'tools' is such a list"
        )
    if len(tools) > MAX_TOOLS:
        raise InvalidRequestError(
            f"{path} holds {len(tools)} tools; at most {MAX_TOOLS} fit beside a request: split "
            "them among several agents"
        )
    return tuple(tool_spec(tool) for tool in tools_of(tools).values())


def tool_spec(tool: Tool) -> ToolSpec:
    """A tool with the ways to ask for it, made of its name and description.

    Raises:
        InvalidRequestError: a required argument of a kind that no request can tell, such as an
            object.
    """
    required = tool.parameters.get("required") or ()
    params = [_param(tool, key, schema, key in required) for key, schema in tool.properties.items()]
    verb, noun = _split(spoken(tool.name).split())
    nouns = [noun, *_alike(_find(Lexicon.load().nouns, noun.split()[-1] if noun else ""), noun)]
    asks, verbs = _verbs(verb)
    act = _act(tool.description) or spoken(tool.name)
    return ToolSpec(
        topic=tool.name,
        name=tool.name,
        description=tool.description,
        params=tuple(param for param in params if param is not None),
        acts=tuple(dict.fromkeys((act, f"{verb} {noun}".strip()))),
        para_acts=tuple(f"{v} the {n}" for v in verbs[1:] for n in nouns if n)[:_MAX_ALIKE],
        stems=(),
        paras=(),
        nouns=tuple(n for n in nouns if n),
        things=(noun,) if asks and noun else (),
        para_things=tuple(nouns[1:]) if asks else (),
        gives=(("result", "thing"), ("status", "word")),
        declared=tool.described(),
    )


def _split(words: list[str]) -> tuple[str, str]:
    """A name's verb and the rest; "get" where it has none."""
    verbs = {word.word for word in Lexicon.load().verbs} | {v for group in _groups() for v in group}
    if words and words[0] in verbs:
        return words[0], " ".join(words[1:])
    return "get", " ".join(words)


def _groups() -> list[list[str]]:
    actions = load_toml("actions.toml")
    return [group.split("|") for group in (*actions["asks"], *actions["does"])]


def _verbs(verb: str) -> tuple[bool, list[str]]:
    """Whether it asks for something, and verbs that mean the same, itself first."""
    num_asks = len(load_toml("actions.toml")["asks"])
    groups = list(enumerate(_groups()))
    # "open" is what a group begins with, and in another it stands for "read".
    for i, group in sorted(groups, key=lambda numbered: numbered[1][0] != verb):
        if verb in group:
            return i < num_asks, [verb, *(other for other in group if other != verb)]
    word = _find(Lexicon.load().verbs, verb)
    return False, [verb, *(word.synonyms if word else ())]


def _find(words: tuple[Word, ...], text: str) -> Word | None:
    singular = text.removesuffix("s")
    return next((word for word in words if word.word in (text, singular)), None)


def _alike(word: Word | None, noun: str) -> list[str]:
    if word is None:
        return []
    front = noun.rpartition(" ")[0]
    return [f"{front} {other}".strip() for other in (*word.synonyms, word.hypernym) if other]


def _act(description: str) -> str:
    """The first sentence of a description, as an order."""
    sentence = description.split("\n")[0].split(". ")[0].strip(" .")
    first, _, rest = sentence.partition(" ")
    verb = first.lower()
    if verb.endswith("s") and _split([verb[:-1]])[0] == verb[:-1]:  # "Returns the time"
        verb = verb[:-1]
    return f"{verb} {rest}".strip()


def _param(tool: Tool, key: str, schema: Any, required: bool) -> Param | None:
    """None for an optional argument that is left out always."""
    maker = _maker(key, schema) if isinstance(schema, Mapping) else None
    if maker is None:
        if required:
            raise InvalidRequestError(
                f"the tool {tool.name} requires {key!r}, whose schema is {schema!r:.80}; allowed: "
                "string, number, integer, boolean, enum, or a list of strings or integers"
            )
        return None
    kinds = load_toml("kinds.toml")
    kind = next(entry for entry in kinds.values() if entry["values"] == maker)
    typed = {"type": "string", **schema}
    return Param("", key, spoken(key), maker, tuple(kind["carriers"]), typed, required)


def _maker(key: str, schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type", "string")
    if "enum" in schema:
        texts = schema["enum"]
        is_text = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        return "choice" if texts and is_text else None
    if kind == "array":
        items = schema.get("items")
        return _LIST_MAKERS.get(items.get("type", "string")) if isinstance(items, Mapping) else None
    if kind != "string":
        return _MAKERS.get(kind) if isinstance(kind, str) else None
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    words = set(spoken(key).split())
    for entry in load_toml("kinds.toml").values():
        if entry.get("type", "string") == "string" and words & set(entry["names"]):
            return str(entry["values"])
    return "thing"
