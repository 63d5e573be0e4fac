"""`pyslm run --tools`: an agent made on the spot."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pyslm.cli.agent_talk import prompt_text, run_agent, show_answer, typed_lines
from pyslm.cli.console import is_default, load_model
from pyslm.errors import InvalidRequestError

if TYPE_CHECKING:
    from pyslm.agents import AgentResult

__all__ = ["run_tools"]

_NOT_OF_AGENTS = (
    "raw", "top_k", "top_p", "min_p", "json_schema", "regex", "choice", "adapter",
)  # fmt: skip
_TEMPERATURE = 0.0  # a call is right or wrong, and chance helps neither
_MAX_TOKENS = 512
_TIMEOUT = 3600.0  # whoever sits there can end it


def run_tools(context: typer.Context, path: Path, prompt: str | None, names: Sequence[str]) -> None:
    """Answers a prompt, or holds a conversation where there is none.

    Args:
        context: of `pyslm run`, whose options these are.
        names: of toolkits.

    Raises:
        InvalidRequestError: an option that agents have not.
        AgentConfigError: no such toolkit.
    """
    from pyslm.agents import Agent, Config, SessionStore
    from pyslm.agents.toolkits import named_tools

    given = context.params
    for name in _NOT_OF_AGENTS:
        if not is_default(context, name):
            raise InvalidRequestError(f"--{name.replace('_', '-')} does not go with --tools")
    config = Config(
        name="run",
        context=given["system"] or "",
        temperature=_TEMPERATURE if is_default(context, "temperature") else given["temperature"],
        max_tokens=given["max_tokens"] or _MAX_TOKENS,
        seed=given["seed"],
        timeout=_TIMEOUT,
    )
    tools = [tool for name in names for tool in named_tools(name)]
    text = None if prompt is None else prompt_text(prompt)
    with load_model(
        path,
        context_length=given["ctx"],
        threads=given["threads"],
        kv_type=given["kv_type"],
        max_sequences=1,
        weight_cache=None if given["weight_cache"] else False,
    ) as llm:
        agent = Agent(config, model=llm, tools=tools, sessions=SessionStore(None))
        if given["as_json"] and text is not None:
            print(json.dumps(run_agent(agent, text).record()))
            return
        for each in typed_lines() if text is None else [text]:
            result = show_answer(agent, each, session="cli")
            if given["stats"]:
                _show_stats(result)


def _show_stats(result: AgentResult) -> None:
    usage = result.usage
    counts = f"prompt {usage.prompt_tokens} tokens  output {usage.completion_tokens} tokens"
    print(f"[{result.steps} steps  {counts}  {result.seconds:.2f} s]", file=sys.stderr)
