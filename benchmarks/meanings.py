"""How far nearness of words alone finds the right tool and the right agent of the held-out cases.

    python benchmarks/meanings.py

No model is run: of each token of a request the nearest token of a description counts, rare ones
more. What a model of `pyslm.finetune` must learn is thus only to look. Needs the extra `train`.
"""

from __future__ import annotations

import collections
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyslm.finetune.config import preset
from pyslm.finetune.data.domains import load_domains
from pyslm.finetune.evaluation import held_out_cases
from pyslm.finetune.evaluation.cases import Case
from pyslm.finetune.vocabulary import NanoVocabulary

COMMON = 2.0  # tokens with less information in the requests for tools tell nothing
VAGUE = 0.15  # shorter vectors are of tokens that stand in words of all kinds


class Nearness:
    """Compares texts by the meanings of their tokens."""

    def __init__(self, vocabulary: NanoVocabulary) -> None:
        self._vocabulary = vocabulary
        self._meanings = vocabulary.meanings()
        self._says = np.linalg.norm(self._meanings, axis=1) > VAGUE
        texts = [" ".join((*domain.stems, *domain.paras)) for domain in load_domains()]
        counts = collections.Counter(i for ids in vocabulary.encode(texts) for i in set(ids))
        self._information = np.array(
            [math.log(len(texts) / (1 + counts[i])) for i in range(len(vocabulary.tokens))]
        )

    def nearest(self, request: str, descriptions: Sequence[str]) -> int:
        """The place of the description that has most to do with the request."""
        ids = self._vocabulary.encode([request, *descriptions])
        said, *described = ([i for i in each if self._tells(i)] for each in ids)
        return int(np.argmax([self._score(said, each) for each in described]))

    def _tells(self, token: int) -> bool:
        return bool(self._says[token] and self._information[token] > COMMON)

    def _score(self, said: list[int], described: list[int]) -> float:
        if not said or not described:
            return 0.0
        near = (self._meanings[said] @ self._meanings[described].T).max(1)
        return float(near @ self._information[said] / self._information[said].sum())


def _is_found(nearness: Nearness, case: Case) -> bool:
    request = case.messages[-1]["content"]
    if case.choices:
        lines = case.messages[0]["content"].split("\n")[-len(case.choices) :]
        return case.choices[nearness.nearest(request, lines)] == case.exact
    texts = [_described(tool["function"]) for tool in case.tools]
    chosen: dict[str, Any] = case.tools[nearness.nearest(request, texts)]["function"]
    return bool(chosen["name"] == case.calls[0][0])


def _described(function: dict[str, Any]) -> str:
    params = (
        " ".join((key, schema.get("description", ""), *schema.get("enum", ())))
        for key, schema in function["parameters"]["properties"].items()
    )
    return " ".join((function["name"], function["description"], *params))


def main() -> int:
    """Prints measure -> share that is found, as JSON."""
    nearness = Nearness(NanoVocabulary.train(preset("nano")[0].vocab_size, seed=0))
    found: dict[str, list[bool]] = collections.defaultdict(list)
    for case in held_out_cases(rounds=1):
        if case.measure in ("tool, shared words", "tool, paraphrased", "routing"):
            found[case.measure].append(_is_found(nearness, case))
    print(json.dumps({measure: round(float(np.mean(each)), 3) for measure, each in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
