"""Checks of arguments that several modules make in the same words."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from pyslm.errors import InvalidRequestError

__all__ = ["check_choice", "check_count", "warn_unsupported"]


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Raises InvalidRequestError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise InvalidRequestError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")


def check_count(name: str, value: int | None, low: int, high: int) -> None:
    """Raises InvalidRequestError unless `value` is None or a whole number in [low, high]."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequestError(f"{name} is {value!r}; allowed: a number from {low} to {high}")


def warn_unsupported(stacklevel: int, **options: object) -> None:
    """Warns of every option that is set but has no effect on the CPU backend."""
    for name, value in options.items():
        if value:
            warnings.warn(
                f"{name}={value!r} is not supported by the CPU backend and has no effect",
                RuntimeWarning,
                stacklevel=stacklevel + 1,
            )
