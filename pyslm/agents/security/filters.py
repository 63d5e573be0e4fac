"""What is looked at before a request begins, and before an answer goes out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from pyslm.errors import AgentConfigError

__all__ = ["REDACTED", "BlockPatterns", "MaxLength", "Redactor", "RefusedTextError", "TextFilter"]


class RefusedTextError(ValueError):
    """A text that may not pass; the message may be shown to whoever wrote it."""


TextFilter: TypeAlias = Callable[[str], str]
"""Gives the text, changed or not; raises `RefusedTextError`."""


def _is_card(text: str) -> bool:
    """By the check digit of ISO/IEC 7812-1."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """By the check digits of ISO 13616."""
    compact = re.sub(r"\s", "", text)
    moved = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_phone(text: str) -> bool:
    return 8 <= sum(character.isdigit() for character in text) <= 15


_KINDS: dict[str, tuple[str, Callable[[str], bool] | None]] = {
    "record": (r"(?i)\b(?:mrn|patient|record)\s*(?:id|no|number|#)?\.?\s*[:=#]?\s*[A-Z]*\d{4,}\b",
               None),
    "secret": (r"(?i)\b(?:bearer\s+|(?:api[_-]?key|token|password|secret)[\"']?\s*[=:]\s*[\"']?)"
               r"\S{6,}|\bsk-[\w-]{16,}|\bpyslm-[\w-]{20,}", None),
    "email": (r"(?<![\w.+-])[\w.+-]{1,256}@[\w-]{1,63}(?:\.[\w-]{1,63})+", None),
    "iban": (r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b", _is_iban),
    "card": (r"\b\d(?:[ -]?\d){12,18}\b", _is_card),
    "ssn": (r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}\b", None),
    "ip": (r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?:[0-9a-fA-F]{1,4}:){2,7}[0-9a-fA-F:]+", _is_ip),
    "phone": (r"(?<![\w.])\+?\(?\d[\d ()/.-]{6,18}\d\b", _is_phone),
}  # fmt: skip

REDACTED = tuple(_KINDS)
"""The kinds of data that a `Redactor` knows."""


class Redactor:
    """Puts [EMAIL], [CARD], ... in place of personal data and secrets.

    By patterns and check digits: it finds what has a form. Names have none.
    """

    def __init__(self, kinds: Iterable[str] = REDACTED) -> None:
        """
        Raises:
            AgentConfigError: a kind that it does not know.
        """
        chosen = tuple(kinds)
        unknown = [kind for kind in chosen if kind not in _KINDS]
        if unknown:
            raise AgentConfigError(
                f"a kind of data is {unknown[0]!r}; allowed: {', '.join(REDACTED)}"
            )
        self._patterns = [
            (f"[{kind.upper()}]", re.compile(_KINDS[kind][0]), _KINDS[kind][1])
            for kind in REDACTED
            if kind in chosen
        ]

    def __call__(self, text: str) -> str:
        """The text without them."""
        for name, pattern, check in self._patterns:

            def replaced(
                found: re.Match[str],
                name: str = name,
                check: Callable[[str], bool] | None = check,
            ) -> str:
                return name if check is None or check(found[0]) else found[0]

            text = pattern.sub(replaced, text)
        return text


class MaxLength:
    """Refuses texts that are too long."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars

    def __call__(self, text: str) -> str:
        if len(text) > self._max_chars:
            raise RefusedTextError(
                f"the text has {len(text)} characters; allowed: at most {self._max_chars}"
            )
        return text


class BlockPatterns:
    """Refuses texts in which one of some regular expressions is found."""

    def __init__(self, patterns: Sequence[str], message: str = "this cannot be answered") -> None:
        self._patterns = [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
        self._message = message

    def __call__(self, text: str) -> str:
        if any(pattern.search(text) for pattern in self._patterns):
            raise RefusedTextError(self._message)
        return text
