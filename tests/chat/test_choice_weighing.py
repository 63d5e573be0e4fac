"""Described choices are told from each other by likelihood and by nearness."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pyslm import LLM, AsyncLLM
from pyslm.chat.choice_weighing import ChoiceWeighing
from pyslm.chat.plan import ChatFormat
from pyslm.chat.request import ChatRequest
from pyslm.chat.steps import weigh
from pyslm.finetune.evaluation import held_out_cases
from pyslm.request import SamplingParams

CASES = [case for case in held_out_cases(rounds=1) if case.measure == "routing"]


@pytest.fixture(scope="module")
def llm(nano_file: Path) -> Iterator[LLM]:
    with LLM(nano_file) as llm:
        yield llm


def test_the_best_by_both_is_chosen(llm: LLM) -> None:
    nearness = llm._host.nearness()
    assert nearness is not None
    form = ChatFormat(llm.chat_template, llm._host.tokenizer, llm._host.nearness)
    engine = AsyncLLM(llm)
    differ = 0
    for case in CASES:
        sampling = SamplingParams(temperature=0.0, max_tokens=32, choice=list(case.choices))
        plan = form.plan(ChatRequest(messages=case.messages, sampling=sampling))
        prompt = llm.encode_chat(case.messages)
        chosen = asyncio.run(plan.decide(engine.generate, prompt, plan.sampling()))
        ids = [llm.tokenize(name, add_special_tokens=False) for name in case.choices]
        likely = np.array([score.logprob for score in llm.score(prompt, ids)])
        lines = str(case.messages[0]["content"]).split("\n- ")[1:]
        request = str(case.messages[-1]["content"])
        near = [
            nearness.cosine(request, f"{name.replace('_', ' ').lower()}. {line.split(': ', 1)[1]}")
            for name, line in zip(case.choices, lines, strict=True)
        ]
        best = int(np.argmax(likely + nearness.weights.choice * np.array(near)))
        assert llm.generate(prompt, chosen).text == case.choices[best]
        differ += best != int(np.argmax(likely))
    assert differ > 0  # else nothing was added


def test_advantages_decide_among_equals(llm: LLM) -> None:
    prompt = llm.encode_chat(CASES[0].messages)
    names = [*CASES[0].choices, f"{CASES[0].choices[0]}_desk"]  # one begins as another
    params = SamplingParams(temperature=0.0, max_tokens=32, choice=names)
    for i, name in enumerate(names):
        advantages = [200.0 * (i == k) for k in range(len(names))]
        weighing = ChoiceWeighing(params, advantages, llm._host.tokenizer)
        chosen = asyncio.run(weigh(AsyncLLM(llm).generate, prompt, weighing))
        assert llm.generate(prompt, chosen).text.startswith(name)
        assert chosen.replace(forced_tokens=()) == params


@pytest.mark.parametrize(
    "changed",
    [
        {"messages": [{"role": "user", "content": "billing or technical?"}]},
        {"messages": [*CASES[0].messages, {"role": "assistant", "content": "billing"},
                      {"role": "user", "content": "and now?"}]},
        {"sampling": SamplingParams(choice=["billing"])},
        {"sampling": SamplingParams(choice=["billing", "technical"], logit_bias={5: 1.0})},
        {"sampling": SamplingParams(max_tokens=5)},
    ],
)  # fmt: skip
def test_what_is_not_described_is_chosen_by_likelihood(changed: dict, llm: LLM) -> None:  # type: ignore[type-arg]
    form = ChatFormat(llm.chat_template, llm._host.tokenizer, llm._host.nearness)
    request = {
        "messages": CASES[0].messages,
        "sampling": SamplingParams(choice=["billing", "technical"]),
    }
    assert form.plan(ChatRequest(**request)).comparison(request["sampling"]) is not None
    request |= changed
    assert form.plan(ChatRequest(**request)).comparison(request["sampling"]) is None
