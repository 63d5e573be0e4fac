"""`pyslm run`: a prompt, or a conversation."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyslm.cli.console import (
    ContextOption,
    JsonOption,
    KvTypeOption,
    ThreadsOption,
    WeightCacheOption,
    is_default,
    load_model,
    model_and_prompt,
)
from pyslm.cli.output import finish, show, show_stats
from pyslm.errors import InvalidRequestError
from pyslm.hub.embedded import embedded_path
from pyslm.request import GenerationResult, SamplingParams, StreamChunk

if TYPE_CHECKING:
    from pyslm.llm import LLM

__all__ = ["run"]


ModelOrPromptArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A GGUF file, or a name: see `pyslm list`. Default: nano, which comes with pyslm; a "
        "sentence alone is a prompt for it.",
        show_default=False,
    ),
]
PromptArgument = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="Text; - reads it from stdin.")
]
RawOption = Annotated[
    bool, typer.Option("--raw", help="Continue the text as it is, without a chat template.")
]
SystemOption = Annotated[
    str | None, typer.Option("--system", "-s", help="System message of the conversation.")
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-tokens", "-n", min=1, help="Default: what the context has room for."),
]
TemperatureOption = Annotated[
    float,
    typer.Option(
        "--temperature", min=0, help="0: always the most likely token, as nano does by itself."
    ),
]
TopKOption = Annotated[int, typer.Option("--top-k", min=0, help="0: all tokens.")]
TopPOption = Annotated[float, typer.Option("--top-p", help="1: all tokens.")]
MinPOption = Annotated[float, typer.Option("--min-p", help="0: all tokens.")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Same seed, same text. Default: random.")
]
JsonSchemaOption = Annotated[
    str | None,
    typer.Option(
        "--json-schema", metavar="FILE|JSON", help="The answer is JSON under this schema."
    ),
]
RegexOption = Annotated[
    str | None, typer.Option("--regex", help="The whole answer matches this expression.")
]
ChoiceOption = Annotated[
    list[str] | None,
    typer.Option("--choice", help="The answer is this text, or that of another --choice."),
]
AdapterOption = Annotated[
    Path | None,
    typer.Option("--adapter", metavar="GGUF", help="LoRA adapter to run the model with."),
]
ToolsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tools",
        metavar="NAME",
        help="Let the model call these tools, as an agent: demo, database, calendar, email, or of "
        "a package. Repeatable.",
    ),
]
StatsOption = Annotated[
    bool, typer.Option("--stats", help="Tell counts and speeds on stderr afterwards.")
]


def run(
    context: typer.Context,
    model: ModelOrPromptArgument = None,
    prompt: PromptArgument = None,
    tools: ToolsOption = None,
    raw: RawOption = False,
    system: SystemOption = None,
    max_tokens: MaxTokensOption = None,
    temperature: TemperatureOption = 0.8,
    top_k: TopKOption = 40,
    top_p: TopPOption = 0.95,
    min_p: MinPOption = 0.05,
    seed: SeedOption = None,
    json_schema: JsonSchemaOption = None,
    regex: RegexOption = None,
    choice: ChoiceOption = None,
    adapter: AdapterOption = None,
    ctx: ContextOption = None,
    threads: ThreadsOption = None,
    kv_type: KvTypeOption = "f16",
    weight_cache: WeightCacheOption = True,
    as_json: JsonOption = False,
    stats: StatsOption = False,
) -> None:
    """Answer a prompt, or hold a conversation.

    A model with a chat template gets the prompt as a message; one without, or with --raw,
    continues it. Without a prompt this is a conversation, or the prompt comes from a pipe.

    Without a model this is nano, which is good at calling tools and at nothing else.

    [dim]Examples:[/dim]

      pyslm run "What is the weather in Oslo tomorrow?" --tools demo

      pyslm run model.gguf

      pyslm run model.gguf "Why is the sky blue?" --max-tokens 100 --stats

      pyslm run model.gguf "Once upon a time" --raw --temperature 0

      pyslm run model.gguf "Is Paris in France?" --choice yes --choice no

      pyslm run model.gguf --system "Summarise the text." --json < letter.txt
    """
    path, prompt = model_and_prompt(model, prompt)
    talk = prompt is None and sys.stdin.isatty() and not as_json
    if tools:
        _run_tools(context, path, "-" if prompt is None and not talk else prompt, tools)
        return
    params = SamplingParams(
        max_tokens=2**31 - 1 if max_tokens is None else max_tokens,
        temperature=_temperature(context, path, temperature),
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        seed=seed,
        json_schema=None if json_schema is None else read_schema(json_schema),
        regex=regex,
        choice=choice or None,
        adapter=None if adapter is None else "cli",
    )
    prompt = prompt if talk else piped(prompt)
    started = time.perf_counter()
    with load_model(
        path,
        context_length=ctx,
        threads=threads,
        kv_type=kv_type,
        max_sequences=1,
        adapters=None if adapter is None else {"cli": adapter},
        weight_cache=None if weight_cache else False,
    ) as llm:
        load_seconds = time.perf_counter() - started
        check_system(llm, system, raw)
        if prompt is None:
            _converse(llm, params, system=system, raw=raw, stats=stats)
            return
        chunks = answer(llm, prompt, params, system=system, raw=raw)
        _tell(llm, chunks, load_seconds, as_json=as_json, stats=stats)


def piped(prompt: str | None) -> str:
    """The prompt, or what stands in the pipe."""
    return sys.stdin.read() if prompt is None or prompt == "-" else prompt


def _run_tools(context: typer.Context, path: Path, text: str | None, tools: list[str]) -> None:
    from pyslm.cli.run_tools import run_tools

    run_tools(context, path, text, tools)


def _temperature(context: typer.Context, path: Path, given: float) -> float:
    """0 for nano where none is asked for: what it does is right or wrong."""
    return 0.0 if is_default(context, "temperature") and path == embedded_path() else given


def _converse(
    llm: LLM, params: SamplingParams, *, system: str | None, raw: bool, stats: bool
) -> None:
    from pyslm.cli.conversation import Conversation

    Conversation(llm, params, system=system, raw=raw, stats=stats).run()


def _tell(
    llm: LLM, chunks: Iterable[StreamChunk], load_seconds: float, *, as_json: bool, stats: bool
) -> None:
    if as_json:
        write_json(llm, finish(chunks, lambda text: None), load_seconds)
        return
    result = show(chunks)
    if stats:
        show_stats(result, load_seconds)
        print(f"[weights {llm.info.weight_cache}]", file=sys.stderr)


def read_schema(source: str) -> str:
    """The JSON text of --json-schema: the option itself, or the file that it names."""
    if source.lstrip().startswith(("{", "true", "false")):
        return source
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(
            f"--json-schema is {source!r}, neither JSON nor a file that can be read: {error}"
        ) from None


def check_system(llm: LLM, system: str | None, raw: bool) -> None:
    """An InvalidRequestError for a --system that no template would write."""
    if system is not None and (raw or not llm.info.has_chat_template):
        raise InvalidRequestError(
            "--system needs a chat template: "
            + ("leave out --raw" if raw else "this model has none")
        )


def answer(
    llm: LLM, prompt: str, params: SamplingParams, *, system: str | None, raw: bool
) -> Iterable[StreamChunk]:
    """The model's answer to one prompt, as a message where it has a template."""
    if raw or not llm.info.has_chat_template:
        return llm.stream(prompt, params)
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return llm.chat_stream(messages, params)


def write_json(llm: LLM, result: GenerationResult, load_seconds: float) -> None:
    """The result as one JSON object on stdout."""
    record: dict[str, Any] = {"model": str(llm.info.path), **dataclasses.asdict(result)}
    record["timings"]["load_seconds"] = load_seconds
    record["weight_cache"] = llm.info.weight_cache
    record["usage"]["total_tokens"] = result.usage.total_tokens
    if result.logprobs is None:
        del record["logprobs"]
    json.dump(record, sys.stdout, ensure_ascii=False)
    print()
