"""A loaded model and its engine, and what every request needs before it is queued."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyslm._checks import check_choice, check_count, warn_unsupported
from pyslm.adapters import Adapters
from pyslm.errors import ContextLengthError, EngineError, InvalidRequestError, UnsupportedModelError
from pyslm.generation import PreparedRequest, Transcript, draw_seed, native_params
from pyslm.model_info import ModelInfo, check_model_path
from pyslm.prompts import Prompt, token_ids
from pyslm.request import SamplingParams
from pyslm.step_loop import StepLoop
from pyslm.weight_cache import cache_options, finish_writing

if TYPE_CHECKING:
    from pyslm import _native
    from pyslm.async_steps import AsyncSteps
    from pyslm.chat.nearness import Nearness
    from pyslm.chat.template import ChatTemplate
    from pyslm.tokenizer import Tokenizer

__all__ = ["LoadOptions", "ModelHost"]

BACKENDS = ("auto", "cpu")
KV_TYPES = ("f16", "bf16", "q8_0")
SPECULATIONS = ("ngram", "off")
DEFAULT_CONTEXT = 4096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The keyword arguments of `LLM`, checked; see there for what they mean."""

    backend: str = "auto"
    context_length: int | None = None
    threads: int | None = None
    kv_type: str = "f16"
    max_sequences: int = 16
    batch_size: int = 512
    kv_memory: int | None = None
    prefix_caching: bool = True
    prefix_cache: str | os.PathLike[str] | None = None
    max_queued: int | None = None
    speculation: str = "ngram"
    max_draft_tokens: int = 8
    draft_model: str | os.PathLike[str] | None = None
    adapters: Mapping[str, str | os.PathLike[str]] | None = None
    weight_cache: bool | None = None
    gpu_layers: int = 0
    memory_lock: bool = False
    numa: bool = False
    progress: Callable[[float], None] | None = None

    def __post_init__(self) -> None:
        check_choice("backend", self.backend, BACKENDS)
        check_choice("kv_type", self.kv_type, KV_TYPES)
        check_choice("speculation", self.speculation, SPECULATIONS)
        check_count("threads", self.threads, 1, 1024)
        check_count("context_length", self.context_length, 1, 2**31 - 1)
        check_count("max_sequences", self.max_sequences, 1, 1024)
        check_count("batch_size", self.batch_size, 1, 2**16)
        check_count("kv_memory", self.kv_memory, 1, 2**62)
        check_count("max_queued", self.max_queued, 0, 2**31 - 1)
        check_count("max_draft_tokens", self.max_draft_tokens, 1, 64)
        if self.draft_model is not None and self.speculation == "off":
            raise InvalidRequestError('a draft_model needs speculation; it is "off"')

    @property
    def max_draft(self) -> int:
        """Tokens that a step may check ahead for one request."""
        return 0 if self.speculation == "off" else self.max_draft_tokens


