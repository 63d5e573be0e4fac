"""The table of formats. A new one is a module of this folder that registers a class."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TypeVar

from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.errors import InvalidRequestError

__all__ = ["detect_tool_format", "register", "tool_format", "tool_format_names"]

_FORMATS: dict[str, ToolFormat] = {}
_F = TypeVar("_F", bound=type[ToolFormat])


def register(cls: _F) -> _F:
    """Class decorator: adds a format to the table."""
    if cls.name in _FORMATS:
        raise ValueError(f"two tool formats are named {cls.name}")
    _FORMATS[cls.name] = cls()
    return cls


@functools.cache
def _load_all() -> None:
    package = importlib.import_module(__package__ or "")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def tool_format_names() -> list[str]:
    """The names of all formats."""
    _load_all()
    return sorted(_FORMATS)


def tool_format(name: str) -> ToolFormat:
    """The format of that name.

    Raises:
        InvalidRequestError: there is none.
    """
    names = tool_format_names()
    if name not in _FORMATS:
        raise InvalidRequestError(
            f"there is no tool format {name!r:.80}; allowed: {', '.join(names)}"
        )
    return _FORMATS[name]


def detect_tool_format(template: str | None) -> ToolFormat:
    """The format of a model with this chat template; "generic" where it knows of none."""
    source = (template or "").replace('\\"', '"')
    candidates = [_FORMATS[name] for name in tool_format_names()]
    return max(candidates, key=lambda candidate: candidate.detect(source))
