"""Texts that have to do with each other, by groups: the first of each says what it is about."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from pyslm.errors import ModelNotFoundError
from pyslm.finetune.data.ask import Requests
from pyslm.finetune.data.compile_meanings import DATA_FILES, read_meaning
from pyslm.finetune.data.domains import load_teams
from pyslm.finetune.data.files import Lexicon
from pyslm.finetune.data.toolbox import Toolbox
from pyslm.finetune.data.values import Values
from pyslm.identifiers import spoken

__all__ = ["Groups", "agents", "definitions", "tools"]

Groups = list[tuple[str, ...]]

_REQUESTS = 6
_PARAPHRASED = 0.67
_PLAIN = 0.6
_DRAWN_AT_ONCE = 4
_OF_FILES = 0.9
_NAMES = 3  # of a meaning


def tools(count: int, seed: int) -> Groups:
    """What tools of the generator are for, and requests for them."""
    rng = random.Random(seed)
    values = Values(rng, Lexicon.load())
    box, requests = Toolbox(rng, values), Requests(rng, values)
    groups: Groups = []
    while len(groups) < count:
        for tool in box.draw(_DRAWN_AT_ONCE, _OF_FILES, plain=rng.random() < _PLAIN):
            said = set()
            for _ in range(_REQUESTS):
                paraphrase = rng.random() < _PARAPHRASED
                given = requests.arguments(tool, paraphrase=paraphrase)
                said.add(requests.request(tool, given, paraphrase))
            groups.append((f"{spoken(tool.name)}. {tool.description}", *sorted(said)))
    return groups[:count]


def agents() -> Groups:
    """What agents of the files are for, and requests for them."""
    return [(*agent.about, *agent.requests) for team in load_teams() for agent in team]


def definitions(wordnet: Path) -> Groups:
    """Meanings of WordNet 3.0: their names and definition, and sentences that have them.

    Raises:
        ModelNotFoundError: they are not there.
    """
    return list(_definitions(wordnet))


def _definitions(wordnet: Path) -> Iterator[tuple[str, ...]]:
    for name in DATA_FILES:
        path = wordnet / f"data.{name}"
        if not path.is_file():
            raise ModelNotFoundError(f"there is no {path}; Debian has it in wordnet-base")
        with path.open(encoding="latin-1") as lines:
            for line in lines:
                if line.startswith(" "):
                    continue
                lemmas, gloss, _ = read_meaning(line)
                names = ", ".join(lemma.replace("_", " ") for lemma in lemmas[:_NAMES])
                sentences = re.findall(r'"([^"]+)"', gloss)
                told = re.sub(r'"[^"]*"?', "", gloss).strip(" ;\n")
                yield (f"{names}. {told}", *sentences)
