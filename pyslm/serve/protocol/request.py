"""What a client asks a model to write."""

from __future__ import annotations

from typing import Any

import msgspec

from pyslm.chat.request import ReasoningOptions, ToolChoice
from pyslm.request import SamplingParams

__all__ = ["UNBOUNDED", "GenerateRequest", "ReasoningOptions", "ToolChoice"]

UNBOUNDED = 2**31 - 1
"""`SamplingParams.max_tokens` of a request that names none: what the context has room for."""


class GenerateRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One request for text: a conversation, or a raw prompt."""

    id: str
    """Unique; in logs, and the stem of the ids that clients see."""

    messages: list[dict[str, Any]] | None = None
    """The conversation in OpenAI's shape: role, content (text, or list of parts), tool_calls with
    arguments as JSON text or object, tool_call_id, name, reasoning_content. This or `prompt`."""
    prompt: str | list[int] | None = None
    """Text, or token ids, to be continued as it is."""
    parse_special: bool = False
    """Find control tokens in the text of `prompt`."""
    suffix: str | None = None
    """Text that shall come after what is written (fill in the middle), which may be empty; with
    `prompt` only."""
    infill_others: list[tuple[str, str]] = []
    """With `suffix`: name and text of other files of the project, which come before all."""
    echo: bool = False
    """Report the prompt's own text in `Started.prompt_text`."""

    sampling: SamplingParams = SamplingParams(max_tokens=UNBOUNDED)
    """Also n, stop, seed, logprobs, and the grammar of the answer (json_schema, ...), which holds
    for the content: not for thoughts, and not for tool calls where the model makes them."""
    tools: list[dict[str, Any]] | None = None
    """In OpenAI's shape: {"type": "function", "function": {name, description, parameters}}."""
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    """False: at most one call."""
    tool_parser: str | None = None
    """Name of the tool-call format, in place of the one that the template shows."""
    reasoning: ReasoningOptions = ReasoningOptions()

    template_options: dict[str, Any] = {}
    """Further names for the chat template."""
    add_generation_prompt: bool = True
    continue_last_message: bool = False
    """The last message is the assistant's and goes on, in place of a new turn."""

    adapter: str | None = None
    """Name of a LoRA adapter of the loaded model."""
    return_token_ids: bool = False
    """Report ids in `Started.prompt_token_ids` and, as `TokensDelta`, those of the output."""
    skip_special_tokens: bool = True
