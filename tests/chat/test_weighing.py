"""Whole calls are compared before one is made, where a model's template says so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyslm import LLM, AsyncLLM
from pyslm.chat.control import control_tokens
from pyslm.chat.plan import ChatFormat, ChatPlan
from pyslm.chat.request import ChatRequest, ToolChoice
from pyslm.chat.steps import weigh, weigh_all
from pyslm.chat.template import ChatTemplate
from pyslm.chat.tool_formats import tool_format
from pyslm.chat.tools import tools_of
from pyslm.chat.weighing import _FOR_CALLS, Weighing, weighing_of, weighs_tools
from pyslm.finetune.dialect import CALL, chat_template
from pyslm.finetune.evaluation import held_out_cases
from pyslm.identifiers import spoken
from pyslm.request import GenerationResult, SamplingParams

KINDS = ("tool, shared words", "tool, paraphrased", "no tool fits", "asks what is missing")
CASES = [case for k in KINDS for case in held_out_cases(0, 3, "heldout") if case.measure == k][::8]
REFUSAL = "None of my tools can do that."
GREEDY = SamplingParams(temperature=0.0, max_tokens=256)


@pytest.fixture(scope="module")
def llm(nano_file: Path) -> Iterator[LLM]:
    with LLM(nano_file) as llm:
        yield llm


class Counting:
    """Generates, and remembers how many requests that took."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self.counts: list[int] = []

    def __call__(
        self, prompts: list[list[int]], params: list[SamplingParams]
    ) -> list[GenerationResult]:
        self.counts.append(len(prompts))
        return self._llm.generate(prompts, params)

    async def later(
        self, prompts: list[list[int]], params: list[SamplingParams]
    ) -> list[GenerationResult]:
        return self(prompts, params)


def prompt_and_weighing(llm: LLM, case: Any) -> tuple[list[int], Weighing]:
    weighing = weighing_of(
        params_of(llm, case), tool_format("mistral11"), tools_of(case.tools).values(),
        llm._host.tokenizer,
    )  # fmt: skip
    assert weighing is not None
    return llm.encode_chat(case.messages, list(case.tools)), weighing


def params_of(llm: LLM, case: Any) -> SamplingParams:
    control = control_tokens(llm._host.tokenizer)
    grammar = tool_format("mistral11").grammar(tools_of(case.tools), control=control)
    return GREEDY.replace(grammar=grammar)


def likeliest(llm: LLM, case: Any) -> str | None:
    """The tool whose call is the likeliest of all, every one made and scored; None: an answer."""
    prompt, params = llm.encode_chat(case.messages, list(case.tools)), params_of(llm, case)
    tokenizer = llm._host.tokenizer
    trigger = tokenizer.token_id(CALL)
    assert trigger is not None
    said = llm.generate(prompt, params.replace(logit_bias={trigger: -100.0}))
    begins = llm.score(prompt, [list(said.token_ids)])[0].tokens[0].logprob
    scores: dict[str | None, float] = {None: begins - _FOR_CALLS}
    for name in tools_of(case.tools):
        head = llm.tokenize(f"{CALL}{name}[ARGS]", add_special_tokens=False, parse_special=True)
        ids = list(llm.generate(prompt, params.replace(forced_tokens=head)).token_ids)
        ends = (i for i in range(1, len(ids)) if ids[i] in (trigger, *tokenizer.eog_ids))
        end = next(ends, len(ids))
        scores[name] = llm.score(prompt, [ids[:end]])[0].logprob
    return max(scores, key=lambda name: scores[name])


