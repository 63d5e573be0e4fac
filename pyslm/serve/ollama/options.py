"""`options`: how a model samples and how it is loaded, in Ollama's names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from pyslm.serve.openai.fields import check_extra, log_passed_over
from pyslm.serve.protocol import LoadOptions, ModelCard, ServeError
from pyslm.serve.protocol.number import Integer, Number
from pyslm.serve.protocol.request import UNBOUNDED

__all__ = ["Options"]

_Text = Annotated[str, Field(max_length=65536)]
_RANDOM_SEED = -1

# Ollama's, where they differ from those of `SamplingParams`.
_DEFAULTS = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "penalty_last_n": 64}

# They would change the answer only if a text were cut, or in ways that Ollama itself gave up.
_WITHOUT_EFFECT = ("num_keep", "penalize_newline")


class Options(BaseModel):
    """What is left out stands at Ollama's default."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    num_ctx: Integer | None = Field(default=None, ge=0, le=UNBOUNDED)
    num_predict: Integer | None = Field(default=None, ge=-UNBOUNDED, le=UNBOUNDED)
    seed: Integer | None = Field(default=None, ge=-(2**63), le=2**64 - 1)
    stop: _Text | list[_Text] | None = None
    temperature: Number | None = Field(default=None, ge=0)
    top_k: Integer | None = Field(default=None, ge=-UNBOUNDED, le=UNBOUNDED)
    top_p: Number | None = Field(default=None, ge=0, le=1)
    min_p: Number | None = Field(default=None, ge=0, le=1)
    typical_p: Number | None = Field(default=None, ge=0, le=1)
    repeat_last_n: Integer | None = Field(default=None, ge=-1, le=UNBOUNDED)
    repeat_penalty: Number | None = Field(default=None, ge=0.01, le=100)
    presence_penalty: Number | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: Number | None = Field(default=None, ge=-2, le=2)

    num_keep: Integer | None = None
    penalize_newline: StrictBool | None = None

    # How the machine is used, which is the server's affair and changes no answer.
    num_thread: Integer | None = None
    num_batch: Integer | None = None
    num_gpu: Integer | None = None
    main_gpu: Integer | None = None
    numa: StrictBool | None = None
    low_vram: StrictBool | None = None
    f16_kv: StrictBool | None = None
    logits_all: StrictBool | None = None
    use_mmap: StrictBool | None = None
    use_mlock: StrictBool | None = None
    draft_num_predict: Integer | None = None
    mirostat_tau: Number | None = None
    """This and the next say how `mirostat` works, which is refused unless it is off."""
    mirostat_eta: Number | None = None

    def sampling(self) -> dict[str, Any]:
        """Arguments of `SamplingParams`."""
        found: dict[str, Any] = dict(_DEFAULTS)
        given = {
            "temperature": self.temperature,
            "top_k": None if self.top_k is None else max(self.top_k, 0),
            "top_p": self.top_p,
            "min_p": self.min_p,
            "typical_p": self.typical_p,
            "penalty_last_n": self.repeat_last_n,
            "repetition_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "stop": self.stop,
            "seed": None if self.seed in (None, _RANDOM_SEED) else (self.seed or 0) % 2**64,
        }
        found |= {name: value for name, value in given.items() if value is not None}
        limit = self.num_predict or 0
        found["max_tokens"] = limit if limit > 0 else UNBOUNDED
        return found

    def load_options(self, card: ModelCard, served_context: int | None) -> LoadOptions | None:
        """How the model must be loaded.

        Args:
            served_context: the context that the server was started with, if it was told one.

        Raises:
            ServeError: a context is asked for that there is not.
        """
        if not self.num_ctx:
            return None
        limits = (
            (served_context, "is served with"),
            (card.trained_context_length, "was trained for"),
        )
        for limit, how in limits:
            if limit and self.num_ctx > limit:
                raise ServeError(
                    "invalid_request",
                    f"options.num_ctx is {self.num_ctx} and {card.id} {how} a context of {limit} "
                    f"tokens; ask for at most {limit}",
                    param="options.num_ctx",
                )
        return LoadOptions(context_length=self.num_ctx)

    def passed_over(self) -> list[str]:
        """Names of the options that have no effect here.

        Raises:
            ServeError: one cannot be honoured.
        """
        idle = [name for name in _WITHOUT_EFFECT if getattr(self, name) is not None]
        return [f"options.{name}" for name in (*log_passed_over(idle), *check_extra(self))]
