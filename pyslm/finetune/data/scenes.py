"""The training data: an endless stream of scenes from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pyslm.finetune.data.agents import Routing
from pyslm.finetune.data.ask import Requests
from pyslm.finetune.data.branches import Branches
from pyslm.finetune.data.files import Lexicon, load_toml
from pyslm.finetune.data.spec import Branch, OwnData, Scene, ToolSpec
from pyslm.finetune.data.toolbox import Toolbox
from pyslm.finetune.data.values import Values

__all__ = ["CATEGORIES", "Scenes", "scenes"]

CATEGORIES = {
    "call": 24, "call_paraphrased": 26, "several": 18, "both_answered": 2, "missing": 15,
    "none": 30, "talk": 1, "answer": 6, "asked": 2, "failed": 1, "again": 4,
}  # fmt: skip
"""Weights of the kinds of conversations about tools; routing has scenes of its own."""
_CATALOG = 0.7
_CONVERSATIONS = 0.5
_ROUTING = 0.22
_TALK_ALONE = 0.02
_PLAIN = 0.6  # scenes with tools and values as most programs have them


class Scenes:
    """Draws scenes."""

    def __init__(self, seed: int, own: OwnData | None = None) -> None:
        """With data of somebody's `own`, most scenes are of these."""
        own = own or OwnData()
        self._catalog = own.catalog
        self._conversations = own.conversations
        rng = self._rng = random.Random(seed)
        self._values = Values(rng, Lexicon.load())
        self._box = Toolbox(rng, self._values)
        requests = Requests(rng, self._values)
        self._branches = Branches(rng, self._values, requests)
        self._routing = Routing(rng, self._values, self._box, requests)
        self._systems: list[str] = load_toml("frames.toml")["systems"]["plain"]

    def draw(self, max_tools: int = 8, num_branches: int = 8, min_tools: int = 1) -> Scene:
        """One scene; those with tools have from `min_tools` to `max_tools`, rather few."""
        rng = self._rng
        if self._conversations and rng.random() < _CONVERSATIONS:
            return rng.choice(self._conversations)
        plain = rng.random() < _PLAIN
        self._values.be_plain(plain)
        if self._catalog and rng.random() < _CATALOG:
            return self._catalog_scene(num_branches)
        kind = rng.random()
        if kind < _ROUTING:
            return self._routing.scene(num_branches)
        if kind < _ROUTING + _TALK_ALONE:
            return Scene(self._system(), (), tuple(self._branches.talk() for _ in range(2)))
        # One tool more than the scene has: the one that is asked for in vain.
        num_tools = min(rng.randint(min_tools, max_tools), rng.randint(min_tools, max_tools))
        *tools, other = self._box.draw(num_tools + 1, plain=plain)
        branches = tuple(self._branch(tools, other) for _ in range(num_branches))
        return Scene(self._system(), tuple(tool.described() for tool in tools), branches)

    def _catalog_scene(self, num_branches: int) -> Scene:
        """All tools of the catalog, or some, and perhaps one of no catalog."""
        rng = self._rng
        tools = list(self._catalog)
        (other,) = self._box.draw(1)
        if len(tools) > 1 and rng.random() < 0.5:
            tools = rng.sample(tools, rng.randint(1, len(tools)))
            left = [tool for tool in self._catalog if tool not in tools]
            if left and rng.random() < 0.5:
                other = rng.choice(left)
        branches = tuple(self._branch(tools, other) for _ in range(num_branches))
        return Scene(self._system(), tuple(tool.described() for tool in tools), branches)

    def _branch(self, tools: list[ToolSpec], other: ToolSpec) -> Branch:
        while True:
            (category,) = self._rng.choices(list(CATEGORIES), list(CATEGORIES.values()))
            branch = self._of_category(category, tools, other)
            if branch is not None:
                return branch

    def _of_category(self, category: str, tools: list[ToolSpec], other: ToolSpec) -> Branch | None:
        rng, make = self._rng, self._branches
        tool = rng.choice(tools)
        match category:
            case "call":
                return make.call(tool)
            case "call_paraphrased":
                able = [t for t in tools if t.paras or t.para_acts]
                return make.call(rng.choice(able), paraphrase=True) if able else None
            case "several" | "both_answered":
                chosen = [rng.choice(tools) for _ in range(rng.choice((2, 2, 2, 2, 3)))]
                return make.several(chosen) if category == "several" else make.both_answered(chosen)
            case "none":
                return make.none(other)
            case "talk":
                return make.talk()
        method = {"missing": make.missing, "answer": make.answer, "asked": make.asked,
                  "failed": make.failed, "again": make.again}[category]  # fmt: skip
        return method(tool)

    def _system(self) -> str | None:
        rng = self._rng
        if rng.random() < 0.45:
            return None
        text = " ".join(rng.sample(self._systems, rng.choice((1, 1, 2))))
        nouns = Lexicon.load().nouns
        return text.format(
            date=self._values.draw("date").said,
            city=self._values.draw("city").said,
            clock=self._values.draw("clock").said,
            name=rng.choice((self._values.invented().capitalize(), self._values.pick("last"))),
            noun=rng.choice(nouns).word,
            noun2=rng.choice(nouns).word,
        )


def scenes(seed: int, max_tools: int = 8, num_branches: int = 8) -> Iterator[Scene]:
    """All scenes of a seed, one after the other, without end."""
    source = Scenes(seed)
    while True:
        yield source.draw(max_tools, num_branches)
