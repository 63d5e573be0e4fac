"""The native core. Not public: use `pyslm.LLM`, `pyslm.tokenizer` and the command line.

Written by hand; tests/test_packaging.py checks it against the module.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

testing: ModuleType
"""Entry points for pyslm's own tests."""

class GGUFTensor:
    """One tensor of a GGUF file; shape[0] is the innermost dimension, offsets are in bytes."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def offset(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...
    @property
    def num_elements(self) -> int: ...
    @property
    def file(self) -> int: ...

class GGUFReader:
    """Metadata and tensor index of a GGUF file or split set (csrc/gguf/reader.h)."""

    def __init__(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None: ...
    @property
    def version(self) -> int: ...
    @property
    def alignment(self) -> int: ...
    @property
    def files(self) -> list[str]: ...
    @property
    def total_bytes(self) -> int: ...
    def keys(self) -> list[str]: ...
    def __contains__(self, key: str) -> bool: ...
    @overload
    def get(self, key: str) -> Any: ...
    @overload
    def get(self, key: str, default: Any) -> Any: ...
    def value_type(self, key: str) -> str: ...
    def string_array(self, key: str) -> list[bytes]: ...
    def tensors(self) -> list[GGUFTensor]: ...
    @overload
    def integer(self, key: str, min: int, max: int) -> int: ...
    @overload
    def integer(self, key: str, min: int, max: int, absent: int) -> int: ...
    @overload
    def number(self, key: str, min: float, max: float) -> float: ...
    @overload
    def number(self, key: str, min: float, max: float, absent: float) -> float: ...
    def boolean(self, key: str, absent: bool) -> bool: ...
    @overload
    def string(self, key: str) -> str | bytes: ...
    @overload
    def string(self, key: str, absent: str) -> str | bytes: ...
    def integers(self, key: str, min: int, max: int) -> list[int]: ...
    def numbers(self, key: str) -> list[float]: ...
    def booleans(self, key: str) -> list[bool]: ...
    def read(self, name: str, begin: int = 0, n: int | None = None) -> bytes: ...

class SamplingParams:
    """csrc/sampling/params.h; Engine.add checks the ranges."""

    fields: tuple[str, ...]
    max_tokens: int
    priority: int
    cache_salt: str
    adapter: int
    min_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    top_n_sigma: float
    xtc_probability: float
    xtc_threshold: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    penalty_last_n: int
    dry_multiplier: float
    dry_base: float
    dry_allowed_length: int
    dry_penalty_last_n: int
    dry_sequence_breakers: Sequence[bytes]
    logit_bias: Mapping[int, float]
    allowed_token_ids: Sequence[int]
    bad_token_ids: Sequence[Sequence[int]]
    bad_words: Sequence[bytes]
    forced_tokens: Sequence[int]
    seed: int
    sample_index: int
    logprobs: int
    stop_token_ids: Sequence[int]
    stop: Sequence[bytes]
    include_stop_text: bool
    ignore_eos: bool
    grammar_type: str
    grammar: str
    def __init__(self, **fields: Any) -> None: ...
    def validate(self, num_vocab: int) -> None: ...

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
    def embedding(self) -> npt.NDArray[np.float32] | None: ...
    @property
    def finish(self) -> Literal["stop", "length", "abort", "error"] | None: ...
    @property
    def stop_reason(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def error_is_request(self) -> bool: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def prompt_seconds(self) -> float: ...
    @property
    def decode_seconds(self) -> float: ...

class EngineStats:
    @property
    def num_running(self) -> int: ...
    @property
    def num_waiting(self) -> int: ...
    @property
    def num_compiling(self) -> int: ...
    @property
    def num_preemptions(self) -> int: ...
    @property
    def free_blocks(self) -> list[int]: ...
    @property
    def cached_blocks(self) -> list[int]: ...
    @property
    def resident_blocks(self) -> list[int]: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def draft_tokens(self) -> int: ...
    @property
    def accepted_tokens(self) -> int: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def step_seconds(self) -> float: ...
    @property
    def forward_seconds(self) -> float: ...

class GrammarCompiler:
    """Compiles grammars on its own threads with llguidance's library."""

    def __init__(
        self,
        library: str,
        token_bytes: Sequence[bytes],
        end_tokens: Sequence[int],
        *,
        num_threads: int = 2,
        cache_entries: int = 32,
    ) -> None: ...
    @property
    def num_compiled(self) -> int: ...

class Runner:
    """Whatever computes for an Engine."""

