"""Whether to call a tool, and which, by whole calls: for models too small to know it at once.

From left to right a model says that it calls before it says what, and what before it says with
which arguments; that something does not fit shows only then. So the best call of each tool is
made to its end, and the likeliest is taken, if it is likelier than that an answer begins. Where
the model's file tells how near texts are in meaning, that counts as well, for what a conversation
begins with. Where the first call is likelier than any other can be, nothing else is made. Where the
best gives to two arguments what was said once, others stand in for one of them, if that is likely.
Where a question is likeliest, it is about what the best call had to make up.
What was compared is what is made: a temperature has its say in answers; a call is right or wrong.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Generator, Iterable, Sequence

from pyslm.chat.control import control_tokens
from pyslm.chat.fitness import Fit, Fitness
from pyslm.chat.marked import marks_of
from pyslm.chat.opening import Opening, opening_of
from pyslm.chat.question import Question
from pyslm.chat.repeats import repeats
from pyslm.chat.sayings import Sayings
from pyslm.chat.steps import Steps
from pyslm.chat.tool_formats import ToolFormat
from pyslm.chat.tools import Tool
from pyslm.request import GenerationResult, SamplingParams
from pyslm.tokenizer import Tokenizer

__all__ = [
    "Weighing",
    "weighing_of",
    "weighs_tools",
]

_DECLARED = re.compile(r"\{%-?\s*set\s+weighs_tools\s*=\s*true\s*-?%\}")
_FOR_CALLS = 1.0
"""Added to the log-probability of a call: the right one can often be made in several ways, and they
share what is likely about it."""
_MOST_TOKENS = 256
"""Of a call that is compared: longer ones by their beginnings."""
_OPENINGS = 8
"""Of an answer, that are looked at: a refusal that is less likely is as likely as the last."""
_FOR_REPEATS = 4.0
"""What log-probability a call may lose that does not use a value twice."""
_NEVER = -100.0  # as the bias of a logit


def weighs_tools(template: str) -> bool:
    """Whether a chat template says so of its model: it sets `weighs_tools` to true."""
    return _DECLARED.search(template) is not None


def weighing_of(
    params: SamplingParams,
    tool_format: ToolFormat,
    tools: Iterable[Tool],
    tokenizer: Tokenizer,
    fitness: Fitness | None = None,
    sayings: Sayings | None = None,
    said: str = "",
) -> Weighing | None:
    """What to compare for a request that may call `tools`.

    Args:
        params: of the request, with the grammar of the calls.
        fitness: how well tools fit the request, where that counts.
        sayings: what the model always says in the same words.
        said: what arguments are quoted from.

    Returns:
        None where the format's calls do not begin with a token of their own, and a name.
    """
    trigger = control_tokens(tokenizer).get(tool_format.trigger)
    offered = list(tools)
    heads = [tool_format.head(tool) for tool in offered]
    written = [head for head in heads if head is not None]
    if trigger is None or not written or len(written) < len(heads):
        return None
    encoded = [tuple(tokenizer.encode_marked(head, marks_of(head))) for head in written]
    ends = tokenizer.eog_ids

    def repeats_in(call: Sequence[int]) -> list[int]:
        return repeats(call, said, tokenizer.decode)

    by_head = dict(zip(encoded, offered, strict=True))
    refusal, words = sayings or Sayings()
    question = Question(words, tokenizer, by_head) if words is not None else None
    if fitness is None or refusal is None:
        return Weighing(params, trigger, encoded, ends, repeats_in, None, question)

    def fit(head: tuple[int, ...], arguments: Sequence[int]) -> float:
        return fitness.of_call(by_head[head], tokenizer.decode(list(arguments)))

    refuses = tokenizer.encode(refusal, add_special_tokens=False)[0]
    own = Fit(fit, fitness.weights, refuses)
    return Weighing(params, trigger, encoded, ends, repeats_in, own, question)


class Weighing:
    """The outputs that are compared for one request."""

    def __init__(
        self,
        params: SamplingParams,
        trigger: int,
        heads: Sequence[Sequence[int]],
        ends: Collection[int],
        repeats_in: Callable[[Sequence[int]], list[int]] = lambda _: [],
        fit: Fit | None = None,
        question: Question | None = None,
    ) -> None:
        """
        Args:
            params: of the request, with the grammar of the calls.
            trigger: the token that calls begin with, and nothing else.
            heads: the tokens of a call of each tool, up to its arguments.
            ends: the tokens that end an output.
            repeats_in: indices of a call's tokens that something else could stand for, where two
                arguments share what was said once.
            fit: None: likelihood decides alone.
            question: None: the model asks as it does by itself.
        """
        self._params = params
        self._trigger = trigger
        self._ends = {trigger, *ends}
        self._repeats_in = repeats_in
        self._heads = [tuple(head) for head in heads]
        self._fit = fit
        self._question = question
        self.first = params.replace(
            temperature=0.0, n=1, best_of=None, logprobs=_OPENINGS, prompt_logprobs=None,
            max_tokens=_MOST_TOKENS, min_tokens=0, ignore_eos=False, stop=(), stop_token_ids=(),
        )  # fmt: skip
        """To make what the model makes by itself."""

    def steps(self) -> Steps:
        """See `Comparison`."""
        results = yield [self.first]
        if others := self.others(results[0]):
            results = [*results, *(yield others)]
        best = max(results, key=self._preference)
        otherwise = self._instead_of_call(results[0], best)
        if otherwise is not None:
            if otherwise.forced_tokens:  # a refusal
                return otherwise
            question = yield from self._best_question(results)
            return otherwise if question is None else otherwise.replace(forced_tokens=question)
        likely = yield from self._without_repeats(best)
        return self._params.replace(forced_tokens=self._calls(likely or best))

    def others(self, first: GenerationResult) -> list[SamplingParams]:
        """To make what may be better than `first`."""
        opening = self._opening(first)
        made, own = self._call_logprob(first), self._head(first)
        left = math.exp(opening.call) - math.exp(made)
        most = math.log(left) if left > 0 else -math.inf  # log-probability of another call
        if most == -math.inf or not self._may_win(most, first, opening):
            return []
        return [self.first.replace(forced_tokens=head) for head in self._heads if head != own]

    def _may_win(self, logprob: float, first: GenerationResult, opening: Opening) -> bool:
        """Whether a call of that log-probability, however well it fits, is better than `first`."""
        made, answer = self._call_logprob(first), max(opening.refusal, opening.answer)
        if self._fit is None:
            return logprob + _FOR_CALLS > max(made + _FOR_CALLS, answer)
        weights = self._fit.weights
        if made > -math.inf:
            return logprob + weights.tool > made + weights.tool * self._cosine(first)
        return logprob + _FOR_CALLS + weights.fit * (1 - weights.neutral) > answer

    def _instead_of_call(
        self, first: GenerationResult, best: GenerationResult
    ) -> SamplingParams | None:
        """To answer; None: `best`, the best call, is better than that."""
        opening = self._opening(first)
        fit = self._log_odds(best)
        call = self._call_logprob(best) + _FOR_CALLS + fit
        answer = opening.answer + max(fit, 0.0)  # as a question of what the call lacks
        if call > max(opening.refusal, answer):
            return None
        never = {self._trigger: _NEVER}
        if self._fit is not None:
            if opening.refusal >= answer:
                return self._params.replace(forced_tokens=(self._fit.refusal,))
            never[self._fit.refusal] = _NEVER
        return self._params.replace(logit_bias={**self._params.logit_bias, **never})

    def _best_question(
        self, results: Sequence[GenerationResult]
    ) -> Generator[list[SamplingParams], list[GenerationResult], tuple[int, ...] | None]:
        """For what the best call lacks; None: the answer is no question, or nothing is lacking."""
        opening, question = self._opening(results[0]), self._question
        if question is None or opening.answer_token != question.opening:
            return None
        if not any(map(self._call, results)):
            results = yield [self.first.replace(forced_tokens=head) for head in self._heads]
        best = max(results, key=self._preference)
        call, head = self._call(best), self._head(best)
        if head not in self._heads:
            return None
        return question.about(head, call, _logprobs(best)[: len(call)])

    def _without_repeats(
        self, best: GenerationResult
    ) -> Generator[list[SamplingParams], list[GenerationResult], GenerationResult | None]:
        """Calls that give each argument its own; None: none that are likely do."""
        ids, places = best.token_ids, self._repeats(best)
        if not places:
            return None
        wanted = [
            self.first.replace(
                forced_tokens=ids[:place], logit_bias={ids[place]: _NEVER}, max_tokens=place + 1
            )
            for place in places
        ]
        nearest = yield wanted  # what comes next in likelihood, and may stand there
        beginnings = [
            result.token_ids
            for place, result in zip(places, nearest, strict=True)
            if result.token_ids[: place + 1] != ids[: place + 1]
        ]
        if not beginnings:
            return None
        made = yield [self.first.replace(forced_tokens=beginning) for beginning in beginnings]
        able = [i for i, result in enumerate(made) if not self._repeats(result)]
        logprobs = [sum(_logprobs(result)) for result in made]
        likeliest = max(able, key=lambda i: logprobs[i], default=None)
        if (
            likeliest is None
            or sum(_logprobs(made[likeliest])) < sum(_logprobs(best)) - _FOR_REPEATS
        ):
            return None
        return made[likeliest]

    def _repeats(self, result: GenerationResult) -> list[int]:
        """Indices of its tokens that something else could stand for; see `__init__`."""
        ids = result.token_ids
        begins = [i for i, token in enumerate(ids) if token == self._trigger]
        ends = [*begins[1:], len(ids)]
        calls = ((begin, ids[begin:end]) for begin, end in zip(begins, ends, strict=True))
        return [begin + place for begin, call in calls for place in self._repeats_in(call)]

    def _preference(self, result: GenerationResult) -> float:
        """By which tools are told from each other."""
        share = self._fit.weights.tool if self._fit is not None else 0.0
        return self._call_logprob(result) + share * self._cosine(result)

    def _log_odds(self, result: GenerationResult) -> float:
        """That the tool of a call fits, beside what the model says."""
        if self._fit is None or result.token_ids[0] != self._trigger:
            return 0.0
        return self._fit.weights.fit * (self._cosine(result) - self._fit.weights.neutral)

    def _cosine(self, result: GenerationResult) -> float:
        head = self._head(result)
        if self._fit is None or head not in self._heads:
            return 0.0
        return self._fit.of(head, self._call(result)[len(head) :])

    def _opening(self, first: GenerationResult) -> Opening:
        return opening_of(first, self._trigger, self._fit.refusal if self._fit else None)

    def _call(self, result: GenerationResult) -> Sequence[int]:
        """The tokens of the first call; none: `result` is an answer."""
        ids = result.token_ids
        if ids[0] != self._trigger:
            return ()
        return (ids[0], *itertools.takewhile(lambda token: token not in self._ends, ids[1:]))

    def _calls(self, result: GenerationResult) -> Sequence[int]:
        """The tokens of all its calls, without what ends them."""
        ids = result.token_ids
        ended = ids[-1] in self._ends
        return tuple(ids[:-1] if ended else ids)

    def _call_logprob(self, result: GenerationResult) -> float:
        """Of the first call; minus infinity: `result` is an answer."""
        call = self._call(result)
        if not call or result.logprobs is None:
            return -math.inf
        return sum(_logprobs(result)[: len(call)])

    def _head(self, call: GenerationResult) -> tuple[int, ...]:
        fitting = (head for head in self._heads if call.token_ids[: len(head)] == head)
        return next(fitting, (self._trigger,))


def _logprobs(result: GenerationResult) -> list[float]:
    return [entry.logprob for entry in result.logprobs or ()]
