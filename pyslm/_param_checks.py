"""Checks of the fields of `SamplingParams`: each gives the value in its right type or raises an
`InvalidRequestError` that names the field, the value and what is allowed."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence

from pyslm.errors import InvalidRequestError

INT32_MAX = 2**31 - 1
UINT64_MAX = 2**64 - 1


def wrong(field: str, value: object, allowed: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} is {value!r}; allowed: {allowed}")


def checked_int(field: str, value: object, low: int, high: int) -> int:
    allowed = f"a whole number from {low} to {high}"
    if isinstance(value, bool):
        raise wrong(field, value, allowed)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise wrong(field, value, allowed) from None
    if not low <= number <= high:
        raise wrong(field, value, allowed)
    return number


def checked_float(field: str, value: object, low: float, high: float, closed: bool) -> float:
    allowed = f"{'from' if closed else 'more than'} {low:g} {'to' if closed else 'up to'} {high:g}"
    if isinstance(value, (bool, str)):
        raise wrong(field, value, allowed)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise wrong(field, value, allowed) from None
    if math.isnan(number) or not (low <= number <= high) or (number == low and not closed):
        raise wrong(field, value, allowed)
    return number


def checked_sequence(field: str, value: object) -> Sequence[object]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise wrong(field, value, "a list")
    return value


def checked_bias(bias: object) -> dict[int, float]:
    if not isinstance(bias, Mapping):
        raise wrong("logit_bias", bias, "a mapping of token ids to amounts")
    return {
        checked_int("logit_bias token", token, 0, INT32_MAX): checked_float(
            f"logit_bias[{token}]", amount, -math.inf, math.inf, True
        )
        for token, amount in bias.items()
    }


def checked_stop(stop: object) -> tuple[str, ...]:
    strings = (stop,) if isinstance(stop, str) else checked_sequence("stop", stop)
    for string in strings:
        if not isinstance(string, str) or not string:
            raise wrong("stop", string, "text of at least one character")
    return tuple(string for string in strings if isinstance(string, str))


def checked_tokens(field: str, tokens: object) -> tuple[int, ...]:
    ids = checked_sequence(field, tokens)
    return tuple(checked_int(field, i, 0, INT32_MAX) for i in ids)


def checked_strings(field: str, strings: object) -> tuple[str, ...]:
    for string in checked_sequence(field, strings):
        if not isinstance(string, str) or not string:
            raise wrong(field, string, "text of at least one character")
    return tuple(strings)  # type: ignore[arg-type]


def checked_words(field: str, words: object) -> tuple[str | tuple[int, ...], ...]:
    """Texts and sequences of token ids, none of them empty."""
    result: list[str | tuple[int, ...]] = []
    for word in checked_sequence(field, words):
        if not isinstance(word, str):
            word = checked_tokens(field, word)
        if not word:
            raise wrong(field, word, "text of at least one character, or token ids")
        result.append(word)
    return tuple(result)
