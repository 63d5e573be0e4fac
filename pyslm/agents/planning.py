"""Goals: a plan first, as the model's own constrained words, then the loop that carries it out."""

from __future__ import annotations

from typing import Any

from pyslm.agents.answer_format import AnswerFormat
from pyslm.agents.config import Config
from pyslm.agents.models.model import ChatModel, ModelRequest, Reply
from pyslm.agents.state.history import History
from pyslm.agents.toolbox import Toolbox
from pyslm.errors import ReplyError

__all__ = ["add_plan", "plan_schema"]

MAX_PLAN_STEPS = 8
_MAX_TASK_CHARS = 200
_ASKED = "Before you begin: write a plan of the steps that lead to this goal."
_GO = "Now carry out the plan, step by step, and then answer."


def plan_schema(tools: Toolbox) -> dict[str, Any]:
    """Of a list of steps, each with the tool that it needs, if any."""
    step: dict[str, Any] = {
        "type": "object",
        "properties": {
            "task": {"type": "string", "minLength": 1, "maxLength": _MAX_TASK_CHARS},
            "tool": {"enum": [*(tool.name for tool in tools), "none"]},
        },
        "required": ["task", "tool"],
        "additionalProperties": False,
    }
    steps = {"type": "array", "items": step, "minItems": 1, "maxItems": MAX_PLAN_STEPS}
    return {
        "type": "object",
        "properties": {"steps": steps},
        "required": ["steps"],
        "additionalProperties": False,
    }


async def add_plan(model: ChatModel, tools: Toolbox, history: History, config: Config) -> list[str]:
    """Asks for a plan and puts it into the conversation; gives its steps.

    Raises:
        ReplyError: the model wrote none.
    """
    schema = plan_schema(tools)
    messages = await history.prompt(model, ())
    request = ModelRequest(
        messages=[*messages, {"role": "user", "content": _ASKED}],
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        seed=config.seed,
        json_schema=schema,
        thinking=False,
    )
    reply = await Reply.collect(model.stream(request))
    try:
        found = AnswerFormat(schema).parse(reply.text)["steps"]
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"the model wrote no plan: {error}") from None
    steps = [
        step["task"] + ("" if step["tool"] == "none" else f" (by {step['tool']})") for step in found
    ]
    listed = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    history.add({"role": "assistant", "content": f"Plan:\n{listed}"})
    history.add({"role": "user", "content": _GO})
    return steps
