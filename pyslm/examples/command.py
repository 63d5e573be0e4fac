"""What the examples share: their command line, their model, and how they show what was done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pyslm.agents import Agent, AgentOrchestrator, AgentResult, EndpointModel, ToolResult
from pyslm.agents.portal import portal
from pyslm.cli import invoke
from pyslm.errors import AgentConfigError, PyslmError
from pyslm.hub import resolve

__all__ = ["DEFAULT_MODEL", "answer", "chosen_model", "run_example"]

DEFAULT_MODEL = "nano"

QuestionsArgument = Annotated[list[str] | None, typer.Argument(help="Default: the example's own.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help=f"A GGUF file, or a name. Default: {DEFAULT_MODEL}."),
]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", help="An OpenAI-compatible server's URL.")
]


def run_example(
    about: str | None,
    build: Callable[[Any], Agent | AgentOrchestrator],
    questions: Sequence[str],
    **of: Any,
) -> None:
    """The whole program of an example: asks what the command line says, or the example's own
    questions, and exits.

    Args:
        build: makes the agent, or several, on a model.
        of: of each request, as `Agent.run` takes it.
    """

    def ask(
        question: QuestionsArgument = None,
        model: ModelOption = None,
        endpoint: EndpointOption = None,
    ) -> None:
        agent = build(chosen_model(model, endpoint))
        for text in question or questions:
            print(f"> {text}")
            result = answer(agent, text, **of)
            for call in result.tool_results:
                print(f"  {_shown(call)}")
            print(result.text)

    def command() -> typer.Typer:
        app = typer.Typer(
            context_settings={"help_option_names": ["-h", "--help"]}, add_completion=False
        )
        app.command(help=(about or "").partition("\n\n")[0])(ask)
        return app

    name = f"python -m pyslm.examples.{Path(sys.argv[0]).stem}"
    sys.exit(invoke(sys.argv[1:], command, name))


def chosen_model(model: str | None, endpoint: str | None) -> Any:
    """What an agent takes as its model.

    Raises:
        PyslmError: there is no such model on this machine.
    """
    if endpoint is not None:
        return EndpointModel(endpoint, model, os.environ.get("PYSLM_API_KEY"))
    try:
        return resolve(model or DEFAULT_MODEL)
    except PyslmError:
        if model is not None:
            raise
        raise AgentConfigError(
            f"the model {DEFAULT_MODEL} is not on this machine; name another by --model, a file or "
            "one of `pyslm list`, or a server by --endpoint"
        ) from None


def answer(agent: Agent | AgentOrchestrator, text: str, **of: Any) -> AgentResult:
    """All that came of one request."""
    if isinstance(agent, AgentOrchestrator):
        return agent.process_request(text, **of)
    return portal().run(agent.run(text, **of))


def _shown(result: ToolResult) -> str:
    said = result.content if len(result.content) <= 200 else f"{result.content[:200]}..."
    return f"{result.call.name}({result.call.arguments}) -> {said}"
