"""What happens to each generated token's bytes on their way to a client."""

from __future__ import annotations

from pyslm.stream._text import Utf8Joiner

__all__ = ["Utf8Joiner"]
