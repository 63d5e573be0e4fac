"""The bodies of /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from pyslm.serve.anthropic.tools import Tool, ToolChoiceField, offered_tools, tool_choice
from pyslm.serve.anthropic.turns import Block, Turn, is_continued, plain_turns, system_text
from pyslm.serve.durations import keep_alive_seconds
from pyslm.serve.openai.sampling import Strict, sampling_params
from pyslm.serve.protocol import (
    GenerateRequest,
    LoadOptions,
    ReasoningOptions,
    ServeError,
    TokenizeRequest,
)
from pyslm.serve.protocol.number import Integer, Number
from pyslm.serve.protocol.request import UNBOUNDED

__all__ = ["Conversation", "MessagesRequest"]

_EFFORTS = {"xhigh": "high", "max": "high"}  # templates know three

_THINKING_OPTIONS = ("enable_thinking", "thinking")  # names that templates have for it


class Thinking(Strict):
    """Whether the model thinks before it answers, where it can."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Integer | None = Field(None, ge=1)
    """A target that we have no way to hold to; `max_tokens` bounds thoughts and answer."""
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Strict):
    """The answer must be valid under a schema."""

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any] | StrictBool, Field(alias="schema")]


class OutputConfig(Strict):
    """How the answer is made."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Conversation(BaseModel):
    """What both routes take."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str = ""
    messages: list[Turn] = Field(min_length=1)
    system: str | list[Block] | None = None
    tools: list[Tool] | None = Field(None, max_length=512)
    tool_choice: ToolChoiceField | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None

    def plain_messages(self) -> list[dict[str, Any]]:
        """In OpenAI's shape."""
        return plain_turns(self.messages, system_text(self.system))

    def to_tokenize(self) -> TokenizeRequest:
        """For the same prompt as `MessagesRequest.to_generate`, but that a last turn of the
        assistant's is counted as if it were over."""
        choice = tool_choice(self.tool_choice, self.tools or [])
        reasoning = self.reasoning()
        options: dict[str, Any] = dict.fromkeys(_THINKING_OPTIONS, reasoning.enabled)
        if reasoning.effort is not None:
            options["reasoning_effort"] = reasoning.effort
        return TokenizeRequest(
            messages=self.plain_messages(),
            tools=offered_tools(self.tools or [], choice) or None,
            template_options=options,
            add_generation_prompt=not is_continued(self.messages),
        )

    def reasoning(self) -> ReasoningOptions:
        """Thoughts are in the answer only where the client has asked for them, since clients that
        have not take the first block for the answer."""
        thinking = self.thinking
        effort = self.output_config.effort if self.output_config is not None else None
        enabled = thinking is not None and thinking.type != "disabled"
        return ReasoningOptions(
            enabled=enabled,
            effort=None if effort is None else _EFFORTS.get(effort, effort),
            include=enabled and thinking is not None and thinking.display != "omitted",
        )


class MessagesRequest(Conversation):
    """A conversation to be continued. After `top_k`, fields that are not Anthropic's."""

    max_tokens: Integer = Field(ge=1, le=UNBOUNDED)
    stream: StrictBool | None = None
    stop_sequences: list[Annotated[str, Field(min_length=1, max_length=4096)]] | None = None
    temperature: Number | None = Field(None, ge=0, le=2)
    top_p: Number | None = Field(None, ge=0, le=1)
    top_k: Integer | None = Field(None, ge=-1, le=UNBOUNDED)

    min_p: Number | None = Field(None, ge=0, le=1)
    seed: Integer | None = Field(None, ge=0, le=2**64 - 1)
    repetition_penalty: Number | None = None
    keep_alive: Number | str | None = None
    num_ctx: Integer | None = Field(None, ge=1, le=UNBOUNDED)

    def to_generate(self, request_id: str) -> GenerateRequest:
        """The same for the worker."""
        continued = is_continued(self.messages)
        tools = self.tools or []
        choice = self.tool_choice
        parallel = choice is None or not choice.disable_parallel_tool_use
        return GenerateRequest(
            id=request_id,
            messages=self.plain_messages(),
            sampling=sampling_params(self._sampling()),
            tools=[tool.function() for tool in tools] or None,
            tool_choice=tool_choice(choice, tools),
            parallel_tool_calls=parallel,
            reasoning=self._checked_reasoning(),
            add_generation_prompt=not continued,
            continue_last_message=continued,
        )

    def dispatch_options(self) -> dict[str, Any]:
        """Keyword arguments of `Dispatcher.generate`."""
        return {
            "keep_alive": keep_alive_seconds(self.keep_alive),
            "options": LoadOptions(context_length=self.num_ctx) if self.num_ctx else None,
        }

    def _sampling(self) -> dict[str, Any]:
        wanted = self.output_config.format if self.output_config is not None else None
        wanted = wanted or self.output_format
        given = {
            "max_tokens": self.max_tokens,
            "stop": self.stop_sequences,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": None if self.top_k is None else max(self.top_k, 0),
            "min_p": self.min_p,
            "seed": self.seed,
            "repetition_penalty": self.repetition_penalty,
            "json_schema": None if wanted is None else wanted.schema_,
        }
        return {name: value for name, value in given.items() if value is not None}

    def _checked_reasoning(self) -> ReasoningOptions:
        budget = self.thinking.budget_tokens if self.thinking is not None else None
        if budget is not None and budget >= self.max_tokens:
            raise ServeError(
                "invalid_request",
                f"max_tokens is {self.max_tokens}; it must be greater than "
                f"thinking.budget_tokens, which is {budget}",
                param="max_tokens",
            )
        return self.reasoning()