class ModelHost:
    """Holds the native model, its engine and its tokenizer; thread-safe."""

    def __init__(self, model: str | os.PathLike[str], options: LoadOptions) -> None:
        warn_unsupported(
            3, gpu_layers=options.gpu_layers, memory_lock=options.memory_lock, numa=options.numa
        )
        path = check_model_path(_file_of(model))
        started = time.perf_counter()
        # Side by side: packing the weights holds no GIL, building the tokenizer uses one core. At
        # a second start, with nothing to pack, what encodes text waits until there is some.
        weights_done = threading.Event()
        with ThreadPoolExecutor(1, "pyslm-tokenizer") as background:
            tokenizer = background.submit(_load_tokenizer, path, weights_done)
            try:
                self._runner: _native.Model | None = _open_runner(path, options)
            finally:
                weights_done.set()
            self.tokenizer: Tokenizer = tokenizer.result()
        self._draft = _open_draft(options, self.tokenizer)
        self.load_seconds = time.perf_counter() - started
        self.info = ModelInfo.from_native(path, self._runner.info)
        self._template: ChatTemplate | None = None
        self._nearness: Nearness | None = None
        self._has_nearness = True  # as far as known
        self._lazy_lock = threading.Lock()
        self._grammar_lock = threading.Lock()
        self._knows_grammars = False
        self._async_steps: AsyncSteps | None = None
        self.loop = StepLoop(_open_engine(self._runner, self._draft, self.tokenizer, options))
        self.adapters = Adapters(self._runner, self.loop)
        for name, adapter in (options.adapters or {}).items():
            self.adapters.load(adapter, name, 1.0)
        if options.prefix_cache is not None:
            from pyslm.prefix_cache import load_prefixes

            self.check_generates()
            load_prefixes(Path(options.prefix_cache), self.loop.engine, path, self._runner.info)

    def close(self) -> None:
        """Waits for a step in progress and lets go of everything."""
        if self._async_steps is not None:
            self._async_steps.close()
        self.loop.close()
        runner, self._runner = self._runner, None
        self._draft = None
        if runner is not None:
            finish_writing(runner, self.load_seconds)

    @property
    def runner(self) -> _native.Model:
        """The native model; an `EngineError` once closed."""
        if self._runner is None:
            raise EngineError("the model is closed; make a new LLM to go on")
        return self._runner

    @property
    def async_steps(self) -> AsyncSteps:
        """What steps the engine for event loops; made at the first need."""
        from pyslm.async_steps import AsyncSteps

        with self._lazy_lock:
            if self._async_steps is None:
                self._async_steps = AsyncSteps(self.loop)
                # Its thread must end with a model that nobody closed, and before the interpreter.
                weakref.finalize(self, self._async_steps.close)
            return self._async_steps

    @property
    def chat_template(self) -> ChatTemplate:
        """The template in the model's file; a `ChatTemplateError` where there is none."""
        from pyslm.chat.template import ChatTemplate

        with self._lazy_lock:
            if self._template is None:
                self._template = ChatTemplate.of(self.tokenizer)
            return self._template

    def nearness(self) -> Nearness | None:
        """How near texts are in meaning, where the model's file tells; read at the first need."""
        from pyslm.chat.nearness import Nearness, NearnessTable

        with self._lazy_lock:
            if self._nearness is None and self._has_nearness:
                table = NearnessTable.read(self.info.path)
                self._has_nearness = table is not None
                if table is not None:
                    vectors = table.vectors(self.tokenizer.vocab_size)
                    encode = partial(self.tokenizer.encode, add_special_tokens=False)
                    self._nearness = Nearness(vectors, table.weights, encode)
            return self._nearness

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        **template_options: Any,
    ) -> list[int]:
        """The token ids of a conversation up to where the model's answer begins."""
        return self.chat_template.encode(self.tokenizer, messages, tools=tools, **template_options)

    def prepare(
        self,
        prompt: Prompt,
        params: SamplingParams,
        *,
        seed: int | None = None,
        sample_index: int = 0,
    ) -> PreparedRequest:
        """Checks a request and writes it as the engine takes it.

        Args:
            seed: in place of the one in `params`.
            sample_index: which of the samples of one seed this is.
        """
        self.check_generates()
        ids = self.prompt_ids(prompt)
        room = self.check_fits(len(ids), output=1)
        if params.grammar_source() is not None:
            self._use_grammars()
        seed = draw_seed(params) if seed is None else seed
        native = native_params(params, seed, room)
        native.sample_index = sample_index
        native.adapter = self.adapters.id_of(params.adapter)
        return PreparedRequest(ids, native, Transcript(seed, params.logprobs is not None))

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of a text, or token ids checked."""
        if isinstance(prompt, str):
            ids = self.tokenizer.encode(prompt, add_special_tokens=True, parse_special=False)
        else:
            ids = token_ids(prompt)
        if not ids:
            raise InvalidRequestError("the prompt is empty; give at least one token")
        if min(ids) < 0 or max(ids) >= self.info.vocab_size:
            raise InvalidRequestError(
                f"a token id of the prompt is {min(ids) if min(ids) < 0 else max(ids)}; "
                f"allowed: 0 to {self.info.vocab_size - 1}"
            )
        return ids

    def check_fits(self, num_tokens: int, output: int) -> int:
        """Tokens that remain for the output; a ContextLengthError where they are too few."""
        room = self.info.context_length - num_tokens
        if room < output:
            raise ContextLengthError(
                f"the prompt has {num_tokens} tokens and the context holds "
                f"{self.info.context_length}{', with room for the answer' if output else ''}; "
                f"shorten it or load the model with a larger context_length "
                f"(it was trained for {self.info.trained_context_length})"
            )
        return room

    def check_embeds(self) -> None:
        """An UnsupportedModelError for rerankers."""
        if self.info.pooling == "rank":
            raise UnsupportedModelError(
                f"this {self.info.architecture} model ranks pairs of texts; use rerank()"
            )

    def check_generates(self) -> None:
        """An UnsupportedModelError for encoders."""
        if not self.info.generates:
            raise UnsupportedModelError(
                f"{self.info.architecture} models make embeddings, not text; use embed()"
            )

    def _use_grammars(self) -> None:
        """At the first need: the vocabulary takes memory, and a second to prepare."""
        from pyslm.grammar import grammar_compiler

        with self._grammar_lock:
            if not self._knows_grammars:
                compiler = grammar_compiler(self.tokenizer, self.info.vocab_size)
                self.loop.engine.use_grammars(compiler)
                self._knows_grammars = True


def _file_of(model: str | os.PathLike[str]) -> Path:
    """The file, of a path or of a name; names need the hub, which takes time to import."""
    path = Path(model)
    if isinstance(model, Path) or os.path.isfile(path):
        return path
    from pyslm.hub import resolve

    return resolve(model)


def _open_runner(path: Path, options: LoadOptions) -> _native.Model:
    from pyslm import _native

    context_length = options.context_length
    if context_length is None:
        context_length = min(
            _native.read_spec(str(path))["trained_context_length"], DEFAULT_CONTEXT
        )
    return _native.Model(
        str(path),
        threads=options.threads or 0,
        kv_type=options.kv_type,
        context_length=context_length,
        max_sequences=options.max_sequences,
        max_batch_rows=max(options.batch_size, options.max_sequences),
        kv_memory=options.kv_memory or 0,
        progress=options.progress,
        **cache_options(options.weight_cache),
    )


def _open_draft(options: LoadOptions, tokenizer: Tokenizer) -> _native.Model | None:
    """The draft model, after a look at whether its tokens are those of the model."""
    if options.draft_model is None:
        return None
    from pyslm.tokenizer import load_tokenizer

    path = check_model_path(_file_of(options.draft_model))
    theirs = load_tokenizer(path, build_encoder=False).all_token_bytes()
    ours = tokenizer.all_token_bytes()
    if len(theirs) != len(ours):
        raise InvalidRequestError(
            f"the draft model has {len(theirs)} tokens and the model {len(ours)}; a draft model "
            "must have the same vocabulary"
        )
    for token_id, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        if their != our:
            raise InvalidRequestError(
                f"token {token_id} is {their!r} in the draft model and {our!r} in the model; a "
                "draft model must have the same vocabulary"
            )
    quiet = dataclasses.replace(options, progress=None, kv_memory=None)
    return _open_runner(path, quiet)


def _open_engine(
    runner: _native.Model,
    draft: _native.Model | None,
    tokenizer: Tokenizer,
    options: LoadOptions,
) -> _native.Engine:
    from pyslm import _native

    engine = _native.Engine(
        runner,
        max_sequences=options.max_sequences,
        prefill_chunk=options.batch_size,
        token_bytes=tokenizer.all_token_bytes(),
        stop_tokens=sorted(tokenizer.eog_ids),
        prefix_caching=options.prefix_caching,
        max_queued=-1 if options.max_queued is None else options.max_queued,
        max_draft=options.max_draft,
    )
    if draft is not None:
        engine.use_draft_model(draft)
    return engine


def _load_tokenizer(path: Path, weights_done: threading.Event) -> Tokenizer:
    from pyslm.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(path, build_encoder=False)
    tokenizer.all_token_bytes()  # which it keeps; the engine asks for them next
    if not weights_done.is_set():
        tokenizer.build_encoder()
    return tokenizer
