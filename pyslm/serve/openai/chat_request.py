"""The body of /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from pyslm.serve.openai.messages import Message, plain_messages
from pyslm.serve.openai.sampling import SamplingFields, max_tokens, sampling_params
from pyslm.serve.openai.tools import (
    Function,
    FunctionName,
    NamedTool,
    ResponseFormat,
    Tool,
    ToolChoiceField,
    tool_choice,
)
from pyslm.serve.protocol import GenerateRequest, ReasoningOptions, ServeError, ToolChoice
from pyslm.serve.protocol.number import Integer, Off, a_number

__all__ = ["ChatRequest"]

_NO_EFFORT = ("none", "minimal")


class ChatRequest(SamplingFields):
    """A conversation to be continued."""

    messages: list[Message] = Field(min_length=1)
    tools: list[Tool] | None = Field(None, max_length=512)
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: StrictBool | None = None
    functions: list[Function] | None = Field(None, max_length=512)
    function_call: Literal["none", "auto"] | FunctionName | None = None
    response_format: ResponseFormat | None = None
    max_completion_tokens: Integer | None = Field(None, ge=-1)
    logprobs: StrictBool | None = None
    top_logprobs: Integer | None = Field(None, ge=0, le=20)
    best_of: Annotated[Literal[1], a_number] | None = None
    echo: Off | None = None

    reasoning_effort: str | None = Field(None, max_length=32)
    reasoning_format: Literal["none", "auto", "deepseek", "deepseek-legacy"] | None = None
    include_reasoning: StrictBool | None = None
    think: StrictBool | str | None = None
    enable_thinking: StrictBool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: StrictBool | None = None
    continue_final_message: StrictBool | None = None
    tool_parser: str | None = Field(None, max_length=64)

    @property
    def is_legacy(self) -> bool:
        """Whether calls are to come back as `function_call`."""
        return self.functions is not None and self.tools is None

    def to_generate(self, request_id: str) -> GenerateRequest:
        """The same for the worker."""
        tools = self._tools()
        return GenerateRequest(
            id=request_id,
            messages=plain_messages(self.messages),
            sampling=self._sampling(),
            tools=tools or None,
            tool_choice=self._choice([tool["function"]["name"] for tool in tools]),
            parallel_tool_calls=self.parallel_tool_calls is not False and not self.is_legacy,
            tool_parser=self.tool_parser,
            reasoning=self._reasoning(),
            template_options=self.chat_template_kwargs or {},
            add_generation_prompt=self.add_generation_prompt is not False,
            continue_last_message=bool(self.continue_final_message),
            return_token_ids=bool(self.return_token_ids),
            skip_special_tokens=self.skip_special_tokens is not False,
        )

    def _sampling(self) -> Any:
        arguments = self.common_params()
        if self.response_format is not None:
            arguments |= self.response_format.params()
        arguments["max_tokens"] = max_tokens(
            self.max_completion_tokens, self.max_tokens, self.n_predict
        )
        if self.logprobs:
            arguments["logprobs"] = self.top_logprobs or 0
        elif self.top_logprobs:
            raise ServeError(
                "invalid_request", "top_logprobs needs logprobs: true", param="top_logprobs"
            )
        return sampling_params(arguments)

    def _tools(self) -> list[dict[str, Any]]:
        functions = [tool.function for tool in self.tools or ()]
        if self.is_legacy:
            functions += self.functions or []
        return [
            {"type": "function", "function": function.model_dump(exclude_none=True)}
            for function in functions
        ]

    def _choice(self, names: list[str]) -> ToolChoice:
        if len(set(names)) != len(names):
            raise ServeError("invalid_request", "two tools have the same name", param="tools")
        if self.is_legacy and isinstance(self.function_call, FunctionName):
            return tool_choice(NamedTool(type="function", function=self.function_call), names)
        if self.is_legacy and self.function_call is not None:
            return ToolChoice("none" if self.function_call == "none" else "auto")
        return tool_choice(self.tool_choice, names)

    def _reasoning(self) -> ReasoningOptions:
        effort = self.reasoning_effort
        enabled = self.enable_thinking
        if isinstance(self.think, bool):
            enabled = self.think
        elif self.think is not None:
            effort = self.think
        if effort is not None and enabled is None:
            enabled = effort not in _NO_EFFORT
        return ReasoningOptions(
            enabled=enabled,
            effort=None if effort in _NO_EFFORT else effort,
            separate=self.reasoning_format != "none",
            include=self.include_reasoning is not False,
        )