class Model(Runner):
    """A GGUF model on the CPU: its packed weights and its cache."""

    def __init__(
        self,
        path: str,
        *,
        threads: int = 0,
        kv_type: str = "f16",
        context_length: int = 0,
        max_sequences: int = 16,
        max_batch_rows: int = 512,
        block_tokens: int = 32,
        kv_memory: int = 0,
        weight_cache: str | os.PathLike[str] | None = None,
        weight_cache_least: int = 0,
        weight_cache_limit: int = 0,
        progress: Callable[[float], object] | None = None,
    ) -> None: ...
    @property
    def info(self) -> dict[str, Any]: ...
    def load_adapter(self, path: str, scale: float = 1.0) -> int:
        """Reads a LoRA adapter (GGUF); returns its number, for SamplingParams.adapter."""

    def logits(
        self, ids: npt.NDArray[np.int32], chunk: int | None = None
    ) -> npt.NDArray[np.float32]: ...
    def forward_batch(
        self, sequences: Sequence[npt.NDArray[np.int32]], chunks: Sequence[int]
    ) -> list[npt.NDArray[np.float32]]: ...
    def settle_weight_cache(self, seconds: float, checks: bool = True) -> bool:
        """Waits until packed weights are stored, and checked; whether that is so."""

class Engine:
    """The step loop over a runner; any thread may add, abort or poll while another steps."""

    def __init__(
        self,
        runner: Runner,
        max_sequences: int = 16,
        prefill_chunk: int = 512,
        token_bytes: Sequence[bytes] = ...,
        stop_tokens: Sequence[int] = ...,
        *,
        prefix_caching: bool = True,
        max_queued: int = -1,
        max_draft: int = 0,
        adaptive_draft: bool = True,
    ) -> None: ...
    def use_grammars(self, compiler: GrammarCompiler) -> None: ...
    def use_draft_model(self, runner: Runner) -> None: ...
    def add(self, ids: Sequence[int] | npt.NDArray[np.int32], params: SamplingParams) -> int: ...
    def add_scoring(
        self,
        ids: Sequence[int] | npt.NDArray[np.int32],
        first: int = 1,
        num_top: int = 0,
        *,
        cache_salt: str = "",
        priority: int = 0,
        adapter: int = -1,
    ) -> int:
        """Asks how likely ids[first:] are; the updates have them with their logprobs."""

    def add_embedding(
        self,
        ids: Sequence[int] | npt.NDArray[np.int32],
        *,
        cache_salt: str = "",
        priority: int = 0,
        adapter: int = -1,
    ) -> int:
        """Asks for the vector of a text; the last update has it."""

    def unload_adapter(self, adapter: int) -> None: ...
    def abort(self, id: int) -> bool: ...
    def step(self) -> int: ...
    def poll(self, id: int) -> RequestUpdate | None: ...
    def poll_many(self, ids: Sequence[int]) -> list[RequestUpdate]:
        """Of those among them that have news; ids that the engine has forgotten are passed over."""

    def stats(self) -> EngineStats: ...
    def trim(self) -> None: ...
    def save_prefixes(self, write: Callable[[bytes], object]) -> None: ...
    def load_prefixes(self, read: Callable[[int], bytes]) -> int: ...
    def verify(self) -> None: ...

def default_num_threads() -> int:
    """Physical cores that this process may use."""

def read_bandwidth(threads: int, mebibytes: int = 256) -> float:
    """Bytes per second that threads read from a buffer far larger than the caches."""

def time_matmul(
    tier: str, type: str, rows: int, cols: int, m: int, threads: int, repeats: int
) -> list[float]:
    """Seconds of each of `repeats` products of a [rows, cols] weight with m rows."""

def arithmetic_peak(tier: str, int8: bool, threads: int) -> float:
    """Operations per second of the tier's int8 or float units, the best of a few passes."""

def time_attention(
    kv_type: str,
    tokens: int,
    sequences: int,
    heads: int,
    kv_heads: int,
    dim: int,
    scattered: bool,
    threads: int,
    repeats: int,
) -> list[float]:
    """Seconds of each of `repeats` decode steps of one layer's attention; `scattered`: over blocks
    in any order, else one after the other."""

def time_region(threads: int, regions: int, microseconds: float) -> float:
    """Seconds that a parallel region takes beyond the work of its threads, each of which is busy
    for so many microseconds: the mean over so many."""

def packed_bytes(type: str, rows: int, cols: int) -> int:
    """Bytes of a weight [rows, cols] as packed in memory."""

def weight_formats() -> dict[str, tuple[int, int, bool]]:
    """Name -> (elements per block, bytes per block, whether `quantize` writes it)."""

def quantize(
    type: str, x: npt.NDArray[np.float32], importance: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.uint8]:
    """float32 [n] -> the blocks of a format."""

def dequantize(type: str, data: Any, num_elems: int) -> npt.NDArray[np.float32]:
    """Blocks of a format -> float32 [num_elems]."""

def architectures() -> list[str]:
    """Names of the architectures that can be run, as in general.architecture."""

def verify_weight_cache(
    directory: str | os.PathLike[str], remove: bool
) -> list[tuple[str, int, str]]:
    """(file name, bytes, problem or "") of each entry, read to its end."""

def read_spec(path: str) -> dict[str, Any]:
    """The architecture of a GGUF file; checks every tensor's shape, loads none."""

def isa_info() -> dict[str, Any]:
    """The tier in use ("active"), and the tiers "compiled" and "supported"."""
