"""A server weighs the tools of nano's requests, however many come at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serve.server_process import ServerProcess

from pyslm import LLM
from pyslm.finetune.evaluation import evaluate, held_out_cases

CASES = [
    case for case in held_out_cases(0, 1, "heldout")
    if case.measure in ("tool, paraphrased", "no tool fits")
]  # fmt: skip


@pytest.fixture(scope="module")
def nano_server(nano_file: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(nano_file, "--name", "nano")
    yield server
    assert server.stop() == 0


def names(llm: LLM, constrained: bool) -> list[list[str]]:
    outcomes = evaluate(llm, CASES, constrained=constrained).outcomes
    return [[name for name, _ in outcome.answer.calls] for outcome in outcomes]


def test_what_is_called_is_what_weighing_comes_to(
    nano_file: Path, nano_server: ServerProcess
) -> None:
    with LLM(nano_file) as llm:
        weighed, by_itself = names(llm, True), names(llm, False)
        prompts = [len(llm.encode_chat(case.messages, list(case.tools))) for case in CASES]
    client = nano_server.openai()

    def ask(case: Any) -> Any:
        return client.chat.completions.create(
            model="nano", messages=case.messages, tools=case.tools, temperature=0, max_tokens=200
        )

    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(ask, CASES))
    called = [
        [call.function.name for call in reply.choices[0].message.tool_calls or ()]
        for reply in replies
    ]
    assert called == weighed
    assert weighed != by_itself  # some are decided otherwise than from left to right
    assert [reply.usage.prompt_tokens for reply in replies] == prompts


def test_streams_are_of_what_was_weighed(nano_server: ServerProcess) -> None:
    client = nano_server.openai()
    for case in CASES[::10]:
        asked = {"model": "nano", "messages": case.messages, "tools": case.tools, "temperature": 0}
        whole = client.chat.completions.create(**asked).choices[0].message
        deltas = [
            chunk.choices[0].delta
            for chunk in client.chat.completions.create(**asked, stream=True) if chunk.choices
        ]  # fmt: skip
        pieces = [call for delta in deltas for call in delta.tool_calls or ()]
        streamed = [piece.function.name for piece in pieces if piece.function.name]
        assert streamed == [call.function.name for call in whole.tool_calls or ()]
        assert "".join(delta.content or "" for delta in deltas) == (whole.content or "")
