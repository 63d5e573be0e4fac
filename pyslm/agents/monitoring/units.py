"""Sizes, times and shares as people write them: "4GB", "2s", "80%"."""

from __future__ import annotations

import re

from pyslm.errors import AgentConfigError

__all__ = ["parse_size", "parse_threshold"]

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%]*)\s*")
_SIZES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
}  # fmt: skip
_SECONDS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_size(name: str, text: str | int) -> int:
    """Bytes of "4GB" (10^9), "4GiB" (2^30) or a number.

    Raises:
        AgentConfigError: it is no size above zero; `name` is that of the field.
    """
    found = _NUMBER.fullmatch(str(text))
    factor = _SIZES.get(found[2].lower()) if found else None
    if found is None or factor is None or isinstance(text, bool) or float(found[1]) * factor < 1:
        raise AgentConfigError(
            f'{name} is {text!r:.60}; allowed: a size above zero, such as "500MB", "4GB" or "4GiB"'
        )
    return int(float(found[1]) * factor)


def parse_threshold(name: str, text: str | float) -> float:
    """Seconds of "2s" or "500ms", percent of "80%", bytes of "2GB", or a number.

    Raises:
        AgentConfigError: it is none of these; `name` is that of the field.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    found = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        number, unit = float(found[1]), found[2].lower()
        if unit in ("", "%"):
            return number
        if unit in _SECONDS:
            return number * _SECONDS[unit]
        if unit in _SIZES:
            return number * _SIZES[unit]
    raise AgentConfigError(
        f'{name} is {text!r:.60}; allowed: a number, or one such as "2s", "500ms", "80%", "2GB"'
    )
