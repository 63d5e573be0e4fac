"""`PySLMChatClient`: for Microsoft Agent Framework, with the model in this process."""

from __future__ import annotations

import contextlib
import functools
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypedDict

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatOptions,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
)
from agent_framework.exceptions import (
    ChatClientException,
    ChatClientInvalidRequestException,
)
from agent_framework.observability import ChatTelemetryLayer
from typing_extensions import TypeVar

from pyslm.agents.agent_framework.options import chat_request
from pyslm.agents.models import Finished, Reply
from pyslm.agents.models.choose import local_model
from pyslm.agents.models.model import ModelEvent
from pyslm.async_llm import AsyncLLM
from pyslm.chat.events import ContentDelta, ReasoningDelta, ToolCallEnd
from pyslm.errors import InvalidRequestError, PyslmError
from pyslm.llm import LLM
from pyslm.request import Usage

__all__ = ["PySLMChatClient", "PySLMChatOptions"]


class PySLMChatOptions(ChatOptions, total=False):  # type: ignore[call-arg]
    """The framework's own options, and those of our engine."""

    top_k: int
    min_p: float
    repetition_penalty: float
    thinking: bool
    """Whether a model that can think first does so."""
    reasoning_effort: str


_OptionsT = TypeVar("_OptionsT", bound=TypedDict, default=PySLMChatOptions)  # type: ignore[valid-type]


class RawPySLMChatClient(BaseChatClient[_OptionsT], Generic[_OptionsT]):
    """The client without the framework's layers: no tools are called, nothing is told of it."""

    OTEL_PROVIDER_NAME: ClassVar[str] = "pyslm"

    def __init__(self, model: LLM | AsyncLLM | str | os.PathLike[str], **layers: Any) -> None:
        """See `PySLMChatClient`."""
        self._local = local_model(model)
        self.model = self._local.name
        super().__init__(**layers)

    def service_url(self) -> str:
        """Where the model runs, for telemetry."""
        return "localhost"

    def _inner_get_response(
        self,
        *,
        messages: Sequence[Message],
        stream: bool,
        options: Mapping[str, Any],
        **_: Any,
    ) -> Awaitable[ChatResponse] | ResponseStream[ChatResponseUpdate, ChatResponse]:
        if stream:
            updates = self._updates(messages, options)
            return self._build_response_stream(
                updates, response_format=options.get("response_format")
            )
        return self._response(messages, options)

    async def _response(
        self, messages: Sequence[Message], options: Mapping[str, Any]
    ) -> ChatResponse:
        reply = Reply()
        async with self._reply(messages, options) as (name, events):
            async for event in events:
                reply.take(event)
        contents = []
        if reply.thoughts:
            contents.append(Content.from_text_reasoning(text=reply.thoughts))
        if reply.text or not reply.calls:
            contents.append(Content.from_text(reply.text))
        contents += [_call(call.id, call.name, call.arguments) for call in reply.calls]
        assert reply.finish is not None
        return ChatResponse(
            messages=[Message(role="assistant", contents=contents)],
            response_id=_new_id(),
            model=name,
            created_at=_now(),
            finish_reason=reply.finish.reason,
            usage_details=_usage(reply.finish.usage),
            response_format=options.get("response_format"),
        )

    async def _updates(
        self, messages: Sequence[Message], options: Mapping[str, Any]
    ) -> AsyncIterator[ChatResponseUpdate]:
        """The reply as it comes; a call comes when it is whole."""
        update = functools.partial(
            ChatResponseUpdate, role="assistant", response_id=_new_id(), message_id=_new_id()
        )
        reply = Reply()
        async with self._reply(messages, options) as (name, events):
            async for event in events:
                reply.take(event)
                match event:
                    case ContentDelta(text):
                        yield update(contents=[Content.from_text(text)], model=name)
                    case ReasoningDelta(text):
                        thought = Content.from_text_reasoning(text=text)
                        yield update(contents=[thought], model=name)
                    case ToolCallEnd(index):
                        call = reply.call(index)
                        contents = [_call(call.id, call.name, call.arguments)]
                        yield update(contents=contents, model=name)
                    case Finished(reason, usage):
                        told = Content.from_usage(_usage(usage))
                        yield update(
                            contents=[told], model=name, finish_reason=reason, created_at=_now()
                        )

    @contextlib.asynccontextmanager
    async def _reply(
        self, messages: Sequence[Message], options: Mapping[str, Any]
    ) -> AsyncIterator[tuple[str, AsyncIterator[ModelEvent]]]:
        """The events of a reply, with the model's name; leaving early ends it. Our errors become
        the framework's."""
        with _translated():
            asked = await self._validate_options(options)
            model = self._local
            if asked.get("model") not in (None, self.model):
                model = local_model(asked["model"])
            async with contextlib.aclosing(model.reply(chat_request(messages, asked))) as events:
                yield model.name, events


class PySLMChatClient(
    FunctionInvocationLayer[_OptionsT],
    ChatMiddlewareLayer[_OptionsT],
    ChatTelemetryLayer[_OptionsT],
    RawPySLMChatClient[_OptionsT],
    Generic[_OptionsT],
):
    """A chat client whose model runs in this process.

    Options are the framework's, and `PySLMChatOptions`; what there is not is refused by name. A
    reply has 512 tokens at most and temperature 0.1, unless the options say otherwise. Models that
    are named are loaded at first use and shared with the agents of this process.

    Args:
        model: an `LLM` or `AsyncLLM`, which stays the caller's to close, a path, or a name that
            `pyslm list` knows.
        middleware, function_invocation_configuration, compaction_strategy, tokenizer,
        additional_properties: the framework's; see also `PySLMTokenizer`.

    Raises:
        AgentConfigError: `model` is something else.
    """

    def __init__(
        self,
        model: LLM | AsyncLLM | str | os.PathLike[str],
        *,
        middleware: Sequence[Any] | None = None,
        function_invocation_configuration: Any = None,
        compaction_strategy: Any = None,
        tokenizer: Any = None,
        additional_properties: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            model=model,
            middleware=middleware,
            function_invocation_configuration=function_invocation_configuration,
            compaction_strategy=compaction_strategy,
            tokenizer=tokenizer,
            additional_properties=additional_properties,
        )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except InvalidRequestError as error:
        raise ChatClientInvalidRequestException(str(error), error) from error
    except PyslmError as error:
        raise ChatClientException(f"{type(error).__name__}: {error}", error) from error


def _call(ident: str, name: str, arguments: str) -> Content:
    return Content.from_function_call(call_id=ident, name=name, arguments=arguments)


def _usage(usage: Usage) -> Any:
    return {
        "input_token_count": usage.prompt_tokens,
        "output_token_count": usage.completion_tokens,
        "total_token_count": usage.prompt_tokens + usage.completion_tokens,
        "cache_read_input_token_count": usage.cached_tokens,
    }


def _new_id() -> str:
    return f"pyslm-{uuid.uuid4().hex}"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
