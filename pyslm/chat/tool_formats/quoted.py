"""Arguments whose texts are quoted from the conversation, for models that copy and never compose.

A text that the conversation does not hold cannot be what such a model was asked for: it lost its
way in the middle of a word. Where the grammar allows only what was said, from the beginning of a
word to the end of one, it finds back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyslm.grammar.json_schema import ANNOTATIONS

if TYPE_CHECKING:
    from pyslm.chat.tool_formats.lark import Lark

__all__ = ["is_quoted", "quotable", "quoted_object", "quotes_arguments"]

_DECLARED = re.compile(r"\{%-?\s*set\s+quotes_arguments\s*=\s*true\s*-?%\}")
# What an apostrophe joins to a word, or a letter of those that are written without spaces, or a
# word, or one other character.
_CHUNK = re.compile(r"(?<=[^\W\d_])['\u2019][^\W\d_]+|"
                    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|\w+?"
                    r"(?=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|\W|$)"
                    r"|\W")  # fmt: skip
_STOP = re.compile(r"(?<=\d)\.\s*\Z")
_COMMA, _COLON = "/, ?/", "/: ?/"
# Inside of a JSON string, where white space stands as it is or escaped.
_TRIMMED = r"/(?s:\S|\S.*\S)/ & ~/(?s:\\[nrt].*)/ & ~/(?s:(.*[^\\])?(\\\\)*\\[nrt])/"
_OBJECT = {"type", "properties", "required", "additionalProperties"} | ANNOTATIONS


def quotes_arguments(template: str) -> bool:
    """Whether a chat template says so of its model: it sets `quotes_arguments` to true."""
    return _DECLARED.search(template) is not None


def quotable(messages: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What was said, by anybody, in words and what stands between them.

    Without the full stop behind a number that ends a message: it belongs to the sentence.
    """
    chunks: list[str] = []
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        for text in (part.get("text") for part in parts if isinstance(part, Mapping)):
            if isinstance(text, str) and text:
                chunks += [*_CHUNK.findall(_STOP.sub("", text)), "\n"]
    return tuple(chunks)


def quoted_object(lark: Lark, schema: Mapping[str, Any], chunks: Sequence[str]) -> str | None:
    """The JSON object that the schema allows, its texts quoted; None: it has none to be quoted."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or schema.keys() - _OBJECT:
        return None
    if schema.get("additionalProperties") is not False or not any(map(_is_text, chunks)):
        return None
    if not any(_of_texts(inner) for inner in properties.values()):
        return None
    required = schema.get("required") or ()
    rest = following = '""'
    for key, inner in reversed(list(properties.items())):
        member = f"{lark.text(json.dumps(key, ensure_ascii=False))} {_COLON} "
        member += _value(lark, inner, chunks)
        first, more = f"{member} {following}", f"{_COMMA} {member} {following}"
        if key not in required:
            first, more = f"{first} | {rest}", f"{more} | {following}"
        rest, following = lark.rule("first", first), lark.rule("more", more)
    return f'"{{" {rest} "}}"'


def is_quoted(
    arguments: Mapping[str, Any], schema: Mapping[str, Any], messages: Iterable[Mapping[str, Any]]
) -> bool:
    """Whether the texts in a call's arguments could be quoted from `messages`."""
    said = "".join(quotable(messages))
    properties = schema.get("properties") or {}
    for key, value in arguments.items():
        texts = value if _is_list(properties.get(key)) else [value]
        if _of_texts(properties.get(key)) and not all(text in said for text in texts):
            return False
    return True


def _is_text(chunk: str) -> bool:
    return bool(chunk.strip())


def _of_texts(schema: Any) -> bool:
    return _is_free(schema) or _is_list(schema)


def _is_free(schema: Any) -> bool:
    """Any text at all: one with a pattern or a choice is made as that says."""
    return (
        isinstance(schema, Mapping)
        and schema.get("type") == "string"
        and not schema.keys() - {"type", *ANNOTATIONS}
    )


def _is_list(schema: Any) -> bool:
    return (
        isinstance(schema, Mapping)
        and schema.get("type") == "array"
        and _is_free(schema.get("items"))
        and not schema.keys() - {"type", "items", *ANNOTATIONS}
    )


def _value(lark: Lark, schema: Any, chunks: Sequence[str]) -> str:
    if not _of_texts(schema):
        return lark.json(schema)
    text = f'"\\"" {_quotation(lark, chunks)} "\\""'
    return text if _is_free(schema) else f'"[" ({text} ({_COMMA} {text})*)? "]"'


def _quotation(lark: Lark, chunks: Sequence[str]) -> str:
    escaped = [json.dumps(chunk, ensure_ascii=False)[1:-1] for chunk in chunks]
    said = lark.shared("SAID", f"%regex {json.dumps({'substring_chunks': escaped})}")
    return lark.shared("QUOTED", f"{said} & {_TRIMMED}")
