"""A model's own chat template: messages in, prompt text or token ids out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import jinja2
from jinja2.exceptions import SecurityError

from pyslm.chat import limits
from pyslm.chat.environment import ChatEnvironment
from pyslm.chat.exchanges import last_exchange, reads_alone
from pyslm.chat.marked import Marked, literal, marks_of
from pyslm.errors import ChatTemplateError
from pyslm.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Message"]

Message = Mapping[str, Any]

_ENVIRONMENT = ChatEnvironment()
# Templates write "<|" + role + "|>". These words, and no others, may take part in a control token.
_ROLES = frozenset(
    ("system", "developer", "user", "assistant", "tool", "function", "ipython", "model", "critic",
     "environment", "documents", "tool_response", "observation", "latest_reminder")
)  # fmt: skip
_MAX_DEPTH = 64
_PROBE = "zqprobezq"


class ChatTemplate:
    """Renders conversations as one model was trained to read them. Safe to share by threads.

    What the template writes may contain control tokens; what it quotes (message contents, tool
    results, tool schemas, arguments) never becomes one, whatever it says and however the template
    cuts and joins it: see `pyslm.chat.marked`.
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        """Compiles a template.

        Args:
            source: Jinja source, as in the key `tokenizer.chat_template` of a GGUF file.
            bos_token, eos_token: text of the tokenizer's tokens, which templates refer to.

        Raises:
            ChatTemplateError: the source is not valid Jinja.
        """
        if len(source) > limits.MAX_SOURCE_CHARS:
            raise ChatTemplateError(
                f"the chat template has {len(source)} characters; at most "
                f"{limits.MAX_SOURCE_CHARS} are allowed"
            )
        self.source = source
        self._tokens = {"bos_token": literal(bos_token), "eos_token": literal(eos_token)}
        self._takes_parts: bool | None = None
        self._reads_alone = reads_alone(source)
        try:
            self._template = _ENVIRONMENT.from_string(source)
        except Exception as error:  # a hostile source can fail anywhere in the compiler
            raise ChatTemplateError(f"the chat template is not valid: {error}") from error

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ChatTemplate:
        """The template that came with `tokenizer`'s vocabulary.

        Raises:
            ChatTemplateError: the model has none; it completes text but cannot hold a conversation.
        """
        if tokenizer.chat_template is None:
            raise ChatTemplateError(
                "the model file carries no chat template (key 'tokenizer.chat_template'): it can "
                "complete raw text only; pass a template, or use a model tuned for chat"
            )
        tokens = {
            name: "" if token is None else tokenizer.token_text(token)
            for name, token in (("bos_token", tokenizer.bos_id), ("eos_token", tokenizer.eos_id))
        }
        return cls(tokenizer.chat_template, **tokens)

    def shown(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> Sequence[Message]:
        """What of a conversation is written: all, or of very small models the last exchange."""
        if not self._reads_alone or not all(isinstance(m, Mapping) for m in messages):
            return messages
        return last_exchange(messages, tools or ())

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **kwargs: Any,
    ) -> str:
        """The prompt as text, for people to read; to run it, use `encode`.

        Args:
            messages: {"role": ..., "content": ...}, and "tool_calls" etc., as OpenAI has them.
            tools: JSON schemas of the tools the model may call.
            add_generation_prompt: end with the opening of the assistant's turn.
            **kwargs: further variables of the template, e.g. enable_thinking=False.

        Raises:
            ChatTemplateError: the template refuses the messages, fails, loops or writes too much.
        """
        text, _ = self._render(messages, tools, add_generation_prompt, kwargs)
        return text

    def encode(
        self,
        tokenizer: Tokenizer,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **kwargs: Any,
    ) -> list[int]:
        """The prompt as token ids; see `render`. BOS comes first if the model wants it, once."""
        text, marks = self._render(messages, tools, add_generation_prompt, kwargs)
        return self.tokenize(tokenizer, text, marks)

    def render_marked(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **kwargs: Any,
    ) -> tuple[str, bytes]:
        """As `render`, with one byte for each character: nonzero where the template wrote it."""
        return self._render(messages, tools, add_generation_prompt, kwargs)

    def tokenize(self, tokenizer: Tokenizer, text: str, marks: bytes) -> list[int]:
        """The token ids of what `render_marked` gave, or of its beginning."""
        ids = tokenizer.encode_marked(text, marks)
        bos = tokenizer.bos_id
        if tokenizer.add_bos and bos is not None and ids[:1] != [bos]:
            ids.insert(0, bos)
        return ids

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        kwargs: dict[str, Any],
    ) -> tuple[str, bytes]:
        prepared = [self._prepare(message) for message in self.shown(messages, tools)]
        variables = {
            **{key: _plain(value) for key, value in kwargs.items()},
            **self._tokens,
            "messages": prepared,
            "tools": _plain(tools) if tools else None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            text = self._run(variables)
        except ChatTemplateError as error:
            if isinstance(error.__cause__, SecurityError):
                raise
            for changed in _accommodations(prepared, variables["tools"]):
                with contextlib.suppress(ChatTemplateError):
                    text = self._run(variables | changed)
                    break
            else:
                raise
        return str.__str__(text), marks_of(text)

    def _run(self, variables: dict[str, Any]) -> str:
        token = limits.budget.set(limits.Budget.start())
        try:
            context = self._template.new_context(variables)
            text = _ENVIRONMENT.concat(self._template.root_render_func(context))
            num_bytes = len(text.encode())
        except jinja2.TemplateError as error:
            raise ChatTemplateError(f"the chat template refused: {error}") from error
        except Exception as error:  # whatever a stranger's template does wrong
            reason = f"{type(error).__name__}: {error}"
            raise ChatTemplateError(f"the chat template failed: {reason}") from error
        finally:
            limits.budget.reset(token)
        if num_bytes > limits.MAX_OUTPUT_BYTES:
            raise ChatTemplateError(
                f"the chat template wrote {num_bytes} bytes; at most {limits.MAX_OUTPUT_BYTES}"
            )
        return text

    def _prepare(self, message: Message) -> dict[str, Any]:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ChatTemplateError("each message must be a mapping with a 'role' of type str")
        prepared = cast(dict[str, Any], _plain(message))
        if prepared["role"] in _ROLES:
            prepared["role"] = literal(prepared["role"])
        if isinstance(prepared.get("content"), list) and not self._content_may_be_parts():
            prepared["content"] = _text_of_parts(prepared["content"])
        return _with_arguments(prepared, _parsed)

    def _content_may_be_parts(self) -> bool:
        """Whether the template reads a content that is a list of parts, found out by trying."""
        if self._takes_parts is None:
            parts = [{"type": "text", "text": _PROBE}]
            message = {"role": literal("user"), "content": parts}
            try:
                text = self._run({**self._tokens, "messages": [message], "tools": None})
                self._takes_parts = _PROBE in text and "type" not in text
            except ChatTemplateError:
                self._takes_parts = False
        return self._takes_parts


def _plain(value: Any, depth: int = 0) -> Any:
    """A copy of plain values only, so that a template reaches and changes nothing else."""
    if depth > _MAX_DEPTH:
        raise ChatTemplateError(f"messages and tools may be nested {_MAX_DEPTH} deep, not more")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Marked):  # nobody makes these but us
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {str.__str__(str(k)): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item, depth + 1) for item in value]
    raise ChatTemplateError(
        f"messages and tools must be of str, numbers, bool, None, lists and mappings; "
        f"got {type(value).__name__}"
    )


