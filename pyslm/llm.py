"""`LLM`: a GGUF file that generates, chats, embeds and scores, in this process."""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from pyslm._checks import check_choice, check_count, warn_unsupported
from pyslm.errors import ContextLengthError, EngineError, InvalidRequestError, UnsupportedModelError
from pyslm.generation import ChunkStream, Generation, token_logprobs
from pyslm.model_info import ModelInfo, check_model_path
from pyslm.prompts import Prompt, is_single_prompt, token_ids
from pyslm.request import GenerationResult, SamplingParams
from pyslm.samples import Samples
from pyslm.step_loop import StepLoop
from pyslm.weight_cache import cache_options, finish_writing

if TYPE_CHECKING:
    from pyslm import _native
    from pyslm.chat.template import ChatTemplate
    from pyslm.tokenizer import Tokenizer

__all__ = ["LLM", "Message", "Prompt"]

Message: TypeAlias = Mapping[str, Any]
"""One turn of a conversation: {"role": ..., "content": ...}, as chat templates read it."""

BACKENDS = ("auto", "cpu")
KV_TYPES = ("f16", "bf16", "q8_0")
DEFAULT_CONTEXT = 4096
DEFAULT_SEQUENCES = 16


class LLM:
    """A model in memory.

    ::

        with pyslm.LLM("model.gguf") as llm:
            print(llm.generate("Once upon a time").text)

    All methods may be called from several threads at once; requests that run at the same time
    share their steps, and what each of them gets is the same as if it had run alone.

    Args:
        model: path of a GGUF file (of the first part, where it is split).
        backend: "auto" or "cpu".
        context_length: tokens that one sequence may hold, prompt and output. None: what the model
            was trained for, but at most 4096. Memory for it comes with use.
        threads: None: the physical cores that this process may use.
        kv_type: how keys and values are kept: "f16", "bf16" or "q8_0".
        max_sequences: requests that may run at the same time; others wait.
        batch_size: prompt tokens that one step may compute.
        kv_memory: bytes that keys and values may take. None: what `max_sequences` of the whole
            context take. Memory comes with use; what is left of it keeps the prompts computed
            last, for requests that begin with the same text.
        prefix_caching: keep computed prompts and share them between requests.
        prefix_cache: a file of `save_prefix_cache`, to begin with what it holds.
        max_queued: requests beyond `max_sequences` that may wait; more are a QueueFullError.
            None: any number.
        weight_cache: keep the weights as packed for this machine on disk, for the next start to
            map. None: of files of 64 MiB and more. See `pyslm.weight_cache` for where.
        gpu_layers, memory_lock, numa: accepted for the sake of callers that set them. The CPU
            backend does not support them and warns when they are set.
        progress: called while loading, with the fraction done (0 to 1).

    Raises:
        ModelNotFoundError, ModelFileError: the file cannot be opened.
        GGUFError: it is not a sound GGUF file.
        UnsupportedModelError: its architecture, format or vocabulary is not supported.
        InsufficientMemoryError: it does not fit; nothing was loaded.
        InvalidRequestError: an argument out of its range.
        PrefixCacheError: `prefix_cache` is damaged, or of another model, setting or build.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        backend: str = "auto",
        context_length: int | None = None,
        threads: int | None = None,
        kv_type: str = "f16",
        max_sequences: int = DEFAULT_SEQUENCES,
        batch_size: int = 512,
        kv_memory: int | None = None,
        prefix_caching: bool = True,
        prefix_cache: str | os.PathLike[str] | None = None,
        max_queued: int | None = None,
        weight_cache: bool | None = None,
        gpu_layers: int = 0,
        memory_lock: bool = False,
        numa: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        check_choice("backend", backend, BACKENDS)
        check_choice("kv_type", kv_type, KV_TYPES)
        check_count("threads", threads, 1, 1024)
        check_count("context_length", context_length, 1, 2**31 - 1)
        check_count("max_sequences", max_sequences, 1, 1024)
        check_count("batch_size", batch_size, 1, 2**16)
        check_count("kv_memory", kv_memory, 1, 2**62)
        check_count("max_queued", max_queued, 0, 2**31 - 1)
        warn_unsupported(2, gpu_layers=gpu_layers, memory_lock=memory_lock, numa=numa)
        path = check_model_path(model)

        from pyslm import _native

        started = time.perf_counter()
        if context_length is None:
            trained = _native.read_spec(str(path))["trained_context_length"]
            context_length = min(trained, DEFAULT_CONTEXT)
        # Side by side: packing the weights holds no GIL, building the tokenizer uses one core.
        with ThreadPoolExecutor(1, "pyslm-tokenizer") as background:
            tokenizer = background.submit(_load_tokenizer, path)
            self._runner: _native.Model | None = _native.Model(
                str(path),
                threads=threads or 0,
                kv_type=kv_type,
                context_length=context_length,
                max_sequences=max_sequences,
                max_batch_rows=max(batch_size, max_sequences),
                kv_memory=kv_memory or 0,
                progress=progress,
                **cache_options(weight_cache),
            )
            self._tokenizer = tokenizer.result()
        self._load_seconds = time.perf_counter() - started
        self._info = ModelInfo.from_native(path, self._runner.info)
        self._template: ChatTemplate | None = None
        self._template_lock = threading.Lock()
        self._grammar_lock = threading.Lock()
        self._knows_grammars = False
        self._loop = StepLoop(
            _native.Engine(
                self._runner,
                max_sequences=max_sequences,
                prefill_chunk=batch_size,
                token_bytes=self._tokenizer.all_token_bytes(),
                stop_tokens=sorted(self._tokenizer.eog_ids),
                prefix_caching=prefix_caching,
                max_queued=-1 if max_queued is None else max_queued,
            )
        )
        if prefix_cache is not None:
            from pyslm.prefix_cache import load_prefixes

            load_prefixes(Path(prefix_cache), self._need_loop().engine, path, self._runner.info)

    @property
    def info(self) -> ModelInfo:
        """What the model is and how it was loaded."""
        return self._info

    # --- text -------------------------------------------------------------------------------

    @overload
    def generate(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too
        self, prompt: Prompt, params: SamplingParams | None = None
    ) -> GenerationResult: ...
    @overload
    def generate(
        self,
        prompt: Sequence[str] | Sequence[Sequence[int]],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
    ) -> list[GenerationResult]: ...
    def generate(
        self,
        prompt: Any,
        params: SamplingParams | Sequence[SamplingParams] | None = None,
    ) -> GenerationResult | list[GenerationResult]:
        """Continues a prompt, or each of a list of prompts.

        Args:
            prompt: text or token ids; or a list of texts or of lists of token ids, which run
                together and come back in their order.
            params: for all prompts, or one for each.

        Raises:
            InvalidRequestError: an empty prompt or an argument out of its range.
            ContextLengthError: a prompt that leaves no room in the context.
        """
        if is_single_prompt(prompt):
            if not isinstance(params, SamplingParams | None):
                raise InvalidRequestError("params is a list, but there is one prompt")
            return self._run([(prompt, params or SamplingParams())])[0]
        if params is None or isinstance(params, SamplingParams):
            params = [params or SamplingParams()] * len(prompt)
        if len(params) != len(prompt):
            raise InvalidRequestError(
                f"params has {len(params)} entries for {len(prompt)} prompts; give one or each"
            )
        return self._run(list(zip(prompt, params, strict=True)))

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> ChunkStream:
        """As `generate` for one prompt, in pieces as they come; the last one has the result.

        The request starts at once, and its errors are raised here. Closing the iterator, or letting
        go of it, ends the request.
        """
        params = params or SamplingParams()
        if params.num_samples > 1 or params.prompt_logprobs is not None:
            raise InvalidRequestError(
                "a stream gives one sample and no prompt_logprobs, but "
                f"n is {params.n}, best_of {params.best_of}, "
                f"prompt_logprobs {params.prompt_logprobs}; use generate()"
            )
        return ChunkStream(self._start(prompt, params))

    def chat(
        self,
        messages: Sequence[Message],
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_options: Any,
    ) -> GenerationResult:
        """Answers a conversation, written out by the model's own chat template.

        Args:
            messages: the turns so far, each with "role" and "content".
            params: how to sample.
            tools: function descriptions for templates that know tools.
            template_options: further names for the template, such as enable_thinking=False.

        Raises:
            ChatTemplateError: the model has no template, or it fails on these messages.
        """
        prompt = self.encode_chat(messages, tools, **template_options)
        return self._run([(prompt, params or SamplingParams())])[0]

    def chat_stream(
        self,
        messages: Sequence[Message],
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_options: Any,
    ) -> ChunkStream:
        """As `chat`, in pieces as they come; see `stream`."""
        return self.stream(self.encode_chat(messages, tools, **template_options), params)

    def encode_chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_options: Any,
    ) -> list[int]:
        """The token ids of a conversation up to where the model's answer begins.

        What the template writes may be control tokens; what the messages hold never is.
        """
        return self.chat_template.encode(self._tokenizer, messages, tools=tools, **template_options)

    @property
    def chat_template(self) -> ChatTemplate:
        """The template in the model's file; a `ChatTemplateError` where there is none."""
        from pyslm.chat.template import ChatTemplate

        with self._template_lock:
            if self._template is None:
                self._template = ChatTemplate.of(self._tokenizer)
            return self._template

    # --- numbers ----------------------------------------------------------------------------

    def embed(self, texts: str | Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors of texts, float32 [len(texts), dim], pooled as the model says.

        Raises:
            ContextLengthError: a text longer than the context.
        """
        batch = [texts] if isinstance(texts, str) else list(texts)
        ids = [np.asarray(self._prompt_ids(text), np.int32) for text in batch]
        for tokens in ids:
            self._check_fits(len(tokens), output=0)
        rows = self._loop.embed(ids)
        return np.stack(rows) if rows else np.empty((0, self._info.hidden_size), np.float32)

    def logits(self, token_ids: Prompt) -> npt.NDArray[np.float32]:
        """Logits after each token of a sequence, float32 [n_tokens, n_vocab].

        Raises:
            ContextLengthError: more tokens than the context holds.
        """
        self._need_loop()
        ids = self._prompt_ids(token_ids)
        self._check_fits(len(ids), output=0)
        return self._open_runner().logits(np.asarray(ids, np.int32))

    def tokenize(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = False
    ) -> list[int]:
        """Token ids of a text.

        Args:
            add_special_tokens: put the model's own start and end tokens around it.
            parse_special: read "<|...|>" and its like as control tokens, not as text.
        """
        return self._tokenizer.encode(
            text, add_special_tokens=add_special_tokens, parse_special=parse_special
        )

    def detokenize(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of token ids."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens)

    # --- memory -----------------------------------------------------------------------------

    def save_prefix_cache(self, path: str | os.PathLike[str]) -> None:
        """Writes the computed prompts to a file, for `LLM(prefix_cache=path)` to begin with.

        Those of requests with a `cache_salt` are left out. The file holds what can be turned back
        into the prompts; only this user may read it.

        Raises:
            ModelFileError: the file cannot be written.
        """
        from pyslm.prefix_cache import save_prefixes

        engine = self._need_loop().engine
        save_prefixes(Path(path), engine, self._info.path, self._open_runner().info)

    def trim(self) -> None:
        """Forgets the computed prompts and gives their memory back to the system.

        Requests that run keep theirs. Memory that holds no prompts goes back by itself whenever no
        request is left.
        """
        self._need_loop().engine.trim()

    # --- life -------------------------------------------------------------------------------

    def close(self) -> None:
        """Waits for a step in progress and frees the model; later calls raise EngineError.

        A first start may still be storing the packed weights: it gets as long as loading took.
        """
        self._loop.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            finish_writing(runner, self._load_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LLM({str(self._info.path)!r}, {self._info.architecture}, {self._info.file_type})"

    # --- within -----------------------------------------------------------------------------

    def _run(self, requests: list[tuple[Prompt, SamplingParams]]) -> list[GenerationResult]:
        running: list[Samples] = []
        try:
            for prompt, params in requests:
                running.append(samples := Samples(params))
                samples.start(functools.partial(self._start, prompt))
            results = [samples.finish() for samples in running]
        finally:
            for samples in running:
                samples.abort()
        return [
            self._with_prompt_logprobs(result, *request)
            for result, request in zip(results, requests, strict=True)
        ]

    def _with_prompt_logprobs(
        self, result: GenerationResult, prompt: Prompt, params: SamplingParams
    ) -> GenerationResult:
        if params.prompt_logprobs is None:
            return result
        ids = np.asarray(self._prompt_ids(prompt), np.int32)
        rows = self._open_runner().token_logprobs(ids, params.prompt_logprobs)
        return dataclasses.replace(result, prompt_logprobs=tuple(map(token_logprobs, rows)))

    def _start(
        self,
        prompt: Prompt,
        params: SamplingParams,
        *,
        seed: int | None = None,
        sample_index: int = 0,
    ) -> Generation:
        loop = self._need_loop()
        ids = self._prompt_ids(prompt)
        room = self._check_fits(len(ids), output=1)
        if params.grammar_source() is not None:
            self._use_grammars(loop)
        return Generation(loop, ids, params, room, seed=seed, sample_index=sample_index)

    def _use_grammars(self, loop: StepLoop) -> None:
        """At the first need: the vocabulary takes memory, and a second to prepare."""
        from pyslm.grammar import grammar_compiler

        with self._grammar_lock:
            if not self._knows_grammars:
                compiler = grammar_compiler(self._tokenizer, self._info.vocab_size)
                loop.engine.use_grammars(compiler)
                self._knows_grammars = True

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        ids = self.tokenize(prompt) if isinstance(prompt, str) else token_ids(prompt)
        if not ids:
            raise InvalidRequestError("the prompt is empty; give at least one token")
        if min(ids) < 0 or max(ids) >= self._info.vocab_size:
            raise InvalidRequestError(
                f"a token id of the prompt is {min(ids) if min(ids) < 0 else max(ids)}; "
                f"allowed: 0 to {self._info.vocab_size - 1}"
            )
        return ids

    def _check_fits(self, num_tokens: int, output: int) -> int:
        """Tokens that remain for the output; a ContextLengthError where they are too few."""
        room = self._info.context_length - num_tokens
        if room < output:
            raise ContextLengthError(
                f"the prompt has {num_tokens} tokens and the context holds "
                f"{self._info.context_length}{', with room for the answer' if output else ''}; "
                f"shorten it or load the model with a larger context_length "
                f"(it was trained for {self._info.trained_context_length})"
            )
        return room

    def _need_loop(self) -> StepLoop:
        if not self._info.generates:
            raise UnsupportedModelError(
                f"{self._info.architecture} models make embeddings, not text; use embed()"
            )
        return self._loop

    def _open_runner(self) -> _native.Model:
        if self._runner is None:
            raise EngineError("the model is closed; make a new LLM to go on")
        return self._runner


def _load_tokenizer(path: Path) -> Tokenizer:
    from pyslm.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(path)
    tokenizer.all_token_bytes()  # which it keeps; the engine asks for them next
    return tokenizer
