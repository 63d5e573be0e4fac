"""Results of tools, and how they are told."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from pyslm.finetune.data.files import load_toml
from pyslm.finetune.data.listing import listed_fact, listing
from pyslm.finetune.data.messages import Message, joined_and, plain, result, says
from pyslm.finetune.data.spec import Given, ToolSpec
from pyslm.finetune.data.values import Values
from pyslm.identifiers import spoken

__all__ = ["Results"]


class Results:
    """Draws results; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, values: Values) -> None:
        self._rng = rng
        self._values = values
        self._frames: dict[str, Any] = load_toml("frames.toml")

    def of(self, tool: ToolSpec, given: Sequence[Given]) -> tuple[Message, Message]:
        """A result and what is told of it; both may repeat what the tool was called with."""
        rng = self._rng
        again = [g for g in given if not isinstance(g.value.data, bool)]
        if rng.random() < 0.2:
            text = self._text(again)
            text = text[0].upper() + text[1:]
            return result(text), says(text if text[-1] in ".!?" else text + ".")
        if rng.random() < 0.15:
            return self._listed()
        facts = {key: self._fact(maker) for key, maker in tool.gives}
        if again and rng.random() < 0.5:
            repeated = rng.sample(again, rng.randint(1, min(2, len(again))))
            facts = {g.param.key: g.value.data for g in repeated} | facts
        if rng.random() < 0.2:
            known = list(facts.items())
            known.insert(rng.randint(0, len(known)), listed_fact(self._values))
            facts = dict(known)
        start = "" if tool.things or rng.random() < 0.3 else self._frames["result_start"]
        said = [f"the {spoken(key)} is {plain(value)}" for key, value in facts.items()]
        text = joined_and(said)
        return result(self.written(facts)), says(f"{start}{text[0].upper()}{text[1:]}.")

    def _text(self, again: Sequence[Given]) -> str:
        """A result that is no JSON: a sentence, or one about the arguments."""
        rng = self._rng
        if not again or rng.random() < 0.4:
            kind = rng.choice(("sentence", "title", "clock", "thing", "date"))
            return self._values.draw(kind).said
        values = [plain(g.value.data) for g in rng.sample(again, min(2, len(again)))]
        frame = rng.choice(self._frames["done_one" if len(values) == 1 else "done_two"])
        code, words = self._values.draw("code").said, [self._values.word() for _ in range(2)]
        return str(frame).format(*values, c=code, w=words[0], x=words[1])

    def _fact(self, maker: str) -> Any:
        data = self._values.draw(maker).data
        if maker == "money" and self._rng.random() < 0.3:
            return f"${data:.2f}"
        return data

    def _listed(self) -> tuple[Message, Message]:
        """A result that is a list: of texts, perhaps none."""
        items = listing(self._values, self._fact)
        said = f"{joined_and(items)}." if items else str(self._frames["nothing"])
        return result(self.written(items)), says(said[0].upper() + said[1:])

    def written(self, result: Mapping[str, Any] | Sequence[Any]) -> str:
        """As JSON: some programs write it with spaces, some without."""
        separators = self._rng.choice(((", ", ": "), (",", ":")))
        return json.dumps(result, ensure_ascii=False, separators=separators)