def _text_of_parts(parts: list[Any]) -> str:
    texts = []
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise ChatTemplateError(f"the model's chat template takes text only, not {kind!r}")
        texts.append(part["text"])
    return "".join(texts)


def _accommodations(messages: list[Any], tools: list[Any] | None) -> Iterator[dict[str, Any]]:
    """Other ways to say the same, for templates that fail on the usual one."""
    if tools is None:
        yield {"tools": []}
    yield {"messages": [_with_arguments(message, _written) for message in messages]}
    roles = [message["role"] for message in messages[:2]]
    contents = [message.get("content") for message in messages[:2]]
    if roles == ["system", "user"] and all(isinstance(text, str) for text in contents):
        merged = messages[1] | {"content": "\n\n".join(contents)}
        yield {"messages": [merged, *messages[2:]]}


def _with_arguments(message: dict[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    """`message` with the arguments of each of its tool calls converted."""
    if not isinstance(message.get("tool_calls"), list):
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and "arguments" in function:
            call = {**call, "function": {**function, "arguments": convert(function["arguments"])}}
        calls.append(call)
    return {**message, "tool_calls": calls}


def _parsed(arguments: Any) -> Any:
    """OpenAI gives a call's arguments as JSON text, most templates expect the object."""
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else None
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else arguments


def _written(arguments: Any) -> Any:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
