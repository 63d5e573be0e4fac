"""The native core. Not public: use `pyslm.LLM`, `pyslm.tokenizer` and the command line."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

class SamplingParams:
    """csrc/sampling/params.h; checked when a request is added."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    penalty_last_n: int
    logit_bias: list[tuple[int, float]]
    seed: int
    logprobs: int
    stop_token_ids: list[int]
    stop: list[bytes]
    include_stop_text: bool
    ignore_eos: bool
    def __init__(self) -> None: ...

class RequestUpdate:
    """What happened to one request since the last poll."""

    @property
    def id(self) -> int: ...
    @property
    def tokens(self) -> list[int]: ...
    @property
    def bytes(self) -> bytes: ...
    @property
    def logprobs(self) -> list[list[tuple[int, float]]]: ...
    @property
    def finish(self) -> str: ...
    @property
    def stop_reason(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def prompt_seconds(self) -> float: ...
    @property
    def decode_seconds(self) -> float: ...

class Model:
    """A decoder or encoder with its packed weights."""

    def __init__(
        self,
        path: str,
        *,
        threads: int = 0,
        kv_type: str = "f16",
        context_length: int = 0,
        max_sequences: int = 16,
        progress: Callable[[float], None] | None = None,
    ) -> None: ...
    @property
    def info(self) -> dict[str, Any]: ...
    def logits(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]: ...
    def embed(self, texts: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]: ...

def isa_info() -> dict[str, Any]:
    """The tier in use ("active"), and the tiers "compiled" and "supported"."""

class Engine:
    """The step loop over a model; any thread may add, abort or poll while another steps."""

    def __init__(
        self,
        model: Model,
        *,
        token_bytes: Sequence[bytes],
        stop_tokens: Sequence[int],
        max_sequences: int = 16,
        prefill_chunk: int = 512,
    ) -> None: ...
    def add(self, prompt: Sequence[int], params: SamplingParams) -> int: ...
    def abort(self, id: int) -> bool: ...
    def step(self) -> int: ...
    def poll(self, id: int) -> RequestUpdate | None: ...
