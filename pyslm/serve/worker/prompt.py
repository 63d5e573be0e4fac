"""Makes the token ids of a request's prompt."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import partial
from typing import Any

from pyslm.chat.conversation import Conversation
from pyslm.chat.plan import ChatFormat, ChatPlan
from pyslm.chat.request import ChatRequest
from pyslm.errors import ChatTemplateError
from pyslm.llm import LLM
from pyslm.request import SamplingParams
from pyslm.serve.infill import find_infill
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.protocol.tokens import TokenizeRequest, TokenizeResult

__all__ = ["MadePrompt", "PromptMaker"]


@dataclasses.dataclass(frozen=True, slots=True)
class MadePrompt:
    """A prompt ready for the engine."""

    ids: list[int]
    sampling: SamplingParams
    text: str | None = None
    """Of prompts given as text, or with `echo`."""
    plan: ChatPlan | None = None
    """Of conversations."""


class PromptMaker:
    """Templates and tokenizes. Its work runs on a thread, away from the streams."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._infill = find_infill(llm._host.tokenizer.token_id)
        self._format: ChatFormat | None = None
        self._template_error: ChatTemplateError | None = None
        if llm.info.generates and llm.info.has_chat_template:
            try:
                self._format = ChatFormat(
                    llm.chat_template, llm._host.tokenizer, llm._host.nearness
                )
            except ChatTemplateError as error:  # the model still completes text
                self._template_error = error

    def capabilities(self) -> tuple[str, ...]:
        """What clients may ask of the model; see `ModelCard.capabilities`."""
        if not self._llm.info.generates:
            return ("embedding",)
        found = ["completion"]
        if self._infill:
            found.append("insert")
        if self._format is not None:
            found.append("tools")
            found += ["thinking"] if self._format.thinks else []
        return tuple(found)

    async def make(self, request: GenerateRequest) -> MadePrompt:
        """The prompt of a request.

        Raises:
            ServeError: no room is left in the context ("context_length", with the counts).
        """
        prompt = await asyncio.to_thread(self._make, request)
        num_tokens, limit = len(prompt.ids), self._llm.info.context_length
        if num_tokens >= limit:
            trained = self._llm.info.trained_context_length
            raise ServeError(
                "context_length",
                f"This model's maximum context length is {limit} tokens. However, your messages "
                f"resulted in {num_tokens} tokens, which leaves no room for the answer. Shorten "
                f"them, or serve the model with a longer context (it was trained for {trained}).",
                param="prompt" if request.messages is None else "messages",
                prompt_tokens=num_tokens,
                context_length=limit,
            )
        return prompt

    def _make(self, request: GenerateRequest) -> MadePrompt:
        if request.messages is not None:
            return self._conversation(request)
        sampling = request.sampling
        prompt = request.prompt if request.prompt is not None else ""
        if request.suffix is not None:
            return MadePrompt(self._infilled(request, request.suffix), sampling, str(prompt))
        if isinstance(prompt, str):
            ids = self._llm.tokenize(prompt, parse_special=request.parse_special)
            return MadePrompt(ids, sampling, prompt)
        text = self._llm.detokenize(prompt) if request.echo else None
        return MadePrompt(prompt, sampling, text)

    def _conversation(self, request: GenerateRequest) -> MadePrompt:
        chat = self._need_format()
        asked = _chat_request(request)
        plan = chat.plan(asked)
        said = chat.conversation(asked, plan)
        options = _options(request)
        if request.continue_last_message:
            ids = self._continued(said, options)
        else:
            ids = self._llm.encode_chat(said.messages, said.tools, **options)
        plan.see_prompt(ids)
        return MadePrompt(ids, plan.sampling(), plan=plan)

    def _continued(self, said: Conversation, options: dict[str, Any]) -> list[int]:
        """The conversation up to the end of what its last message says."""
        last = said.messages[-1] if said.messages else {}
        text = last.get("content")
        if last.get("role") != "assistant" or not isinstance(text, str) or not text.strip():
            raise ServeError(
                "invalid_request",
                "continue_final_message needs a last message of the assistant, with text",
                param="continue_final_message",
            )
        options = {**options, "add_generation_prompt": False}
        written, marks = self._llm.chat_template.render_marked(
            said.messages, tools=said.tools, **options
        )
        found = written.rfind(text.strip())
        if found < 0:
            raise ServeError(
                "not_supported",
                "the model's chat template rewrites the last message; it cannot be continued",
                param="continue_final_message",
            )
        end = found + len(text.strip())
        return self._llm.chat_template.tokenize(
            self._llm._host.tokenizer, written[:end], marks[:end]
        )

    def _need_format(self) -> ChatFormat:
        if self._template_error is not None:
            raise self._template_error
        if self._format is None:
            raise ServeError(
                "not_supported",
                "this model has no chat template: it completes text but holds no conversation; "
                "ask /v1/completions, or serve a model tuned for chat",
                param="messages",
            )
        return self._format

    def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """For /tokenize and its like."""
        written: str | None = None
        if request.messages is None:
            ids = self._llm.tokenize(
                request.text or "",
                add_special_tokens=request.add_special_tokens,
                parse_special=request.parse_special,
            )
        else:
            asked = GenerateRequest(
                id="",
                messages=request.messages,
                tools=request.tools,
                template_options=request.template_options,
                add_generation_prompt=request.add_generation_prompt,
            )
            chat = self._need_format()
            of_chat = _chat_request(asked)
            said = chat.conversation(of_chat, chat.plan(of_chat))
            options = _options(asked)
            ids = self._llm.encode_chat(said.messages, said.tools, **options)
            if request.with_prompt:
                written = self._llm.chat_template.render(said.messages, tools=said.tools, **options)
        tokenizer = self._llm._host.tokenizer
        return TokenizeResult(
            ids=ids,
            context_length=self._llm.info.context_length,
            pieces=[tokenizer.token_bytes(i) for i in ids] if request.with_pieces else None,
            prompt=written,
        )

    def _infilled(self, request: GenerateRequest, suffix: str) -> list[int]:
        if self._infill is None:
            raise ServeError(
                "not_supported",
                "this model has no tokens for filling in the middle; leave out suffix, or serve a "
                "model trained for it",
                param="suffix",
            )
        if not isinstance(request.prompt, str):
            raise ServeError(
                "invalid_request", "a prompt with a suffix must be text, not ids", param="prompt"
            )
        tokenizer = self._llm._host.tokenizer
        start = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
        encode = partial(self._llm.tokenize, add_special_tokens=False)
        others = request.infill_others
        return [*start, *self._infill.write(encode, request.prompt, suffix, others)]


def _chat_request(request: GenerateRequest) -> ChatRequest:
    return ChatRequest(
        messages=request.messages or [],
        sampling=request.sampling,
        tools=request.tools,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        tool_parser=request.tool_parser,
        reasoning=request.reasoning,
    )


def _options(request: GenerateRequest) -> dict[str, Any]:
    """The further names that the template sees."""
    options = dict(request.template_options)
    for name in ("messages", "tools", "bos_token", "eos_token"):
        if name in options:
            raise ServeError(
                "invalid_request",
                f"chat_template_kwargs holds {name!r}, which the server sets itself",
                param="chat_template_kwargs",
            )
    options = request.reasoning.template_names() | options
    options["add_generation_prompt"] = request.add_generation_prompt
    return options
