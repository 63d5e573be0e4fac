"""How long a model stays, as clients write it."""

from __future__ import annotations

import re

from pyslm.serve.protocol.error import ServeError

__all__ = ["keep_alive_seconds"]

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_LONGEST = 1e9


def keep_alive_seconds(value: float | str | None) -> float | None:
    """Seconds, of a number or of text as Ollama and Go write it ("10m", "1h30m", "-1").

    Negative: for ever. None stays None.

    Raises:
        ServeError: it is no duration.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _parsed(value.strip())
    return min(max(value, -1.0), _LONGEST)


def _parsed(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    digits = text.lstrip("+-")[:32]
    try:
        return sign * float(digits)
    except ValueError:
        pieces = _PIECE.findall(digits)
        if pieces and "".join(number + unit for number, unit in pieces) == digits:
            return sign * sum(float(number) * _UNITS[unit] for number, unit in pieces)
    raise ServeError(
        "invalid_request",
        f"keep_alive is {text[:40]!r}; allowed: seconds, or a duration such as 10m or 1h30m",
        param="keep_alive",
    )
