"""Conversations about the tools of a scene, one method per category."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from pyslm.finetune.data.ask import Given, Requests
from pyslm.finetune.data.files import load_toml
from pyslm.finetune.data.listing import listed_fact, listing
from pyslm.finetune.data.spec import Branch, Param, ToolSpec
from pyslm.finetune.data.values import Values

__all__ = ["Branches", "joined_and"]

Message = dict[str, Any]
_ERRORS = (
    "not found", "timeout", "permission denied", "service unavailable", "invalid request",
    "no such entry", "connection refused", "too many requests", "internal error",
)  # fmt: skip

_BY_ANY_WORDS = 0.25
_THEN_NONE = 0.2
_SAID_AGAIN = 0.5  # of the values that a second tool takes as well


class Branches:
    """Draws conversations; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, values: Values, requests: Requests) -> None:
        self._rng = rng
        self._values = values
        self._requests = requests
        self._frames: dict[str, Any] = load_toml("frames.toml")

    # --- calls --------------------------------------------------------------------------------

    def call(self, tool: ToolSpec, paraphrase: bool = False, said: Sequence[Given] = ()) -> Branch:
        """One request, one call; values that were `said` before may come again."""
        given = self._requests.arguments(tool, paraphrase=paraphrase)
        given = self._said_again(given, said)
        text = self._requests.request(tool, given, paraphrase)
        category = "call_paraphrased" if paraphrase else "call"
        return Branch(category, (_user(text), _calls((tool, given))))

    def _said_again(self, given: Sequence[Given], said: Sequence[Given]) -> list[Given]:
        known = {g.param.maker: g.value for g in said if "enum" not in g.param.schema}
        again = []
        for g in given:
            if (
                g.param.maker in known
                and "enum" not in g.param.schema
                and self._rng.random() < _SAID_AGAIN
            ):
                g = Given(g.param, known.pop(g.param.maker))
            again.append(g)
        return again

    def several(self, tools: Sequence[ToolSpec]) -> Branch:
        """Two or three calls in one turn."""
        wanted = [(tool, self._requests.arguments(tool, optional=0.2)) for tool in tools]
        acts = [self._requests.act(tool, given, orders=True).strip(" .?") for tool, given in wanted]
        text = acts[-1]
        for act in reversed(acts[:-1]):
            text = self._joined(act, text)
        text = text[0].upper() + text[1:] if self._rng.random() < 0.7 else text
        return Branch("several", (_user(text), _calls(*wanted)))

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
        start = [_user(self._requests.request(tool, told)), _says(question)]
        if rng.random() < 0.5:
            return Branch("missing", tuple(start))
        reply = joined_and([self._requests_reply(g) for g in absent])
        return Branch("missing", (*start, _user(reply), _calls((tool, given))))

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
        """After an answer, the same call with one argument changed."""
        given = self._requests.arguments(tool)
        if not given or len(given) > 2:
            return None
        changed = self._rng.choice(given)
        fresh = Given(changed.param, self._requests.value(changed.param))
        given_again = [fresh if g is changed else g for g in given]
        text = self._rng.choice(self._frames["again"]).format(
            c=self._requests.detail(fresh, None, given_again)
        )
        first = (
            _user(self._requests.request(tool, given)),
            _calls((tool, given)),
            *self._answered(tool, given),
        )
        return Branch("again", (*first, _user(text), _calls((tool, given_again))))

    def then(self, tool: ToolSpec, second: ToolSpec, absent: ToolSpec) -> Branch:
        """After a call and its answer, a request for a second tool or for one that is not there."""
        given = self._requests.arguments(tool)
        request = _user(self._requests.request(tool, given))
        if self._rng.random() < _THEN_NONE:
            follow = self.none(absent)
        else:
            paraphrase = bool(second.paras or second.para_acts) and self._rng.random() < 0.3
            follow = self.call(second, paraphrase, said=given)
        answered = (request, _calls((tool, given)), *self._answered(tool, given))
        return Branch("then", (*answered, *follow.messages))

    # --- answers ------------------------------------------------------------------------------

    def answer(self, tool: ToolSpec) -> Branch:
        """A call, its result, and the answer from it."""
        paraphrase = self._rng.random() < 0.3
        given = self._requests.arguments(tool, paraphrase=paraphrase)
        text = self._requests.request(tool, given, paraphrase)
        return Branch("answer", (_user(text), _calls((tool, given)), *self._answered(tool, given)))

    def _answered(self, tool: ToolSpec, given: Sequence[Given]) -> tuple[Message, Message]:
        """A result and what is told of it; both may repeat what the tool was called with."""
        rng = self._rng
        again = [g for g in given if not isinstance(g.value.data, bool)]
        if rng.random() < 0.2:
            text = self._text(again)
            text = text[0].upper() + text[1:]
            return _result(text), _says(text if text[-1] in ".!?" else text + ".")
        if rng.random() < 0.15:
            return self._listed()
        facts = {key: self._fact(maker) for key, maker in tool.gives}
        if again and rng.random() < 0.5:
            repeated = rng.sample(again, rng.randint(1, min(2, len(again))))
            facts = {g.param.key: g.value.data for g in repeated} | facts
        if rng.random() < 0.2:
            known = list(facts.items())
            known.insert(rng.randint(0, len(known)), listed_fact(self._values))
            facts = dict(known)
        start = "" if tool.things or rng.random() < 0.3 else self._frames["result_start"]
        said = [f"the {_words(key)} is {_plain(value)}" for key, value in facts.items()]
        text = joined_and(said)
        return _result(self._written(facts)), _says(f"{start}{text[0].upper()}{text[1:]}.")

    def _text(self, again: Sequence[Given]) -> str:
        """A result that is no JSON: a sentence, or one about the arguments."""
        rng = self._rng
        if not again or rng.random() < 0.4:
            kind = rng.choice(("sentence", "title", "clock", "thing", "date"))
            return self._values.draw(kind).said
        values = [_plain(g.value.data) for g in rng.sample(again, min(2, len(again)))]
        frame = rng.choice(self._frames["done_one" if len(values) == 1 else "done_two"])
        code, words = self._values.draw("code").said, [self._values.word() for _ in range(2)]
        return str(frame).format(*values, c=code, w=words[0], x=words[1])

    def _fact(self, maker: str) -> Any:
        data = self._values.draw(maker).data
        if maker == "money" and self._rng.random() < 0.3:
            return f"${data:.2f}"
        return data

    def _listed(self) -> tuple[Message, Message]:
        """A result that is a list: of texts, perhaps none."""
        items = listing(self._values, self._fact)
        said = f"{joined_and(items)}." if items else str(self._frames["nothing"])
        return _result(self._written(items)), _says(said[0].upper() + said[1:])

    def _written(self, result: Mapping[str, Any] | Sequence[Any]) -> str:
        """As JSON: some programs write it with spaces, some without."""
        separators = self._rng.choice(((", ", ": "), (",", ":")))
        return json.dumps(result, ensure_ascii=False, separators=separators)

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
        request = ask.format(a=text, k=_words(key))
        answer = f"The {_words(key)} is {_plain(facts[key])}."
        return Branch(
            "asked",
            (
                _user(request),
                _calls((tool, given)),
                _result(self._written(facts)),
                _says(answer),
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
                self._written({"error": error}),
                f"Error: {error}",
                self._written({"ok": False, "error": error}),
            )
        )
        says = str(self._frames["failed"]).format(error=error) + "."
        return Branch(
            "failed",
            (
                _user(self._requests.request(tool, given)),
                _calls((tool, given)),
                _result(content),
                _says(says),
            ),
        )

    def both_answered(self, tools: Sequence[ToolSpec]) -> Branch:
        """Two calls, two results, one answer."""
        start = self.several(tools)
        results: list[Message] = []
        said: list[str] = []
        for tool in tools:
            result, answer = self._answered(tool, ())
            results.append(result)
            said.append(answer["content"])
        return Branch("answer", (*start.messages, *results, _says(" ".join(said))))

    # --- no call ------------------------------------------------------------------------------

    def none(self, other: ToolSpec) -> Branch:
        """A request for a tool that is not there."""
        if self._rng.random() < 0.1:
            text = self._rng.choice(self._frames["chat"])
        else:
            paraphrase = self._rng.random() < 0.4
            given = self._requests.arguments(other, paraphrase=paraphrase)
            text = self._requests.request(other, given, paraphrase)
        return Branch("none", (_user(text), _says(str(self._frames["no_tool"]))))

    def talk(self) -> Branch:
        """Greetings and thanks, and what the model is."""
        answer = self._rng.choice(list(self._frames["talk"]))
        text = self._rng.choice(self._frames["talk"][answer])
        return Branch("talk", (_user(text), _says(answer)))


def joined_and(parts: Sequence[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _words(key: str) -> str:
    from pyslm.identifiers import spoken

    return spoken(key)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return joined_and([str(item) for item in value])
    return str(value)


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _says(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _result(text: str) -> Message:
    return {"role": "tool", "content": text}


def _calls(*wanted: tuple[ToolSpec, Sequence[Given]]) -> Message:
    """A message with calls, arguments in the order of the schema."""
    calls = []
    for tool, given in wanted:
        values = {g.param.key: g.value.data for g in given}
        arguments = {p.key: values[p.key] for p in tool.params if p.key in values}
        calls.append({"type": "function", "function": {"name": tool.name, "arguments": arguments}})
    return {"role": "assistant", "content": None, "tool_calls": calls}
