"""Bounds on what one rendering of a chat template may cost.

A template comes with a model, from strangers. Jinja repeats things only by `for` loops, by calls
(macros, `loop(...)`) and inside filters and methods, so a look at the clock at each iteration, call
and filter bounds the time, as long as no single operation is large; and single operations are kept
small by refusing large operands beforehand, and large sums of results. Covered: `*`, `**`, `+`,
`%`, `~`, methods of built-in values, filters, output. Not covered: the time of compiling, which the
length of the source bounds, and single filters over lists already built (`sort`, `sum`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import SecurityError

__all__ = ["MAX_OUTPUT_BYTES", "MAX_SECONDS", "MAX_SOURCE_CHARS", "Budget", "budget", "check"]

MAX_SECONDS = 1.0
MAX_OUTPUT_BYTES = 8 << 20
MAX_SOURCE_CHARS = 1 << 20
_MAX_INTEGER_BITS = 4096
_MAX_CREATED = 512 << 20
# "%999999999d" and "{:>999999999}" are large strings, "%*d" and "{:{}}" may be.
_WIDE_PERCENT = re.compile(r"%[^a-zA-Z%]*(\*|\d{5})")
_WIDE_BRACES = re.compile(r"\{[^{}]*:[^{}]*(\{|\d{5})")


@dataclass(slots=True)
class Budget:
    """What is left to one rendering: time, and items (characters, list entries) to create."""

    deadline: float
    num_items: int = _MAX_CREATED

    @classmethod
    def start(cls) -> Budget:
        # Of the processor, for the thread that renders: a busy machine refuses nothing.
        return cls(time.thread_time() + MAX_SECONDS)


budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


def check() -> None:
    """Raises SecurityError when the time of the rendering under way is over."""
    current = budget.get()
    if current is not None and time.thread_time() > current.deadline:
        raise SecurityError(f"took longer than {MAX_SECONDS:g} s")


def watched(iterable: Iterable[Any]) -> Iterator[Any]:
    """`iterable`, with a look at the clock before each item."""
    for item in iterable:
        check()
        yield item


def check_size(num_items: int) -> None:
    """Refuses to make a string or list of very many items, or too many such in sum."""
    if num_items > MAX_OUTPUT_BYTES:
        raise SecurityError(f"made a value of {num_items} items; at most {MAX_OUTPUT_BYTES}")
    current = budget.get()
    if current is not None:
        current.num_items -= num_items
        if current.num_items < 0:
            raise SecurityError(f"made values of more than {_MAX_CREATED} items in all")


def check_operands(operator: str, left: Any, right: Any) -> None:
    """Refuses the arithmetic whose result would be large. Raises SecurityError."""
    check()
    if operator == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
        check_size(len(left) + len(right))
    elif operator == "*":
        for sequence, count in ((left, right), (right, left)):
            if hasattr(sequence, "__len__") and isinstance(count, int):
                check_size(len(sequence) * count)
        if isinstance(left, int) and isinstance(right, int):
            check_bits(left.bit_length() + right.bit_length())
    elif operator == "**":
        if isinstance(left, int) and isinstance(right, int):
            check_bits(left.bit_length() * abs(right))
    elif operator == "%" and isinstance(left, str):
        check_format(left, braces=False)


def check_bits(num_bits: int) -> None:
    if num_bits > _MAX_INTEGER_BITS:
        raise SecurityError(f"made an integer of {num_bits} bits; at most {_MAX_INTEGER_BITS}")


def check_format(pattern: str, *, braces: bool) -> None:
    """Refuses large or variable widths in a format string, of `str.format` or of `%`."""
    if (_WIDE_BRACES if braces else _WIDE_PERCENT).search(pattern):
        raise SecurityError("used a format with a very large or variable width")


def check_arguments(name: str, subject: Any, arguments: Iterable[Any]) -> None:
    """Refuses arguments that make a filter or string method produce much. Raises SecurityError."""
    check()
    arguments = list(arguments)
    for argument in arguments:
        if isinstance(argument, int) and not isinstance(argument, bool):
            check_size(min(abs(argument), MAX_OUTPUT_BYTES + 1))
    if name == "format" and isinstance(subject, str):  # jinja2's filter is `%`
        check_format(subject, braces=False)
    if name == "replace" and isinstance(subject, str) and len(arguments) >= 2:
        old, new = str(arguments[0]), str(arguments[1])
        check_size(len(subject) + subject.count(old) * max(0, len(new) - len(old)))
    if name == "join" and isinstance(subject, str) and arguments:
        items = arguments[0]
        if hasattr(items, "__len__"):
            check_size(len(subject) * len(items))
