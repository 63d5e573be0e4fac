"""Checks of the fields of `SamplingParams`: each gives the value in its right type or raises an
`InvalidRequestError` that names the field, the value and what is allowed. The ranges are those of
csrc/sampling/validate.cpp."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

from pyslm.errors import InvalidRequestError

INT32_MAX = 2**31 - 1
UINT64_MAX = 2**64 - 1
FLOAT32_MAX = 3.4028234e38
MAX_BIAS = 100.0
MAX_STOPS, MAX_STOP_BYTES = 128, 4096
MAX_WORDS, MAX_WORD_BYTES = 1024, 256


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


def checked_float(field: str, value: object, low: float, high: float) -> float:
    allowed = f"from {low:g} to {high:g}"
    if isinstance(value, (bool, str)):
        raise wrong(field, value, allowed)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise wrong(field, value, allowed) from None
    if not low <= number <= high:  # NaN too
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
            f"logit_bias[{token}]", amount, -MAX_BIAS, MAX_BIAS
        )
        for token, amount in bias.items()
    }


def checked_stop(stop: object) -> tuple[str, ...]:
    strings = (stop,) if isinstance(stop, str) else stop
    return checked_strings("stop", strings, MAX_STOPS, MAX_STOP_BYTES)


def checked_strings(field: str, value: object, most: int, most_bytes: int) -> tuple[str, ...]:
    """Texts, at most `most`, of 1 to `most_bytes` bytes each."""
    strings = checked_sequence(field, value)
    if len(strings) > most:
        raise wrong(f"the number of strings in {field}", len(strings), f"at most {most}")
    return tuple(checked_string(field, string, most_bytes) for string in strings)


def checked_string(field: str, string: object, most_bytes: int) -> str:
    allowed = f"text of 1 to {most_bytes} bytes"
    if not isinstance(string, str):
        raise wrong(field, string, allowed)
    try:
        num_bytes = len(string.encode())
    except UnicodeEncodeError:  # a lone surrogate
        raise wrong(field, string, allowed) from None
    if not 1 <= num_bytes <= most_bytes:
        raise wrong(field, string[:20], allowed)
    return string


def checked_tokens(field: str, tokens: object) -> tuple[int, ...]:
    ids = checked_sequence(field, tokens)
    return tuple(checked_int(field, i, 0, INT32_MAX) for i in ids)


def checked_words(field: str, value: object) -> tuple[str | tuple[int, ...], ...]:
    """Texts and sequences of token ids, none of them empty."""
    words = checked_sequence(field, value)
    if len(words) > MAX_WORDS:
        raise wrong(f"the number of {field}", len(words), f"at most {MAX_WORDS}")
    result: list[str | tuple[int, ...]] = []
    for word in words:
        if isinstance(word, str):
            result.append(checked_string(field, word, MAX_WORD_BYTES))
        elif tokens := checked_tokens(field, word):
            result.append(tokens)
        else:
            raise wrong(field, word, "text or token ids, at least one")
    return tuple(result)
