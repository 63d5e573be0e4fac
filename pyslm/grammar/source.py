"""The grammar that a request asks for, in one of llguidance's dialects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from pyslm.errors import InvalidRequestError
from pyslm.grammar.json_schema import json_schema_grammar

__all__ = ["GrammarSource", "choice_grammar", "grammar_source", "regex_grammar"]

_FIELDS = ("json_schema", "json_object", "regex", "choice", "grammar")

MAX_CHOICES = 10_000


class GrammarSource(NamedTuple):
    """A grammar and its dialect: "json_schema" or "lark"."""

    type: str
    text: str


class AsksForGrammar(Protocol):
    """The fields of `SamplingParams` that make a grammar."""

    @property
    def json_schema(self) -> Mapping[str, Any] | bool | str | None: ...
    @property
    def json_object(self) -> bool: ...
    @property
    def regex(self) -> str | None: ...
    @property
    def choice(self) -> Sequence[str] | None: ...
    @property
    def grammar(self) -> str | None: ...


def grammar_source(params: AsksForGrammar) -> GrammarSource | None:
    """What the output must follow; None where anything goes.

    Raises:
        InvalidRequestError: more than one grammar, or one that is malformed.
    """
    given = [
        name
        for name in _FIELDS
        # By identity: 0 is no schema, yet equals False.
        if not (getattr(params, name) is None or getattr(params, name) is False)
    ]
    if params.json_schema is False:
        given.insert(0, "json_schema")
    if not given:
        return None
    if len(given) > 1:
        raise InvalidRequestError(f"{' and '.join(given)} are given; allowed: one of them")
    if params.json_object:
        return GrammarSource("json_schema", json_schema_grammar({"type": "object"}))
    if params.json_schema is not None:
        return GrammarSource("json_schema", json_schema_grammar(params.json_schema))
    if params.choice is not None:
        return GrammarSource("lark", choice_grammar(params.choice))
    if params.regex is not None:
        return GrammarSource("lark", regex_grammar(_checked("regex", params.regex)))
    return GrammarSource("lark", _checked("grammar", params.grammar))


def regex_grammar(regex: str) -> str:
    """A Lark grammar of the texts that match as a whole. \\d and \\w mean ASCII, as in the patterns
    of JSON schemas: a date in digits of sixty scripts is what nobody asked for."""
    import llguidance

    return f"start: /{llguidance.regex_to_lark(regex, 'dw')}/"


def choice_grammar(choices: Sequence[str]) -> str:
    """A Lark grammar of these texts and no others."""
    if isinstance(choices, (str, bytes)) or not isinstance(choices, Sequence):
        raise InvalidRequestError(f"choice is {choices!r}; allowed: a list of texts")
    if not 1 <= len(choices) <= MAX_CHOICES:
        raise InvalidRequestError(
            f"choice has {len(choices)} texts; allowed: from 1 to {MAX_CHOICES}"
        )
    texts = [_literal(_checked("choice", text)) for text in choices]
    return f"start: CHOICE\nCHOICE: {' | '.join(texts)}"


def _literal(text: str) -> str:
    # Lark strings are JSON strings that may not hold DEL either.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _checked(field: str, text: Any) -> str:
    if not isinstance(text, str) or not text or (field != "choice" and "\0" in text):
        raise InvalidRequestError(
            f"{field} holds {text!r:.80}; allowed: text of at least one character, without NUL"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(f"{field} holds a lone surrogate; allowed: any Unicode") from None
    return text
