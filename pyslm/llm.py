"""`LLM`: a GGUF file that generates, chats, embeds and scores, in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from pyslm.adapters import Adapter
from pyslm.batch import embed_all, generate_all, rerank_all, score_all
from pyslm.generation import ChunkStream, Generation
from pyslm.model_host import LoadOptions, ModelHost
from pyslm.model_info import ModelInfo
from pyslm.prompts import Prompt, is_single_prompt, paired
from pyslm.request import GenerationResult, SamplingParams
from pyslm.samples import check_streams
from pyslm.scores import ContinuationScore

if TYPE_CHECKING:
    from pyslm.chat.template import ChatTemplate

__all__ = ["LLM", "Message", "Prompt"]

Message: TypeAlias = Mapping[str, Any]
"""One turn of a conversation: {"role": ..., "content": ...}, as chat templates read it."""


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
        speculation: "ngram" guesses what comes next where the text repeats itself, and checks
            several tokens in one step, as many as pay; "off" does not. What comes out is the same
            to the bit, at every temperature.
        max_draft_tokens: tokens that a step may check ahead for one request, 1 to 64.
        draft_model: a smaller GGUF model of the same vocabulary that guesses where the text itself
            does not say.
        adapters: LoRA adapters to load, as name -> path of a GGUF file; see `load_adapter`.
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
        max_sequences: int = 16,
        batch_size: int = 512,
        kv_memory: int | None = None,
        prefix_caching: bool = True,
        prefix_cache: str | os.PathLike[str] | None = None,
        max_queued: int | None = None,
        speculation: str = "ngram",
        max_draft_tokens: int = 8,
        draft_model: str | os.PathLike[str] | None = None,
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
        weight_cache: bool | None = None,
        gpu_layers: int = 0,
        memory_lock: bool = False,
        numa: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        options = LoadOptions(
            backend=backend,
            context_length=context_length,
            threads=threads,
            kv_type=kv_type,
            max_sequences=max_sequences,
            batch_size=batch_size,
            kv_memory=kv_memory,
            prefix_caching=prefix_caching,
            prefix_cache=prefix_cache,
            max_queued=max_queued,
            speculation=speculation,
            max_draft_tokens=max_draft_tokens,
            draft_model=draft_model,
            adapters=adapters,
            weight_cache=weight_cache,
            gpu_layers=gpu_layers,
            memory_lock=memory_lock,
            numa=numa,
            progress=progress,
        )
        self._host = ModelHost(model, options)

    @property
    def info(self) -> ModelInfo:
        """What the model is and how it was loaded."""
        return self._host.info

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
            return generate_all(self._host, paired([prompt], params, single=True))[0]
        return generate_all(self._host, paired(prompt, params))

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> ChunkStream:
        """As `generate` for one prompt, in pieces as they come; the last one has the result.

        The request starts at once, and its errors are raised here. Closing the iterator, or letting
        go of it, ends the request.
        """
        params = params or SamplingParams()
        check_streams(params)
        return ChunkStream(Generation(self._host.loop, self._host.prepare(prompt, params)))

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
        return generate_all(self._host, [(prompt, params or SamplingParams())])[0]

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
        return self._host.encode_chat(messages, tools, **template_options)

    @property
    def chat_template(self) -> ChatTemplate:
        """The template in the model's file; a `ChatTemplateError` where there is none."""
        return self._host.chat_template

    # --- numbers ----------------------------------------------------------------------------

    def embed(self, texts: str | Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors of texts, float32 [len(texts), dim], pooled as the model says.

        Raises:
            ContextLengthError: a text longer than the context.
        """
        rows = embed_all(self._host, [texts] if isinstance(texts, str) else texts)
        return np.stack(rows) if rows else np.empty((0, self.info.hidden_size), np.float32)

    def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """How well each document fits the query, by a model with a head for it; higher is better.

        Raises:
            UnsupportedModelError: the model has no such head.
            ContextLengthError: query and document do not fit the context.
        """
        return rerank_all(self._host, query, documents)

    def score(self, prompt: Prompt, continuations: Sequence[Prompt]) -> list[ContinuationScore]:
        """How likely each continuation is after the prompt; all run together and share it.

        Raises:
            InvalidRequestError: an empty continuation.
            ContextLengthError: more tokens than the context holds.
        """
        return score_all(self._host, prompt, continuations)

    def logits(self, token_ids: Prompt) -> npt.NDArray[np.float32]:
        """Logits after each token of a sequence, float32 [n_tokens, n_vocab].

        Raises:
            ContextLengthError: more tokens than the context holds.
        """
        self._host.check_generates()
        ids = self._host.prompt_ids(token_ids)
        self._host.check_fits(len(ids), output=0)
        return self._host.runner.logits(np.asarray(ids, np.int32))

    def tokenize(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = False
    ) -> list[int]:
        """Token ids of a text.

        Args:
            add_special_tokens: put the model's own start and end tokens around it.
            parse_special: read "<|...|>" and its like as control tokens, not as text.
        """
        return self._host.tokenizer.encode(
            text, add_special_tokens=add_special_tokens, parse_special=parse_special
        )

    def detokenize(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of token ids."""
        return self._host.tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens)

    # --- adapters ---------------------------------------------------------------------------

    def load_adapter(
        self, path: str | os.PathLike[str], name: str | None = None, *, scale: float = 1.0
    ) -> Adapter:
        """Loads a LoRA adapter (GGUF), for requests with `SamplingParams(adapter=name)`.

        Args:
            name: None: that of the file, without its ending.
            scale: a factor on top of the alpha / rank that the file states.

        Raises:
            ModelFileError, GGUFError, UnsupportedModelError: the file is none, is damaged, or is
                for another model.
            InvalidRequestError: the name is taken.
        """
        return self._host.adapters.load(path, name, scale)

    def unload_adapter(self, name: str) -> None:
        """Forgets an adapter; an InvalidRequestError while requests use it."""
        self._host.adapters.unload(name)

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """Those loaded, by name."""
        return self._host.adapters.loaded

    # --- memory -----------------------------------------------------------------------------

    def save_prefix_cache(self, path: str | os.PathLike[str]) -> None:
        """Writes the computed prompts to a file, for `LLM(prefix_cache=path)` to begin with.

        Those of requests with a `cache_salt` are left out. The file holds what can be turned back
        into the prompts; only this user may read it.

        Raises:
            ModelFileError: the file cannot be written.
        """
        from pyslm.prefix_cache import save_prefixes

        self._host.check_generates()
        save_prefixes(Path(path), self._host.loop.engine, self.info.path, self._host.runner.info)

    def trim(self) -> None:
        """Forgets the computed prompts and gives their memory back to the system.

        Requests that run keep theirs. Memory that holds no prompts goes back by itself whenever no
        request is left.
        """
        self._host.loop.engine.trim()

    # --- life -------------------------------------------------------------------------------

    def close(self) -> None:
        """Waits for a step in progress and frees the model; later calls raise EngineError.

        A first start may still be storing the packed weights: it gets as long as loading took.
        """
        self._host.close()

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
        return f"LLM({str(self.info.path)!r}, {self.info.architecture}, {self.info.file_type})"
