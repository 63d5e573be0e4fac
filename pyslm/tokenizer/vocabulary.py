"""A GGUF vocabulary, checked: token texts, types, scores and the ids with a role."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from pyslm.errors import TokenizerError
from pyslm.tokenizer.metadata import Metadata, Value

__all__ = ["TokenType", "Vocabulary", "read_vocabulary"]

MAX_TOKENS = 1 << 22


class TokenType(IntEnum):
    """`tokenizer.ggml.token_type`; UNDEFINED also stands for values the format does not name."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the metadata says, with nothing decided yet.

    Attributes:
        model: `tokenizer.ggml.model`.
        pre: `tokenizer.ggml.pre`, "" where absent.
        tokens: text of each token id, as stored (byte-encoded for "gpt2").
        ids: the inverse of `tokens`.
        types: `TokenType` of each id.
        scores: score of each id (log probability for "llama"), or None.
        merges: BPE merges in order of rank, each "left right", or None.
        special: ids with a role: "bos", "eos", "eot", "eom", "unknown", "seperator", "padding", ...
        flags: "add_bos_token", "add_space_prefix", ... where the file sets them.
        chat_template: the model's Jinja template, or None.
        name: `general.name`, "" where absent.
    """

    model: str
    pre: str
    tokens: list[str]
    ids: dict[str, int]
    types: list[TokenType]
    scores: Sequence[float] | None
    merges: list[str] | None
    special: dict[str, int]
    flags: dict[str, bool]
    chat_template: str | None
    name: str

    @property
    def size(self) -> int:
        return len(self.tokens)

    def ids_of(self, *types: TokenType) -> list[int]:
        """All ids whose type is one of `types`, ascending."""
        if TokenType.NORMAL not in types:  # a few among very many
            packed, found = bytes(self.types), []
            for token_type in types:
                at = packed.find(token_type)
                while at >= 0:
                    found.append(at)
                    at = packed.find(token_type, at + 1)
            return sorted(found)
        return [i for i, token_type in enumerate(self.types) if token_type in types]


_SPECIAL = (
    "bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "cls", "mask",
    "fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep",
)  # fmt: skip
_FLAGS = (
    "add_bos_token",
    "add_eos_token",
    "add_sep_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
    "normalizer.lowercase",
    "normalizer.strip_accents",
)


def read_vocabulary(metadata: Metadata) -> Vocabulary:
    """Checks the tokenizer keys of `metadata`.

    Raises:
        TokenizerError: a key is missing, has the wrong type, or contradicts another.
    """
    model = _string(metadata, "tokenizer.ggml.model")
    if model is None:
        raise TokenizerError(
            "the file has no key 'tokenizer.ggml.model': it carries no vocabulary to build from"
        )
    tokens = _strings(metadata, "tokenizer.ggml.tokens")
    if not tokens:
        raise TokenizerError("key 'tokenizer.ggml.tokens' is missing or empty")
    if len(tokens) > MAX_TOKENS:
        raise TokenizerError(f"{len(tokens)} tokens; at most {MAX_TOKENS} are allowed")
    if "" in tokens:
        tokens = [text or f"[EMPTY_{i}]" for i, text in enumerate(tokens)]
    return Vocabulary(
        model=model,
        pre=_string(metadata, "tokenizer.ggml.pre") or "",
        tokens=tokens,
        ids=_ids(tokens),
        types=_types(metadata, len(tokens)),
        scores=_scores(metadata, len(tokens)),
        merges=_strings(metadata, "tokenizer.ggml.merges"),
        special=_special(metadata, len(tokens)),
        flags=_flags(metadata),
        chat_template=_string(metadata, "tokenizer.chat_template"),
        name=_string(metadata, "general.name") or "",
    )


def _wrong_type(key: str, value: Value, wanted: str) -> TokenizerError:
    return TokenizerError(f"key '{key}' must be {wanted}, not {type(value).__name__}")


def _string(metadata: Metadata, key: str) -> str | None:
    value = metadata.get(key, None)
    if value is not None and not isinstance(value, str):
        raise _wrong_type(key, value, "a string")
    return value


def _strings(metadata: Metadata, key: str) -> list[str] | None:
    value = metadata.get(key, None)
    if value is None:
        return None
    if not isinstance(value, list) or not set(map(type, value)) <= {str}:
        raise _wrong_type(key, value, "an array of strings")
    return value


def _numbers(metadata: Metadata, key: str, num_tokens: int) -> Sequence[float] | None:
    value = metadata.get(key, None)
    if value is None:
        return None
    if isinstance(value, (str, bool, int, float)) or set(map(type, value)) & {str, bytes}:
        raise _wrong_type(key, value, "an array of numbers")
    if len(value) < num_tokens:
        raise TokenizerError(f"key '{key}' has {len(value)} entries for {num_tokens} tokens")
    return list(map(float, value[:num_tokens]))


def _ids(tokens: list[str]) -> dict[str, int]:
    ids = dict(zip(tokens, range(len(tokens)), strict=True))
    if len(ids) != len(tokens):
        second = next(i for i, text in enumerate(tokens) if ids[text] != i)
        text = tokens[second]
        raise TokenizerError(f"token {text!r} appears twice: ids {second} and {ids[text]}")
    return ids


def _types(metadata: Metadata, num_tokens: int) -> list[TokenType]:
    numbers = _numbers(metadata, "tokenizer.ggml.token_type", num_tokens)
    if numbers is None:
        return [TokenType.NORMAL] * num_tokens
    known = {float(token_type): token_type for token_type in TokenType}
    known |= dict.fromkeys(set(numbers) - known.keys(), TokenType.UNDEFINED)
    return list(map(known.__getitem__, numbers))


def _scores(metadata: Metadata, num_tokens: int) -> Sequence[float] | None:
    key = "tokenizer.ggml.scores"
    scores = _numbers(metadata, key, num_tokens)
    if scores is not None and not all(map(math.isfinite, scores)):
        raise TokenizerError(f"key '{key}' holds a score that is not finite")
    return scores


def _special(metadata: Metadata, num_tokens: int) -> dict[str, int]:
    special = {}
    for role in _SPECIAL:
        key = f"tokenizer.ggml.{role}_token_id"
        value = metadata.get(key, None)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type(key, value, "an integer")
        # Files in the wild carry -1 or 2^32-1 for "none"; llama.cpp ignores ids out of range too.
        if 0 <= value < num_tokens:
            special[role] = value
    return special


def _flags(metadata: Metadata) -> dict[str, bool]:
    flags = {}
    for name in _FLAGS:
        value = metadata.get(f"tokenizer.ggml.{name}", None)
        if value is None:
            continue
        if not isinstance(value, bool):
            raise _wrong_type(f"tokenizer.ggml.{name}", value, "a boolean")
        flags[name] = value
    return flags
