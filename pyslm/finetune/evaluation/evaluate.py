"""Runs the held-out cases through the engine and counts what is right.

    python -m pyslm.finetune.evaluate MODEL.gguf

All cases run together, greedily, as they would for a caller: with the model's own chat template and
the parser of its tool-call format; once with the grammar of the calls and once without.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyslm import LLM, SamplingParams
from pyslm.chat.events import ContentDelta, Event, ToolCallArguments, ToolCallStart
from pyslm.chat.output import OutputParser
from pyslm.chat.plan import ChatFormat
from pyslm.chat.request import ChatRequest
from pyslm.chat.steps import weigh_all
from pyslm.chat.tool_formats import ToolFormat
from pyslm.finetune.evaluation.cases import MEASURES, Case
from pyslm.tokenizer import Tokenizer

__all__ = ["Answer", "Outcome", "Report", "evaluate", "judge"]

_NUMBER = re.compile(r"\d+")
_LATER = "next request"  # of which the tool alone counts
_CALL = '"arguments"'  # a call that could not be read is no answer


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a model made of a case."""

    text: str
    calls: tuple[tuple[str, Any], ...]
    """Names and arguments; None for arguments that are no JSON object."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """A case with its answer, and by measure whether it was right."""

    case: Case
    answer: Answer
    right: dict[str, bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """All outcomes of a model."""

    model: Path
    constrained: bool
    outcomes: tuple[Outcome, ...]
    seconds: float

    def shares(self) -> dict[str, tuple[int, int]]:
        """Measure -> cases that were right, and all."""
        table: dict[str, tuple[int, int]] = dict.fromkeys(MEASURES, (0, 0))
        for outcome in self.outcomes:
            for measure, right in outcome.right.items():
                good, total = table.get(measure, (0, 0))
                table[measure] = (good + right, total + 1)
        return table

    def wrong(self, measure: str) -> list[Outcome]:
        """The outcomes that were wrong in a measure."""
        return [outcome for outcome in self.outcomes if outcome.right.get(measure) is False]


def evaluate(
    llm: LLM,
    cases: Sequence[Case],
    *,
    constrained: bool,
    max_tokens: int = 200,
    adapter: str | None = None,
) -> Report:
    """Lets the model answer all cases, many at a time.

    Args:
        llm: a model with a chat template.
        cases: as of `held_out_cases`.
        max_tokens: of an answer.
        adapter: a loaded LoRA adapter to run the model with.
        constrained: calls follow the grammar of the tools' schemas, and a choice is one of what
            there is to choose, as in agents and orchestrators.
    """
    started = time.monotonic()
    form = ChatFormat(llm.chat_template, llm._host.tokenizer, llm._host.nearness)
    prompts = [llm.encode_chat(case.messages, list(case.tools) or None) for case in cases]
    common = SamplingParams(max_tokens=max_tokens, temperature=0.0, adapter=adapter)
    params = _constrained(llm, form, prompts, cases, common) if constrained else common
    results = llm.generate(prompts, params)
    outcomes = []
    for case, result in zip(cases, results, strict=True):
        text = llm.detokenize(result.token_ids, skip_special_tokens=False)
        answer = _read(text, case, form.tool_format, llm._host.tokenizer)
        outcomes.append(Outcome(case, answer, judge(case, answer)))
    return Report(llm.info.path, constrained, tuple(outcomes), seconds=time.monotonic() - started)


def judge(case: Case, answer: Answer) -> dict[str, bool]:
    """Measure -> whether the answer is right."""
    if case.exact is not None:
        return {case.measure: answer.text.strip() == case.exact and not answer.calls}
    if len(case.calls) > 1:
        return {case.measure: _same_calls(case.calls, answer.calls)}
    if case.calls:
        named = [name for name, _ in answer.calls] == [name for name, _ in case.calls]
        right = {case.measure: named}
        if named and case.measure != _LATER:
            right["arguments"] = _same_calls(case.calls, answer.calls)
        return right
    text = answer.text.lower()
    told = not answer.calls and bool(text.strip()) and _CALL not in text
    told = told and all(must.lower() in text for must in case.must)
    if case.measure == "answer from result":
        told = told and not _invented_numbers(case, answer.text)
    return {case.measure: told}


def _same_calls(wanted: Sequence[tuple[str, Any]], made: Sequence[tuple[str, Any]]) -> bool:
    """The same calls, in any order; 2 and 2.0 are the same number, 1 and true are not."""
    return sorted(map(_key, wanted)) == sorted(map(_key, made))


def _key(call: tuple[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return json.dumps([call[0], plain(call[1])], sort_keys=True)


def _invented_numbers(case: Case, text: str) -> bool:
    known = set(_NUMBER.findall(json.dumps(case.messages)))
    return not set(_NUMBER.findall(text)) <= known


def _constrained(
    llm: LLM,
    form: ChatFormat,
    prompts: Sequence[list[int]],
    cases: Sequence[Case],
    common: SamplingParams,
) -> list[SamplingParams]:
    """As agents and orchestrators would ask, and with what the model comes to where it weighs."""
    plans = [form.plan(_request(case, common)) for case in cases]
    params = [plan.sampling() for plan in plans]
    comparisons = {
        i: comparison
        for i, plan in enumerate(plans)
        if (comparison := plan.comparison(params[i])) is not None
    }
    weighed = weigh_all(llm.generate, [prompts[i] for i in comparisons], list(comparisons.values()))
    for i, decided in zip(comparisons, weighed, strict=True):
        params[i] = decided
    return params


def _request(case: Case, common: SamplingParams) -> ChatRequest:
    sampling = common.replace(choice=list(case.choices)) if case.choices else common
    return ChatRequest(messages=case.messages, sampling=sampling, tools=list(case.tools) or None)


def _read(text: str, case: Case, tool_format: ToolFormat, tokenizer: Tokenizer) -> Answer:
    for token in sorted(tokenizer.eog_ids):
        text = text.removesuffix(tokenizer.token_text(token))
    parser = OutputParser(tool_format, case.tools)
    return _answer([*parser.feed(text), *parser.finish()])


def _answer(events: Sequence[Event]) -> Answer:
    said = "".join(event.text for event in events if isinstance(event, ContentDelta))
    names = [event.name for event in events if isinstance(event, ToolCallStart)]
    arguments = [""] * len(names)
    for event in events:
        if isinstance(event, ToolCallArguments):
            arguments[event.index] += event.text
    return Answer(said, tuple(zip(names, map(json.loads, arguments), strict=True)))
