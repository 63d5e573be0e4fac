"""Which agent a request goes to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Literal

from pyslm.agents.agent import Agent
from pyslm.agents.models.model import ChatModel, ModelRequest, Reply
from pyslm.errors import PyslmError

__all__ = ["Complexity", "Route", "by_intent", "by_keywords", "complexity_of", "size_of"]

Complexity = Literal["simple", "moderate", "complex"]

_WORD = re.compile(r"[^\W_]+")
_MIN_STEM = 4
_IDLE_WORDS = {
    "agent",
    "assistant",
    "support",
    "service",
    "the",
    "and",
    "for",
    "with",
    "specialist",
}
_COMPLEX = re.compile(
    r"\b(analy[sz]\w*|compar\w*|evaluat\w*|explain why|prove|derive|design|architect\w*|strateg\w*|"
    r"trade-?offs?|root cause|research|investigat\w*|optimi[sz]\w*|step by step|in depth|"
    r"pros and cons|summari[sz]e)\b",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"\b(and then|after that|also|additionally|first|second|finally)\b|\?", re.I)
_CODE = re.compile(r"```|\bdef |\bclass |[{};]\s*$", re.MULTILINE)
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*b(?![a-z])", re.IGNORECASE)
_CLASSES = {"tiny": 0.4, "mini": 3.8, "small": 7.0, "medium": 14.0, "large": 70.0}


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes, and why."""

    names: tuple[str, ...]
    """Agents, the best first; the others stand by."""
    reason: str


def by_keywords(text: str, agents: Sequence[Agent]) -> Route:
    """By the words that a request shares with what agents are specialized for, their roles and
    names; words of the same stem are the same. Who is spoken of first goes first."""
    said = [word.lower() for word in _WORD.findall(text)]
    scores: list[tuple[float, int, int]] = []
    for index, agent in enumerate(agents):
        places = [_place(said, word) for word in _words(agent)]
        found = [place for place in places if place is not None]
        scores.append((-len(set(found)), min(found, default=len(said)), index))
    best = sorted(scores)
    names = tuple(agents[index].name for *_, index in best)
    shared = -int(best[0][0])
    reason = f"{shared} shared words" if shared else "no shared words; the first agent"
    return Route(names, reason)


async def by_intent(text: str, agents: Sequence[Agent], router: ChatModel | None) -> Route:
    """By a model's choice among the agents' names, constrained to them, which takes one step where
    they begin with different tokens; by keywords where there is no model or it fails."""
    rules = by_keywords(text, agents)
    if router is None or len(agents) < 2:
        return rules
    names = [agent.name for agent in agents]
    listed = "\n".join(f"- {agent.name}: {_description(agent)}" for agent in agents)
    request = ModelRequest(
        messages=[
            {
                "role": "system",
                "content": f"Choose who shall handle the request:\n{listed}\n"
                "Answer with a name alone.",
            },
            {"role": "user", "content": text},
        ],
        choice=names,
        max_tokens=64,
        temperature=0.0,
        thinking=False,
    )
    try:
        chosen = await _chosen(router, request, names)
    except PyslmError as error:
        return dataclasses.replace(rules, reason=f"{rules.reason} (the router failed: {error})")
    if chosen is None:
        return dataclasses.replace(rules, reason=f"{rules.reason} (the router chose nobody)")
    others = [name for name in rules.names if name != chosen]
    return Route((chosen, *others), "the router's choice")


async def _chosen(router: ChatModel, request: ModelRequest, names: Sequence[str]) -> str | None:
    """The name that a model writes; it is not waited for once it can be no other."""
    reply = Reply()
    events = router.stream(request)
    try:
        async for event in events:
            reply.take(event)
            begun = reply.text.lstrip()
            meant = [name for name in names if begun and name.startswith(begun)]
            if len(meant) == 1:
                return meant[0]
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
    written = reply.text.strip()
    return written if written in names else None


def complexity_of(text: str) -> Complexity:
    """By length, by words that ask for reasoning, by how many things are asked, by code."""
    num_words = len(_WORD.findall(text))
    points = (num_words > 40) + (num_words > 150) + 2 * min(len(_COMPLEX.findall(text)), 2)
    points += len(_SEVERAL.findall(text)) > 2
    points += bool(_CODE.search(text))
    return "simple" if points == 0 else "moderate" if points < 3 else "complex"


def size_of(agent: Agent, default: float) -> float:
    """Parameters of its model in billions, by its name: "qwen2.5-0.5b", "phi-4-mini"."""
    name = agent.config.model or ""
    found = _SIZE.search(name.replace("-", " ").replace(":", " ").replace("_", " "))
    if found:
        return float(found[1])
    for word, size in _CLASSES.items():
        if word in name.lower():
            return size
    return default


def _words(agent: Agent) -> set[str]:
    config = agent.config
    texts = (*config.specialties, config.role, config.name)
    words = {word.lower() for text in texts for word in _WORD.findall(text)}
    return {word for word in words if len(word) >= 3 and word not in _IDLE_WORDS}


def _place(said: Sequence[str], word: str) -> int | None:
    """Where a word, or one of the same stem, stands."""
    stem = word[: max(_MIN_STEM, len(word) - 3)]
    for place, other in enumerate(said):
        if other == word or (len(stem) >= _MIN_STEM and other.startswith(stem)):
            return place
    return None


def _description(agent: Agent) -> str:
    config = agent.config
    parts = (", ".join(config.specialties), config.role, config.context[:160])
    return "; ".join(part for part in parts if part) or "anything"