def best_fitting(llm: LLM, case: Any, params: SamplingParams) -> str | None:
    """As `likeliest`, with what nearness adds; "None": that no tool fits."""
    prompt = llm.encode_chat(case.messages, list(case.tools))
    tokenizer, nearness = llm._host.tokenizer, llm._host.nearness()
    assert nearness is not None
    weights = nearness.weights
    trigger, refusal = tokenizer.token_id(CALL), tokenizer.encode(REFUSAL)[0]
    assert trigger is not None
    said = llm.generate(prompt, params.replace(logit_bias={trigger: -100.0, refusal: -100.0}))
    answers, refusals = llm.score(prompt, [[said.token_ids[0]], [refusal]])
    found = []
    for tool in tools_of(case.tools).values():
        head = llm.tokenize(
            f"{CALL}{tool.name}[ARGS]", add_special_tokens=False, parse_special=True
        )
        ids = list(llm.generate(prompt, params.replace(forced_tokens=head)).token_ids)
        ends = (i for i in range(1, len(ids)) if ids[i] in (trigger, *tokenizer.eog_ids))
        call = ids[: next(ends, len(ids))]
        request = rest = str(case.messages[-1]["content"])
        text = llm.detokenize(call[len(head) :])
        arguments = json.loads(text if text.endswith("}") else text + "}")  # cut off in a number
        for value in sorted(map(str, flat(arguments)), key=len, reverse=True):
            rest = re.sub(rf"\b{re.escape(value)}(?!\w)", " ", rest)
        about = [spoken(tool.name), tool.description]
        for key, schema in tool.parameters["properties"].items():
            about.append(f"{spoken(key)} {schema.get('description', '')}")
        near = [nearness.cosine(text, ". ".join(about)) for text in (request, rest)]
        cosine = sum(near) / 2
        found.append((llm.score(prompt, [call])[0].logprob, cosine, tool.name))
    logprob, cosine, name = max(found, key=lambda each: each[0] + weights.tool * each[1])
    fit = weights.fit * (cosine - weights.neutral)
    answer = answers.logprob + max(fit, 0.0)
    if logprob + _FOR_CALLS + fit > max(answer, refusals.logprob):
        return name
    return REFUSAL if refusals.logprob >= answer else None


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [x for each in value.values() for x in flat(each)]
    return [x for each in value for x in flat(each)] if isinstance(value, list) else [value]


def called(llm: LLM, prompt: list[int], params: SamplingParams) -> str | None:
    ids = llm.generate(prompt, params).token_ids
    text = llm.detokenize(list(ids), skip_special_tokens=False)
    return text.split(CALL)[1].split("[ARGS]")[0] if text.startswith(CALL) else None


def test_the_likeliest_of_all_calls_is_made(llm: LLM) -> None:
    pairs = [prompt_and_weighing(llm, case) for case in CASES]
    generate = Counting(llm)
    chosen = weigh_all(generate, [p for p, _ in pairs], [w for _, w in pairs])
    found = [called(llm, prompt, params) for (prompt, _), params in zip(pairs, chosen, strict=True)]
    assert found == [likeliest(llm, case) for case in CASES]
    assert None in found
    assert len(set(found)) > 5
    # Nothing is made that cannot be the likeliest: most requests need one.
    first, more = generate.counts
    assert first == len(CASES)
    assert more < sum(len(case.tools) for case in CASES) / 3


def test_the_best_fitting_of_all_calls_is_made(llm: LLM) -> None:
    form = ChatFormat(llm.chat_template, llm._host.tokenizer, llm._host.nearness)
    found, best = [], []
    for case in CASES:
        request = ChatRequest(messages=case.messages, tools=case.tools, sampling=GREEDY)
        plan = form.plan(request)
        prompt = llm.encode_chat(case.messages, list(case.tools))
        engine = AsyncLLM(llm)
        params = asyncio.run(plan.decide(engine.generate, prompt, plan.sampling()))
        text = llm.generate(prompt, params).text
        found.append(REFUSAL if text.startswith(REFUSAL[:5]) else called(llm, prompt, params))
        best.append(best_fitting(llm, case, plan.sampling()))
    assert found == best
    assert {REFUSAL, None} < set(found)
    assert len(set(found)) > 6


def test_each_request_is_weighed_as_if_alone(llm: LLM) -> None:
    pairs = [prompt_and_weighing(llm, case) for case in CASES]
    together = weigh_all(llm.generate, [p for p, _ in pairs], [w for _, w in pairs])
    engine = AsyncLLM(llm)
    alone = [asyncio.run(weigh(engine.generate, prompt, each)) for prompt, each in pairs]
    assert together == alone


def test_the_request_stays_as_it_is_but_for_its_beginning(llm: LLM) -> None:
    prompt, _ = prompt_and_weighing(llm, CASES[0])
    asked = params_of(llm, CASES[0]).replace(
        temperature=0.7, n=3, logprobs=5, max_tokens=9, stop=("x",), logit_bias={5: 1.0}, seed=4
    )
    tools = tools_of(CASES[0].tools).values()
    weighing = weighing_of(asked, tool_format("mistral11"), tools, llm._host.tokenizer)
    assert weighing is not None
    params = asyncio.run(weigh(AsyncLLM(llm).generate, prompt, weighing))
    trigger = llm._host.tokenizer.token_id(CALL)
    assert params.forced_tokens[:1] == (trigger,)
    assert params.replace(forced_tokens=()) == asked


