"""The framework's options as a request to our engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_framework import Message, validate_tool_mode
from agent_framework.exceptions import ChatClientInvalidRequestException

from pyslm.agents.agent_framework.messages import conversation, described_tools
from pyslm.agents.answer_format import AnswerFormat
from pyslm.agents.config import unknown
from pyslm.chat.request import ChatRequest, ReasoningOptions, ToolChoice
from pyslm.request import SamplingParams

__all__ = ["chat_request"]

_DEFAULTS: Mapping[str, Any] = {"max_tokens": 512, "temperature": 0.1}
_SAMPLING = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "frequency_penalty",
    "presence_penalty", "repetition_penalty",
)  # fmt: skip
_HEEDED = (
    "instructions", "tools", "tool_choice", "allow_multiple_tool_calls", "response_format",
    "logit_bias", "thinking", "reasoning_effort", "model",
)  # fmt: skip
_WITHOUT_EFFECT = ("metadata", "user", "store", "conversation_id")
"""Of services that keep conversations; here, the framework's own sessions do."""


def chat_request(messages: Sequence[Message], options: Mapping[str, Any]) -> ChatRequest:
    """A request.

    Raises:
        ChatClientInvalidRequestException: an option or a content that there is not here.
        InvalidRequestError: a value out of its range.
    """
    known = (*_SAMPLING, *_HEEDED, *_WITHOUT_EFFECT)
    for name, value in options.items():
        if name not in known and value is not None:
            raise ChatClientInvalidRequestException(unknown("the chat client", name, known))
    sampling = dict(_DEFAULTS)
    sampling |= {key: options[key] for key in _SAMPLING if options.get(key) is not None}
    if options.get("logit_bias"):
        sampling["logit_bias"] = {int(key): value for key, value in options["logit_bias"].items()}
    sampling |= _form(options.get("response_format"))
    several = options.get("allow_multiple_tool_calls")
    return ChatRequest(
        messages=conversation(messages, options.get("instructions")),
        sampling=SamplingParams(**sampling),
        tools=described_tools(options.get("tools") or ()) or None,
        tool_choice=_choice(options),
        parallel_tool_calls=True if several is None else bool(several),
        reasoning=ReasoningOptions(
            enabled=options.get("thinking"), effort=options.get("reasoning_effort")
        ),
    )


def _choice(options: Mapping[str, Any]) -> ToolChoice:
    found = validate_tool_mode(options.get("tool_choice"))
    if found is None or not options.get("tools"):
        return ToolChoice("none" if not options.get("tools") else "auto")
    named = found.get("required_function_name")
    allowed = [named] if named else found.get("allowed_tools")
    return ToolChoice(found["mode"], None if allowed is None else tuple(allowed))


def _form(form: Any) -> dict[str, Any]:
    """Of a type, a JSON schema, or OpenAI's `response_format`."""
    if form is None:
        return {}
    if isinstance(form, Mapping):
        if form.get("type") == "text":
            return {}
        if form.get("type") == "json_object" and "properties" not in form:
            return {"json_object": True}
        if form.get("type") == "json_schema":
            form = form.get("json_schema") or form.get("schema")
        if isinstance(form, Mapping) and isinstance(form.get("schema"), Mapping):
            form = form["schema"]
    return {"json_schema": AnswerFormat(form).schema}
