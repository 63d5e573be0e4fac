"""What of a conversation a very small model is shown: the last request, and what that leans on.

Behind a request and its answer such a model goes on as before: it calls the same tool again,
whatever is asked. So it gets each request as if a conversation began with it, but for those that
are none by themselves, as "and tomorrow?" What answers a question of the model belongs to the
request that the question was about.

Whether a request leans on what was said is found by its words, which are English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyslm.identifiers import spoken

__all__ = ["Message", "last_exchange", "leans", "reads_alone", "text_of"]

Message = Mapping[str, Any]

_DECLARED = re.compile(r"\{%-?\s*set\s+reads_alone\s*=\s*true\s*-?%\}")
_INSTRUCTIONS = ("system", "developer")
_AGAIN = re.compile(
    r"(?:(?:and|now|please)\b[ ,]*)*(?:the same|same|again|once more|do (?:it|that) again|"
    r"can you do (?:it|that))\b",
    re.IGNORECASE,
)
_LEANING = re.compile(
    r"^(?:and|or|but|no|not|nope|yes|now|then|try|sorry|rather|actually|else|what about|"
    r"how about|what if|what else|make it|make that|i mean|i meant|once more|one more)\b|"
    r"\b(?:again|same|instead|also|too|as well|another|ditto|likewise)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\?\s*$|^please\b", re.IGNORECASE)
_WHOLE = re.compile(
    r"(?:hello|hi|hey|thanks?|bye|goodbye|good (?:morning|day|evening)|who|whose|when|where|why|"
    r"which|what(?! (?:about|if|else))|how(?! about)|is|are|was|were|do(?! it| that)|does|did|has|"
    r"have)\b",
    re.IGNORECASE,
)
"""Begins greetings and questions, which lean on nothing."""
_ORDER = re.compile(
    r"(?:(?:and|or|but|now|then|next|also|please|ok|okay)\b[ ,]*)*(?P<verb>[a-z]{3,}) "
    r"(?:an?|the|my|our|me|us|it|all|this|that|these|those|some|him|her|them)\b",
    re.IGNORECASE,
)
# Words of three letters and more that say nothing of what is wanted.
_SMALL = """
the and but for nor yet with without from into onto over under until till since between about around
before after during this that these those there here what which who whom whose when where why how
can could will would shall should may might must does did done has have had was were are been being
its his her hers him she they them their you your yours our ours mine not now then next too also
again same instead another other one ones any all each every some more most less than least once
only just well please thanks thank yes sorry rather actually else ditto likewise try make mean meant
want need get let
"""
_OF_TIME = """
time today tomorrow tonight yesterday morning noon afternoon evening night day days week weeks
weekend month months year years hour hours minute minutes monday tuesday wednesday thursday friday
saturday sunday january february march april june july august september october november december
two three four five six seven eight nine ten eleven twelve twenty thirty fifty hundred
"""
_SMALL_WORDS = frozenset(_SMALL.split())
_ANYWHERE = frozenset((*_SMALL_WORDS, *_OF_TIME.split()))
_MOST_LEANING = 3  # words of its own, in a request that says that it leans
_STEM = 5  # letters
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_QUOTED = re.compile(r'"[^"]*"|\u201c[^\u201d]*\u201d')


def reads_alone(template: str) -> bool:
    """Whether a chat template says of its model that it gets no more: it sets `reads_alone`."""
    return _DECLARED.search(template) is not None


def last_exchange(messages: Sequence[Message], tools: Iterable[Message] = ()) -> list[Message]:
    """System prompts, and the messages from the request on that is to be answered.

    Args:
        tools: as OpenAI has them; a request with a word of their names leans on nothing.
    """
    names = _stems(spoken(str(_function(tool).get("name") or "")) for tool in tools)
    asked = [i for i, message in enumerate(messages) if message.get("role") == "user"]
    begin = len(messages)
    while asked:
        begin = asked.pop()
        before = messages[asked[-1] + 1 : begin] if asked else ()
        if not _goes_on(before) and not leans(text_of(messages[begin]) or "", names):
            break
    kept = [m for m in messages[:begin] if m.get("role") in _INSTRUCTIONS] if asked else ()
    return [*kept, *messages[begin:]] if asked else list(messages)


def leans(text: str, names: Iterable[str] = ()) -> bool:
    """Whether a request is none without what was said before.

    Args:
        names: beginnings of words that are in the names of tools.
    """
    plain = _QUOTED.sub(" ", text).strip()
    words = [word if i else word.lower() for i, word in enumerate(_WORD.findall(plain))]
    if _AGAIN.match(plain):
        return True
    if _stems(words) & set(names):
        return False
    own = [w for w in words if len(w) > 2 and w.isalpha() and w.islower() and w not in _ANYWHERE]
    order = _ORDER.match(plain)
    if _WHOLE.match(plain) or (order and order["verb"].lower() not in _ANYWHERE):
        return False
    if _LEANING.search(plain):
        return len(own) <= _MOST_LEANING
    others = [word for word in words if word not in own]
    if own:
        return len(own) == 1 and all(w.lower() in _ANYWHERE or len(w) < 3 for w in others)
    return any(word.lower() not in _SMALL_WORDS for word in others)  # a name, a number, a time


def text_of(message: Message) -> str | None:
    """What a message says; None: it has no text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return " ".join(text for text in texts if isinstance(text, str)) if texts else None


def _goes_on(before: Sequence[Message]) -> bool:
    """Whether what stands between two messages of a user leaves the first of them unanswered."""
    said = [message for message in before if message.get("role") not in _INSTRUCTIONS]
    if not said or said[-1].get("role") != "assistant" or said[-1].get("tool_calls"):
        return True
    return _ASKS.search(text_of(said[-1]) or "") is not None


def _stems(texts: Iterable[str]) -> set[str]:
    words = (word for text in texts for word in _WORD.findall(text.lower()))
    return {word[:_STEM] for word in words if len(word) > 2 and word not in _SMALL_WORDS}


def _function(tool: Message) -> Message:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return function if isinstance(function, Mapping) else tool
