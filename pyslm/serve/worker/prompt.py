"""Makes the token ids of a request's prompt."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from pyslm.errors import ChatTemplateError
from pyslm.llm import LLM
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.protocol.tokens import TokenizeRequest, TokenizeResult

__all__ = ["MadePrompt", "PromptMaker"]

# The control tokens of "fill in the middle": prefix, suffix, middle, as the families write them.
_INFILL_TOKENS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class MadePrompt:
    """A prompt ready for the engine."""

    ids: list[int]
    text: str | None = None
    """Of prompts given as text, or with `echo`."""


class PromptMaker:
    """Templates and tokenizes. Its work runs on a thread, away from the streams."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._infill = self._find_infill()

    def capabilities(self) -> tuple[str, ...]:
        """What clients may ask of the model; see `ModelCard.capabilities`."""
        if not self._llm.info.generates:
            return ("embedding",)
        found = ["completion"]
        if self._infill:
            found.append("insert")
        if self._llm.info.has_chat_template:
            source = self._llm.chat_template.source
            found += ["tools"] if "tools" in source else []
            found += ["thinking"] if "think" in source else []
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
            return MadePrompt(self._chat(request.messages, request.tools, _options(request)))
        prompt = request.prompt if request.prompt is not None else ""
        if request.suffix:
            return self._infilled(prompt, request.suffix)
        if isinstance(prompt, str):
            ids = self._llm.tokenize(prompt, parse_special=request.parse_special)
            return MadePrompt(ids, prompt)
        text = self._llm.detokenize(prompt) if request.echo else None
        return MadePrompt(prompt, text)

    def _chat(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        options: dict[str, Any],
    ) -> list[int]:
        if not self._llm.info.has_chat_template:
            raise ServeError(
                "not_supported",
                "this model has no chat template: it completes text but holds no conversation; "
                "ask /v1/completions, or serve a model tuned for chat",
                param="messages",
            )
        return self._llm.encode_chat(messages, tools, **options)

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
            options = {
                **request.template_options,
                "add_generation_prompt": request.add_generation_prompt,
            }
            ids = self._chat(request.messages, request.tools, options)
            if request.with_prompt:
                written = self._llm.chat_template.render(
                    request.messages, tools=request.tools, **options
                )
        tokenizer = self._llm._host.tokenizer
        return TokenizeResult(
            ids=ids,
            context_length=self._llm.info.context_length,
            pieces=[tokenizer.token_bytes(i) for i in ids] if request.with_pieces else None,
            prompt=written,
        )

    def _find_infill(self) -> tuple[int, int, int] | None:
        tokenizer = self._llm._host.tokenizer
        for names in _INFILL_TOKENS:
            prefix, suffix, middle = (tokenizer.token_id(name) for name in names)
            if prefix is not None and suffix is not None and middle is not None:
                return prefix, suffix, middle
        return None

    def _infilled(self, prompt: str | list[int], suffix: str) -> MadePrompt:
        if self._infill is None:
            raise ServeError(
                "not_supported",
                "this model has no tokens for filling in the middle; leave out suffix, or serve a "
                "model trained for it",
                param="suffix",
            )
        if not isinstance(prompt, str):
            raise ServeError(
                "invalid_request", "a prompt with a suffix must be text, not ids", param="prompt"
            )
        before, after, middle = self._infill
        tokenizer = self._llm._host.tokenizer
        start = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
        head = self._llm.tokenize(prompt, add_special_tokens=False) if prompt else []
        tail = self._llm.tokenize(suffix, add_special_tokens=False)
        return MadePrompt([*start, before, *head, after, *tail, middle], prompt)


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
    reasoning = request.reasoning
    if reasoning.enabled is not None:
        options.setdefault("enable_thinking", reasoning.enabled)
        options.setdefault("thinking", reasoning.enabled)
    if reasoning.effort is not None:
        options.setdefault("reasoning_effort", reasoning.effort)
    if request.continue_last_message:
        raise ChatTemplateError("continue_final_message is not supported yet; leave it out")
    options["add_generation_prompt"] = request.add_generation_prompt
    return options
