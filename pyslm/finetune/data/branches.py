"""Conversations about the tools of a scene, one method per category."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from pyslm.finetune.data.ask import Requests
from pyslm.finetune.data.files import load_toml
from pyslm.finetune.data.messages import Message, calls, joined_and, plain, result, says, user
from pyslm.finetune.data.results import Results
from pyslm.finetune.data.spec import Branch, Given, Param, ToolSpec
from pyslm.finetune.data.values import Values
from pyslm.identifiers import spoken

__all__ = ["Branches"]

_ERRORS = (
    "not found", "timeout", "permission denied", "service unavailable", "invalid request",
    "no such entry", "connection refused", "too many requests", "internal error",
)  # fmt: skip

_BY_ANY_WORDS = 0.25
_ONE_MORE = 0.4  # of what is asked again where something was left out: "and tomorrow?"


class Branches:
    """Draws conversations; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, values: Values, requests: Requests) -> None:
        self._rng = rng
        self._values = values
        self._requests = requests
        self._results = Results(rng, values)
        self._frames: dict[str, Any] = load_toml("frames.toml")

    # --- calls --------------------------------------------------------------------------------

    def call(self, tool: ToolSpec, paraphrase: bool = False) -> Branch:
        """One request, one call."""
        given = self._requests.arguments(tool, paraphrase=paraphrase)
        text = self._requests.request(tool, given, paraphrase)
        category = "call_paraphrased" if paraphrase else "call"
        return Branch(category, (user(text), calls((tool, given))))

    def several(self, tools: Sequence[ToolSpec]) -> Branch:
        """Two or three calls in one turn."""
        wanted = [(tool, self._requests.arguments(tool, optional=0.2)) for tool in tools]
        acts = [self._requests.act(tool, given, orders=True).strip(" .?") for tool, given in wanted]
        text = acts[-1]
        for act in reversed(acts[:-1]):
            text = self._joined(act, text)
        text = text[0].upper() + text[1:] if self._rng.random() < 0.7 else text
        return Branch("several", (user(text), calls(*wanted)))

    def _joined(self, first: str, second: str) -> str:
        """Sometimes by words that join nothing, so that the orders themselves are looked for."""
        if self._rng.random() >= _BY_ANY_WORDS:
            return str(self._rng.choice(self._frames["both"])).format(a=first, b=second)
        words = " ".join(self._values.word() for _ in range(self._rng.choice((1, 1, 2, 2, 3))))
        join = str(self._rng.choice(self._frames["both_by_any"]))
        return join.format(a=first, b=second, w=words, W=words.capitalize())

    def missing(self, tool: ToolSpec) -> Branch | None:
        """A required argument is not told: the model asks, is told, and calls."""
        rng = self._rng
        given = self._requests.arguments(tool)
        required = [g for g in given if g.param.required]
        if not required:
            return None
        absent = rng.sample(required, min(len(required), rng.choice((1, 1, 1, 2))))
        absent = [g for g in required if g in absent]  # in the order of the schema
        told = [g for g in given if g not in absent]
        question = self._question([g.param for g in absent])
        start = [user(self._requests.request(tool, told)), says(question)]
        if rng.random() < 0.5:
            return Branch("missing", tuple(start))
        reply = joined_and([self._requests_reply(g) for g in absent])
        return Branch("missing", (*start, user(reply), calls((tool, given))))

    def _question(self, params: Sequence[Param]) -> str:
        if len(params) == 1:
            return str(self._frames["ask_one"]).format(n=params[0].words)
        names = joined_and([f"the {param.words}" for param in params])
        return str(self._frames["ask_more"]).format(names=names)

    def _requests_reply(self, given: Given) -> str:
        if given.param.schema["type"] == "boolean":
            return self._requests.detail(given)
        frame = self._rng.choice(self._frames["more_given"])
        return str(frame).format(v=given.value.said, n=given.param.words)

    def again(self, tool: ToolSpec) -> Branch | None:
        """After an answer, the same call with one argument changed, or one more."""
        given = self._requests.arguments(tool)
        if not given or len(given) > 2:
            return None
        told = {g.param.key: g for g in given}
        more = [param for param in tool.params if param.key not in told]
        one_more = bool(more) and self._rng.random() < _ONE_MORE
        changed = self._rng.choice(more if one_more else [g.param for g in given])
        fresh = Given(changed, self._requests.value(changed))
        told[changed.key] = fresh
        given_again = [told[param.key] for param in tool.params if param.key in told]
        text = self._rng.choice(self._frames["again"]).format(
            c=self._requests.detail(fresh, None, given_again)
        )
        first = (
            user(self._requests.request(tool, given)),
            calls((tool, given)),
            *self._results.of(tool, given),
        )
        return Branch("again", (*first, user(text), calls((tool, given_again))))

    # --- answers ------------------------------------------------------------------------------

    def answer(self, tool: ToolSpec) -> Branch:
        """A call, its result, and the answer from it."""
        paraphrase = self._rng.random() < 0.3
        given = self._requests.arguments(tool, paraphrase=paraphrase)
        text = self._requests.request(tool, given, paraphrase)
        return Branch("answer", (user(text), calls((tool, given)), *self._results.of(tool, given)))

    def asked(self, tool: ToolSpec) -> Branch:
        """A result of many facts, of which one was asked for."""
        rng = self._rng
        given = self._requests.arguments(tool)
        facts: dict[str, Any] = {}
        for key, maker in (
            *tool.gives,
            *(
                (self._values.word(), rng.choice(("count", "word", "code", "money", "title")))
                for _ in range(3)
            ),
        ):
            facts[key] = self._values.draw(maker).data
        key = rng.choice(list(facts))
        text = self._requests.act(tool, given, orders=True).strip(" .?")
        ask = rng.choice(
            (
                "{a} and tell me the {k}.",
                "{a}. What is the {k}?",
                "{a}, I only need the {k}.",
                "I want to know the {k}: {a}",
                "What is the {k}? Please {a}.",
            )
        )
        request = ask.format(a=text, k=spoken(key))
        answer = f"The {spoken(key)} is {plain(facts[key])}."
        return Branch(
            "asked",
            (
                user(request),
                calls((tool, given)),
                result(self._results.written(facts)),
                says(answer),
            ),
        )

    def failed(self, tool: ToolSpec) -> Branch:
        """The tool reports an error."""
        rng = self._rng
        given = self._requests.arguments(tool)
        error = (
            rng.choice(_ERRORS)
            if rng.random() < 0.5
            else self._values.draw("sentence").said.rstrip(".!?")
        )
        content = rng.choice(
            (
                self._results.written({"error": error}),
                f"Error: {error}",
                self._results.written({"ok": False, "error": error}),
            )
        )
        told = str(self._frames["failed"]).format(error=error) + "."
        return Branch(
            "failed",
            (
                user(self._requests.request(tool, given)),
                calls((tool, given)),
                result(content),
                says(told),
            ),
        )

    def both_answered(self, tools: Sequence[ToolSpec]) -> Branch:
        """Two calls, two results, one answer."""
        start = self.several(tools)
        results: list[Message] = []
        said: list[str] = []
        for tool in tools:
            returned, answer = self._results.of(tool, ())
            results.append(returned)
            said.append(answer["content"])
        return Branch("answer", (*start.messages, *results, says(" ".join(said))))

    # --- no call ------------------------------------------------------------------------------

    def none(self, other: ToolSpec) -> Branch:
        """A request for a tool that is not there."""
        if self._rng.random() < 0.1:
            text = self._rng.choice(self._frames["chat"])
        else:
            paraphrase = self._rng.random() < 0.4
            given = self._requests.arguments(other, paraphrase=paraphrase)
            text = self._requests.request(other, given, paraphrase)
        return Branch("none", (user(text), says(str(self._frames["no_tool"]))))

    def talk(self) -> Branch:
        """Greetings and thanks, and what the model is."""
        answer = self._rng.choice(list(self._frames["talk"]))
        text = self._rng.choice(self._frames["talk"][answer])
        return Branch("talk", (user(text), says(answer)))
