"""The body of /v1/completions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StrictBool

from pyslm.serve.openai.sampling import SamplingFields, max_tokens, sampling_params
from pyslm.serve.openai.tools import ResponseFormat
from pyslm.serve.protocol import GenerateRequest, ServeError
from pyslm.serve.protocol.number import Integer, TokenIds

__all__ = ["CompletionRequest"]

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 128
_Ids = Annotated[TokenIds, Field(min_length=1)]


class CompletionRequest(SamplingFields):
    """Prompts to be continued as they are."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
        | _Ids
        | Annotated[list[_Ids], Field(min_length=1, max_length=MAX_PROMPTS)]
    )
    suffix: str | None = None
    echo: StrictBool | None = None
    best_of: Integer | None = Field(None, ge=1, le=128)
    logprobs: Integer | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None

    def prompts(self) -> list[str | list[int]]:
        """As a list, whatever it was."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)

    @property
    def only_prompt(self) -> bool:
        """`echo` with `max_tokens` 0: the prompt's own likelihood is asked for."""
        return self.max_tokens == 0

    def to_generate(self, request_id: str) -> list[GenerateRequest]:
        """One for each prompt."""
        if self.only_prompt and not self.echo:
            raise ServeError(
                "invalid_request", "max_tokens is 0, which needs echo: true", param="max_tokens"
            )
        if self.best_of is not None and self.stream and self.best_of > (self.n or 1):
            raise ServeError(
                "invalid_request", "best_of cannot be streamed; leave out stream", param="best_of"
            )
        sampling = sampling_params(self._arguments())
        return [
            GenerateRequest(
                id=f"{request_id}-{i}",
                prompt=prompt,
                suffix=self.suffix or None,
                echo=bool(self.echo),
                sampling=sampling,
                return_token_ids=bool(self.return_token_ids),
                skip_special_tokens=self.skip_special_tokens is not False,
            )
            for i, prompt in enumerate(self.prompts())
        ]

    def _arguments(self) -> dict[str, Any]:
        arguments = self.common_params()
        if self.response_format is not None:
            arguments |= self.response_format.params()
        asked = self.max_tokens if self.max_tokens is not None else self.n_predict
        arguments["max_tokens"] = max(max_tokens(asked, DEFAULT_MAX_TOKENS), 1)
        if self.best_of is not None:
            arguments["best_of"] = self.best_of
        if self.logprobs is not None:
            arguments["logprobs"] = self.logprobs
            if self.echo:
                arguments["prompt_logprobs"] = self.logprobs
        return arguments
