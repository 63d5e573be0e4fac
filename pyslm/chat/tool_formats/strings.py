"""Terminals of bare strings: text without quotation marks, up to some end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pyslm.chat.tool_formats.lark import ANY_TEXT, Lark, escaped
from pyslm.errors import InvalidRequestError

__all__ = ["bare_string"]

_DATE = r"[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-2]):[0-5][0-9])"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?"
_HOST = rf"{_LABEL}(\.{_LABEL}){{0,4}}"
# Some of what each format allows, which is enough.
_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": r"P([1-9][0-9]{0,3}D|[0-9]{1,3}D?T[0-9]{1,3}H[0-9]{1,2}M[0-9]{1,2}S)",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "ipv4": rf"{_BYTE}(\.{_BYTE}){{3}}",
    "ipv6": r"([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}",
    "hostname": _HOST,
    "email": rf"[a-zA-Z0-9_+-]{{1,30}}(\.[a-zA-Z0-9_+-]{{1,30}}){{0,2}}@{_HOST}",
    "uri": rf"https?://{_HOST}(/[a-zA-Z0-9._~%-]{{0,60}}){{0,8}}(\?[a-zA-Z0-9._~&=-]{{0,200}})?",
}
_UNANCHORED = re.compile(r"(?:[^\\^$]|\\.)*", re.DOTALL)


def bare_string(lark: Lark, schema: Mapping[str, Any], end: str, *more: str) -> str:
    """A string that `schema` allows, and then `end`.

    Args:
        end: a marker, or text that does not occur in the string.
        more: further conditions, each a regular expression in slashes, with "~" before if it must
            not match.

    Raises:
        InvalidRequestError: a pattern or format that cannot be enforced.
    """
    conditions = [ANY_TEXT, *more]
    if not lark.is_control(end) and {"minLength", "pattern"} & schema.keys():
        conditions.append(without(end))  # else it ends at the first anyway
    fewest, most = schema.get("minLength"), schema.get("maxLength")
    if fewest is not None or most is not None:
        upper = "" if most is None else int(most)
        conditions.append(f"/(?s:.{{{int(fewest or 0)},{upper}}})/")
    if "pattern" in schema:
        conditions.append(f"/{_whole(str(schema['pattern']))}/")
    if "format" in schema:
        name = schema["format"]
        if name not in _FORMATS:
            raise InvalidRequestError(
                f"json_schema: the format {name!r:.80} cannot be enforced in this notation; "
                f"supported are {', '.join(_FORMATS)}"
            )
        conditions.append(f"/{_FORMATS[name].replace('/', '[/]')}/")
    string = lark.rule("STRING", " & ".join(conditions))
    if lark.is_control(end):
        return f"{string} {lark.mark(end)}"
    # Lexemes do not give back what they have taken: so the string has to end with its end.
    return lark.rule("string", f"{string} {lark.text(end)}", "[lazy]")


def without(text: str) -> str:
    """The condition that `text` does not occur."""
    return f"~/(?s:.*){escaped(text)}(?s:.*)/"


def _whole(pattern: str) -> str:
    """A regular expression of the whole texts in which a schema's pattern occurs."""
    import llguidance

    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern[begins : len(pattern) - ends]
    plain = re.sub(r"\[\^?(?:[^\]\\]|\\.)*\]", "x", inner)
    if not _UNANCHORED.fullmatch(plain) or ((begins or ends) and _top_level_bar(plain)):
        raise InvalidRequestError(
            f"json_schema: the pattern {pattern!r:.80} cannot be enforced in this notation; "
            "supported are patterns with ^ at the start and $ at the end only"
        )
    any_text = "(?s:.*)"
    lark = llguidance.regex_to_lark(inner, "dw")
    return f"{'' if begins else any_text}({lark}){'' if ends else any_text}"


def _top_level_bar(plain: str) -> bool:
    depth = 0
    for character in re.sub(r"\\.", "x", plain):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "|" and depth == 0:
            return True
    return False
