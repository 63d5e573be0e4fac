"""Routing: a request goes to one of the agents that a system prompt describes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from pyslm.finetune.data.ask import Requests
from pyslm.finetune.data.domains import load_teams
from pyslm.finetune.data.files import load_toml
from pyslm.finetune.data.messages import joined_and
from pyslm.finetune.data.names import identifier
from pyslm.finetune.data.spec import Branch, Scene, ToolSpec
from pyslm.finetune.data.toolbox import Toolbox
from pyslm.finetune.data.values import Values

__all__ = ["Routing"]

_DESCRIPTIONS = (
    "{acts}", "Handles: {acts}", "Can {acts}.", "For requests to {acts}", "Agent to {acts}.",
    "{things}", "Everything about {things}.", "Knows {things}", "Responsible for {things}",
)  # fmt: skip
_TEAMS = 0.75
_MIXED = 0.4
_LISTS = (
    "- {name}: {about}", "- {name}: {about}", "- {name} - {about}", "* {name} - {about}",
    "- {name} ({about})", "{name}: {about}",
)  # fmt: skip


class Routing:
    """Draws routing scenes; all randomness comes from `rng`."""

    def __init__(
        self, rng: random.Random, values: Values, box: Toolbox, requests: Requests
    ) -> None:
        self._rng = rng
        self._values = values
        self._box = box
        self._requests = requests
        self._frames: dict[str, list[str]] = load_toml("frames.toml")
        self._systems: dict[str, list[str]] = load_toml("frames.toml")["systems"]

    def scene(self, num_branches: int) -> Scene:
        """Some agents, and requests for them."""
        if self._rng.random() < _TEAMS:
            return self._team(num_branches)
        rng = self._rng
        num_agents = rng.choice((2, 3, 3, 4, 4, 5, 6))
        sizes = [rng.choice((1, 1, 2, 2, 3)) for _ in range(num_agents)]
        tools = self._box.draw(sum(sizes), domain_share=0.5)
        agents: dict[str, list[ToolSpec]] = {}
        by_nouns = rng.random() < 0.5
        for size in sizes:
            owned, tools = tools[:size], tools[size:]
            agents.setdefault(self._name(owned), owned)
        described = {}
        for name, owned in agents.items():
            nouns = [tool.nouns[0] for tool in owned if tool.nouns]
            described[name] = joined_and(nouns) if by_nouns and nouns else self._about(owned)
        branches = tuple(self._branch(agents) for _ in range(num_branches))
        return Scene(self._prompt(described), (), branches)

    def _team(self, num_branches: int) -> Scene:
        """A team of the files, or some agents of several."""
        rng = self._rng
        agents = list(rng.choice(load_teams()))
        if rng.random() < _MIXED:
            teams = rng.sample(load_teams(), rng.randint(3, 6))
            agents = [rng.choice(team) for team in teams]
        agents = rng.sample(agents, rng.randint(2, len(agents)))
        names = [agent.name for agent in agents]
        draw = rng.random()
        if draw < 0.2:  # names that tell nothing
            names = [self._values.invented().capitalize() for _ in agents]
        elif draw < 0.5:  # names that nobody can have remembered
            names = [identifier([name, self._values.word()], rng) for name in names]
        by_name = dict(zip(names, agents, strict=True)) if len(set(names)) == len(names) else {}
        if not by_name:
            return self._team(num_branches)
        described = {name: rng.choice(agent.about) for name, agent in by_name.items()}
        branches = []
        for _ in range(num_branches):
            name = rng.choice(list(by_name))
            text = rng.choice(by_name[name].requests)
            text = rng.choice(self._frames["openers"]) + text
            text = text[0].upper() + text[1:] if rng.random() < 0.5 else text
            branches.append(_routed(text, name))
        return Scene(self._prompt(described), (), tuple(branches))

    def _prompt(self, described: Mapping[str, str]) -> str:
        rng = self._rng
        line = rng.choice(_LISTS)
        lines = [line.format(name=name, about=about) for name, about in described.items()]
        parts = [rng.choice(self._systems["route"]), "\n".join(lines)]
        draw = rng.random()
        if draw < 0.3:
            parts.reverse()
        elif draw < 0.6 or parts[0].endswith(":"):
            parts.append(rng.choice(self._systems["route_ends"]))
        return "\n".join(parts)

    def _branch(self, agents: dict[str, list[ToolSpec]]) -> Branch:
        name = self._rng.choice(list(agents))
        tool = self._rng.choice(agents[name])
        paraphrase = self._rng.random() < 0.35
        given = self._requests.arguments(tool, paraphrase=paraphrase)
        text = self._requests.request(tool, given, paraphrase)
        if tool.nouns and self._rng.random() < 0.5:
            text = self._trouble(tool)
        return _routed(text, name)

    def _trouble(self, tool: ToolSpec) -> str:
        """What people say who do not name what they want done."""
        rng = self._rng
        noun = tool.nouns[0] if rng.random() < 0.6 else rng.choice(tool.nouns)
        frame = rng.choice(self._frames["troubles"])
        text = rng.choice(self._frames["openers"]) + frame.format(n=noun, m=self._values.word())
        return text[0].upper() + text[1:] if rng.random() < 0.5 else text

    def _name(self, owned: Sequence[ToolSpec]) -> str:
        rng = self._rng
        if rng.random() < 0.25:  # a name that tells nothing
            return rng.choice(
                (self._values.invented(), self._values.pick("first"), f"agent_{rng.randint(1, 99)}")
            )
        thing = rng.choice(owned).acts[0].split()[-1].strip(".()").lower() or "main"
        suffix = rng.choice(
            (["agent"], ["agent"], [], ["specialist"], ["expert"], ["bot"], ["team"])
        )
        return identifier([thing, *suffix], rng)

    def _about(self, owned: Sequence[ToolSpec]) -> str:
        acts = [self._rng.choice(tool.acts) for tool in owned]
        things = [act.split(" ", 1)[-1] for act in acts]
        return self._rng.choice(_DESCRIPTIONS).format(
            acts=joined_and(acts), things=joined_and(things)
        )


def _routed(text: str, name: str) -> Branch:
    messages = ({"role": "user", "content": text}, {"role": "assistant", "content": name})
    return Branch("route", messages)
