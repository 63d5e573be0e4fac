"""How one model holds conversations: its template, its tool calls, its reasoning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyslm.chat.comparison import comparison_of, has_grammar
from pyslm.chat.conversation import Conversation, ToolPrompts
from pyslm.chat.engine_output import EngineOutput
from pyslm.chat.fitness import Fitness, request_of
from pyslm.chat.nearness import Nearness
from pyslm.chat.output import OutputParser
from pyslm.chat.reasoning import ReasoningStyle, detect_reasoning
from pyslm.chat.request import ChatRequest
from pyslm.chat.sayings import Sayings, sayings_of
from pyslm.chat.steps import AsyncGenerate, Comparison, weigh
from pyslm.chat.template import ChatTemplate, Message
from pyslm.chat.tool_formats import ToolFormat, detect_tool_format, tool_format
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.quoted import quotable, quotes_arguments
from pyslm.chat.weighing import weighs_tools
from pyslm.errors import InvalidRequestError
from pyslm.grammar.source import regex_grammar
from pyslm.request import SamplingParams
from pyslm.tokenizer import Tokenizer
from pyslm.tokenizer.vocabulary import TokenType

__all__ = ["ChatFormat", "ChatPlan"]

_TAIL_TOKENS = 24  # of the prompt, in which it may have opened the reasoning


class ChatFormat:
    """Found out once, when the model is loaded. Safe to share by threads."""

    def __init__(
        self,
        template: ChatTemplate,
        tokenizer: Tokenizer,
        nearness: Callable[[], Nearness | None] = lambda: None,
    ) -> None:
        """
        Args:
            nearness: that of the model's file; asked for by templates that say so.
        """
        self._tokenizer = tokenizer
        self._nearness = nearness
        self._source = template.source
        self._template = template
        self.reasoning = detect_reasoning(self._source)
        self.tool_format = detect_tool_format(self._source)
        self._prompts = {self.tool_format.name: ToolPrompts(template, self.tool_format)}
        self._quotes = quotes_arguments(self._source)
        self._weighs = weighs_tools(self._source)
        self._sayings = sayings_of(self._source)
        self._knows_developers = "developer" in self._source

    @property
    def thinks(self) -> bool:
        """Whether the model may reason before it answers."""
        return self.reasoning is not None or self.tool_format.name == "harmony"

    def plan(self, request: ChatRequest) -> ChatPlan:
        """What to do about tools and reasoning in one request.

        Raises:
            InvalidRequestError: a tool or its schema is malformed, or cannot be enforced.
        """
        chosen = self.tool_format
        if request.tool_parser is not None:
            chosen = tool_format(request.tool_parser)
        shown = self._template.shown(request.messages, request.tools)
        quoted = quotable(shown) if self._quotes and request.tools else ()
        return ChatPlan(
            request,
            chosen,
            self.reasoning,
            self._tokenizer,
            quoted,
            weighs=self._weighs,
            fitness=self._fitness(request, shown),
            sayings=self._sayings,
        )

    def _fitness(self, request: ChatRequest, shown: Sequence[Message]) -> Fitness | None:
        chooses = self._weighs and bool(request.tools or request.sampling.choice)
        said = request_of(shown) if chooses else None
        nearness = self._nearness() if said is not None else None
        return Fitness(nearness, said) if said is not None and nearness is not None else None

    def conversation(self, request: ChatRequest, plan: ChatPlan) -> Conversation:
        """The messages as the template can say them."""
        name = plan.tool_format.name
        if name not in self._prompts:
            self._prompts[name] = ToolPrompts(self._template, plan.tool_format)
        messages = list(request.messages)
        if not self._knows_developers:
            messages = [_without_developer(message) for message in messages]
        return self._prompts[name].prepare(messages, plan.tools.values())


class ChatPlan:
    """How the output of one request is constrained and read."""

    def __init__(
        self,
        request: ChatRequest,
        chosen: ToolFormat,
        reasoning: ReasoningStyle | None,
        tokenizer: Tokenizer,
        quotable: Sequence[str] = (),
        weighs: bool = False,
        fitness: Fitness | None = None,
        sayings: Sayings | None = None,
    ) -> None:
        """
        Args:
            quotable: where texts in arguments must be quoted, of what.
            weighs: whole calls are compared before one is made.
            fitness: how well tools fit the request, where that counts.
            sayings: what the model always says in the same words.
        """
        self.tool_format = chosen
        self._weighs = weighs
        self._fitness = fitness
        self._sayings = sayings or Sayings()
        self._quotable = quotable
        self.tools = request.offered()
        self._request = request
        self._reasoning = reasoning if request.reasoning.separate else None
        self._tokenizer = tokenizer
        self._in_reasoning = False
        markers = (*chosen.markers, *(reasoning.markers if reasoning else ()))
        self._control = _control_tokens(tokenizer, markers)
        self.marker_ids = {ident: text for text, ident in self._control.items()}

    def see_prompt(self, ids: list[int]) -> None:
        """Looks whether the prompt has opened the reasoning."""
        if self._reasoning is not None:
            tail = self._tokenizer.decode(ids[-_TAIL_TOKENS:], skip_special_tokens=False)
            self._in_reasoning = self._reasoning.opened_by(tail)

    @property
    def is_plain(self) -> bool:
        """Whether the output is nothing but an answer."""
        return not self.tools and not self.tool_format.framed and self._reasoning is None

    def parser(self) -> OutputParser:
        """A reader of one output."""
        return OutputParser(
            self.tool_format,
            self.tools.values(),
            reasoning=self._reasoning,
            in_reasoning=self._in_reasoning,
            control=self._control,
        )

    def reader(self) -> EngineOutput:
        """Reads one output as the engine gives it."""
        return EngineOutput(self.parser(), self.marker_ids, self._tokenizer)

    async def decide(
        self, generate: AsyncGenerate, prompt: list[int], params: SamplingParams
    ) -> SamplingParams:
        """Where the model weighs what it may do, `params` with what it comes to.

        Args:
            generate: `AsyncLLM.generate`.
            prompt: the tokens of the conversation.
            params: those of `sampling`.
        """
        comparison = self.comparison(params)
        return params if comparison is None else await weigh(generate, prompt, comparison)

    def comparison(self, params: SamplingParams) -> Comparison | None:
        """What is to be weighed; None: nothing.

        Args:
            params: those of `sampling`.
        """
        if not self._weighs:
            return None
        return comparison_of(
            self._request,
            params,
            self.tool_format,
            self.tools,
            self._tokenizer,
            self._fitness,
            self._sayings,
            "".join(self._quotable),
        )

    def sampling(self) -> SamplingParams:
        """The request's, with the grammar of calls, and with room for thoughts before the answer.

        Raises:
            InvalidRequestError: a schema that cannot be enforced.
        """
        params = self._request.sampling
        source = self._grammar(params)
        if source is None:
            return params
        return params.replace(
            grammar=source, json_schema=None, json_object=False, regex=None, choice=None
        )

    def _grammar(self, params: SamplingParams) -> str | None:
        """In Lark; None: what `params` says stands."""
        answer = has_grammar(params)
        if not self.tools:
            return self._answer_grammar(params) if answer and self._may_think else None
        choice = self._request.tool_choice
        try:
            if answer and choice.mode == "auto":
                return self._calls_or_answer(params)
            return self.tool_format.grammar(
                self.tools,
                choice.mode,
                parallel=self._request.parallel_tool_calls,
                control=self._control,
                reasoning=self._thoughts,
                in_reasoning=self._in_reasoning,
                quotable=self._quotable,
            )
        except InvalidRequestError:
            if choice.mode == "required" or answer or self._is_strict:
                raise
            return None  # the model may still call as it was taught to

    @property
    def _thoughts(self) -> ReasoningStyle | None:
        return self._reasoning if self._may_think else None

    @property
    def _may_think(self) -> bool:
        wanted = self._request.reasoning.enabled is not False or self._in_reasoning
        return self._reasoning is not None and wanted

    @property
    def _is_strict(self) -> bool:
        functions = (tool.get("function", {}) for tool in self._request.tools or ())
        return any(function.get("strict") for function in functions)

    def _answer_grammar(self, params: SamplingParams) -> str | None:
        """Thoughts, then the answer as it must be; a grammar of the client's own stays whole."""
        if params.grammar is not None:
            return None
        lark = Lark(self._control)
        return lark.source(f"{self._before(lark)} {_answer(lark, params)}".strip())

    def _calls_or_answer(self, params: SamplingParams) -> str:
        if params.grammar is not None:
            raise InvalidRequestError("a grammar and tools are given; allowed: one of them")
        lark = Lark(self._control, self._quotable)
        rest = self.tool_format.rest(
            lark, list(self.tools.values()), self._request.parallel_tool_calls
        )
        calls = f"{lark.mark(self.tool_format.trigger)} {rest}"
        either = lark.any_of((calls, _answer(lark, params)))
        return lark.source(f"{self._before(lark)} {either}".strip())

    def _before(self, lark: Lark) -> str:
        thoughts = self._thoughts
        return thoughts.grammar(lark, self._in_reasoning) if thoughts else ""


def _control_tokens(tokenizer: Tokenizer, markers: tuple[str, ...]) -> dict[str, int]:
    types = tokenizer.token_types
    found: dict[str, int] = {}
    for marker in markers:
        ident = tokenizer.token_id(marker)
        if ident is not None and types[ident] is TokenType.CONTROL:
            found[marker] = ident
    return found


def _answer(lark: Lark, params: SamplingParams) -> str:
    """What the answer must be, as an expression."""
    if params.json_object:
        return lark.json({"type": "object"})
    if params.json_schema is not None:
        schema = params.json_schema
        return lark.json(json.loads(schema) if isinstance(schema, str) else schema)
    if params.choice is not None:
        return lark.any_of(map(lark.text, params.choice))
    assert params.regex is not None
    return lark.rule("REGEX", regex_grammar(params.regex).removeprefix("start: "))


def _without_developer(message: Mapping[str, Any]) -> dict[str, Any]:
    """Templates that know no "developer" call it "system"."""
    return {**message, "role": "system" if message["role"] == "developer" else message["role"]}