def test_what_was_compared_is_made_whatever_the_temperature(llm: LLM) -> None:
    """Two calls in one turn too: a call is right or wrong."""
    engine = AsyncLLM(llm)
    two = [case for case in held_out_cases(0, 3, "heldout") if case.measure == "two calls"]
    trigger = llm._host.tokenizer.token_id(CALL)
    counts = []
    for case in [*two[:3], *CASES[:6]]:
        prompt, weighing = prompt_and_weighing(llm, case)
        params = asyncio.run(weigh(engine.generate, prompt, weighing))
        likeliest = llm.generate(prompt, params).token_ids
        counts.append(likeliest.count(trigger))
        if counts[-1] == 0:
            continue
        for seed in range(3):
            hot = llm.generate(prompt, params.replace(temperature=2.0, seed=seed))
            assert hot.token_ids[: len(likeliest) - 1] == likeliest[:-1]
    assert {1, 2} <= set(counts)


@pytest.mark.parametrize("limits", [{"max_tokens": 1}, {"stop": ("None", "What", "P", "{")}])
def test_what_ends_an_output_early_decides_nothing(llm: LLM, limits: dict[str, Any]) -> None:
    engine = AsyncLLM(llm)
    for case in CASES[::5]:
        prompt, whole = prompt_and_weighing(llm, case)
        params, tools = params_of(llm, case), tools_of(case.tools).values()
        cut = weighing_of(
            params.replace(**limits), tool_format("mistral11"), tools, llm._host.tokenizer
        )
        assert cut is not None
        chosen = asyncio.run(weigh(engine.generate, prompt, cut))
        expected = asyncio.run(weigh(engine.generate, prompt, whole))
        assert (chosen.forced_tokens, chosen.logit_bias) == (
            expected.forced_tokens, expected.logit_bias
        )  # fmt: skip
        assert chosen.max_tokens == limits.get("max_tokens", 256)


def plan(llm: LLM, source: str, **request: Any) -> ChatPlan:
    case = next(case for case in CASES if case.measure == "no tool fits")
    asked: dict[str, Any] = {"messages": case.messages, "tools": case.tools, "sampling": GREEDY}
    template = ChatTemplate(source, bos_token="", eos_token="")
    return ChatFormat(template, llm._host.tokenizer).plan(ChatRequest(**asked | request))


def decided(llm: LLM, generate: Counting, source: str, **request: Any) -> SamplingParams:
    made = plan(llm, source, **request)
    case = next(case for case in CASES if case.measure == "no tool fits")
    prompt = llm.encode_chat(case.messages, list(case.tools))
    return asyncio.run(made.decide(generate.later, prompt, made.sampling()))


def test_templates_say_whether(llm: LLM) -> None:
    assert weighs_tools(chat_template())
    assert weighs_tools("{%-set weighs_tools=true%}{{ messages }}")
    without = chat_template().replace("weighs_tools = true", "weighs_tools = false")
    assert not weighs_tools(without)
    generate = Counting(llm)
    assert decided(llm, generate, without) == plan(llm, without).sampling()
    assert generate.counts == []
    decided(llm, generate, chat_template())
    assert generate.counts[0] == 1


@pytest.mark.parametrize(
    "request_",
    [
        {"tool_choice": ToolChoice("required")},
        {"tool_choice": ToolChoice("none")},
        {"tools": None},
        {"sampling": GREEDY.replace(json_object=True)},
        {"sampling": GREEDY.replace(forced_tokens=(20,))},
        {"sampling": GREEDY.replace(logit_bias={7: -100.0})},
        {"sampling": GREEDY.replace(bad_words=("None",))},
        {"tool_parser": "hermes"},
    ],
)
def test_where_nothing_is_to_be_decided_nothing_is_weighed(
    llm: LLM, request_: dict[str, Any]
) -> None:
    generate = Counting(llm)
    asked = plan(llm, chat_template(), **request_).sampling()
    assert decided(llm, generate, chat_template(), **request_) == asked
    assert generate.counts == []


def test_an_answer_may_be_empty(llm: LLM) -> None:
    prompt, weighing = prompt_and_weighing(llm, CASES[0])
    end = min(llm._host.tokenizer.eog_ids)
    first = llm.generate(prompt, weighing.first.replace(forced_tokens=(end,)))
    assert first.text == ""
    assert len(weighing.others(first)) == len(CASES[0].tools)  # a call is likely
    steps = weighing.steps()
    next(steps)
    steps.send([first])
    with pytest.raises(StopIteration) as end:
        steps.send([first] * len(CASES[0].tools))  # nothing is called
    assert end.value.value.forced_tokens == ()
