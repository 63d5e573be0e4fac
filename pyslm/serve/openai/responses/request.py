"""The body of /v1/responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from pyslm.serve.openai.chat_request import ChatRequest
from pyslm.serve.openai.messages import Message
from pyslm.serve.openai.responses.items import InputItem, Item, messages_of
from pyslm.serve.openai.sampling import SamplingFields, Strict
from pyslm.serve.openai.tools import Function, FunctionName
from pyslm.serve.protocol import GenerateRequest, ServeError
from pyslm.serve.protocol.number import Integer

__all__ = ["ResponsesRequest"]

_LOGPROBS = "message.output_text.logprobs"


class FunctionTool(Function):
    """What the model can call."""

    type: Literal["function"]
    description: str | None = None


class HostedTool(BaseModel):
    """What OpenAI's own servers do: refused by name."""

    model_config = ConfigDict(extra="allow")

    type: Literal[
        "apply_patch", "code_interpreter", "computer", "computer_use_preview", "custom",
        "file_search", "image_generation", "local_shell", "mcp", "namespace", "shell",
        "tool_search", "web_search", "web_search_2025_08_26", "web_search_preview",
        "web_search_preview_2025_03_11",
    ]  # fmt: skip


ToolField: TypeAlias = Annotated[FunctionTool | HostedTool, Field(discriminator="type")]


class NamedFunction(FunctionName):
    """Exactly this tool."""

    type: Literal["function"]


class AllowedFunctions(Strict):
    """Some of the tools."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedFunction]


class TextFormat(Strict):
    """Text, a JSON object, or JSON under a schema, which is enforced, `strict` or not."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: StrictBool | None = None


class TextField(Strict):
    """What the answer must look like."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningField(Strict):
    """How the model thinks. Thoughts come whole: there are no summaries of them."""

    effort: Annotated[str, Field(max_length=32)] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesRequest(SamplingFields):
    """What a conversation is to be continued with."""

    input: str | list[InputItem] | None = None
    instructions: str | None = None
    previous_response_id: Annotated[str, Field(max_length=256)] | None = None
    store: StrictBool | None = None
    background: StrictBool | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    context_management: list[dict[str, Any]] | None = None
    tools: Annotated[list[ToolField], Field(max_length=512)] | None = None
    tool_choice: (
        Literal["none", "auto", "required"] | NamedFunction | AllowedFunctions | HostedTool | None
    ) = None
    parallel_tool_calls: StrictBool | None = None
    max_tool_calls: Annotated[Integer, Field(ge=1)] | None = None
    max_output_tokens: Annotated[Integer, Field(ge=1)] | None = None
    text: TextField | None = None
    reasoning: ReasoningField | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: (
        Annotated[
            dict[
                Annotated[str, Field(max_length=64)],
                Annotated[str, Field(max_length=512)],
            ],
            Field(max_length=16),
        ]
        | None
    ) = None
    user: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the response is kept."""
        return self.store is not False

    @property
    def with_logprobs(self) -> bool:
        """Whether each token's likelihood is asked for."""
        return bool(self.top_logprobs) or _LOGPROBS in (self.include or ())

    def check(self) -> None:
        """Refuses by name what this server does not do.

        Raises:
            ServeError: "unsupported_field" or "not_supported".
        """
        refused = (
            ("background", self.background, "leave it out, and wait or stream"),
            ("conversation", self.conversation, "go on by previous_response_id"),
            ("prompt", self.prompt, "this server keeps no prompts; use instructions and input"),
            ("context_management", self.context_management, "nothing is shortened in silence"),
            ("truncation", self.truncation == "auto", "nothing is cut in silence; shorten input"),
            ("n", (self.n or 1) > 1, "a response has one answer; ask again"),
            ("prompt_logprobs", self.prompt_logprobs is not None, "/v1/completions has them"),
            ("return_token_ids", self.return_token_ids, "/v1/chat/completions has them"),
            (
                "text.verbosity",
                self.text is not None and self.text.verbosity in ("low", "high"),
                "say it in the instructions",
            ),
        )
        for name, is_asked, instead in refused:
            if is_asked:
                raise ServeError(
                    "unsupported_field", f"{name} is not supported here: {instead}", param=name
                )
        self._check_tools()

    def _check_tools(self) -> None:
        named: list[tuple[str, Any]] = [
            (f"tools.{i}", tool) for i, tool in enumerate(self.tools or ())
        ]
        if isinstance(self.tool_choice, HostedTool):
            named.append(("tool_choice", self.tool_choice))
        for where, tool in named:
            if isinstance(tool, HostedTool):
                raise ServeError(
                    "not_supported",
                    f"{where}: there is no {tool.type} here; offer a tool of type 'function'",
                    param=f"{where}.type",
                )

    def to_generate(
        self, request_id: str, history: Sequence[Item], inputs: Sequence[Item]
    ) -> GenerateRequest:
        """For the worker, by way of the chat route's request."""
        messages = messages_of(history, inputs, self.instructions)
        return self._chat(messages).to_generate(request_id)

    def _chat(self, messages: list[dict[str, Any]]) -> ChatRequest:
        common = {
            name: value
            for name in SamplingFields.model_fields
            if (value := getattr(self, name)) is not None
        }
        return ChatRequest.model_validate(
            {
                **common,
                "messages": [Message.model_validate(message) for message in messages],
                "tools": self._chat_tools(),
                "tool_choice": self._chat_choice(),
                "parallel_tool_calls": self.parallel_tool_calls,
                "response_format": self._chat_format(),
                "max_completion_tokens": self.max_output_tokens,
                "logprobs": self.with_logprobs,
                "top_logprobs": self.top_logprobs,
                "reasoning_effort": self.reasoning.effort if self.reasoning else None,
                "chat_template_kwargs": self.chat_template_kwargs,
            }
        )

    def _chat_tools(self) -> list[dict[str, Any]] | None:
        return [
            {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}
            for tool in self.tools or ()
        ] or None

    def _chat_choice(self) -> Any:
        choice = self.tool_choice
        if isinstance(choice, NamedFunction):
            return _nested(choice)
        if isinstance(choice, AllowedFunctions):
            allowed = {"mode": choice.mode, "tools": [_nested(tool) for tool in choice.tools]}
            return {"type": "allowed_tools", "allowed_tools": allowed}
        return choice

    def _chat_format(self) -> dict[str, Any] | None:
        asked = self.text.format if self.text else None
        if asked is None:
            return None
        if asked.type != "json_schema":
            return {"type": asked.type}
        if asked.schema_ is None:
            raise ServeError(
                "invalid_request",
                "text.format: type 'json_schema' needs a schema",
                param="text.format.schema",
            )
        return {"type": "json_schema", "json_schema": {"schema": asked.schema_}}


def _nested(tool: NamedFunction) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool.name}}
