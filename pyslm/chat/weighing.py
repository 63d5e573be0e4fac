"""Whether to call a tool, and which, by whole calls: for models too small to know it at once.

From left to right a model says that it calls before it says what, and what before it says with
which arguments; that something does not fit shows only then. So the best call of each tool is
made to its end, and the likeliest is taken, if it is likelier than that an answer begins. Where the
first is likelier than any other can be, nothing else is made.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from pyslm.chat.control import control_tokens
from pyslm.chat.marked import marks_of
from pyslm.chat.tool_formats import ToolFormat
from pyslm.chat.tools import Tool
from pyslm.request import GenerationResult, SamplingParams
from pyslm.tokenizer import Tokenizer

__all__ = [
    "AsyncGenerate",
    "Generate",
    "Weighing",
    "weigh",
    "weigh_all",
    "weighing_of",
    "weighs_tools",
]

Generate = Callable[[list[list[int]], list[SamplingParams]], list[GenerationResult]]
"""`LLM.generate`."""
AsyncGenerate = Callable[[list[list[int]], list[SamplingParams]], Awaitable[list[GenerationResult]]]
"""`AsyncLLM.generate`."""

_DECLARED = re.compile(r"\{%-?\s*set\s+weighs_tools\s*=\s*true\s*-?%\}")
_FOR_CALLS = 1.0
"""Added to the log-probability of a call: the right one can often be made in several ways, and they
share what is likely about it."""
_MOST_TOKENS = 256
"""Of a call that is compared: longer ones by their beginnings."""
_NEVER = -100.0  # as the bias of a logit


def weighs_tools(template: str) -> bool:
    """Whether a chat template says so of its model: it sets `weighs_tools` to true."""
    return _DECLARED.search(template) is not None


def weighing_of(
    params: SamplingParams, tool_format: ToolFormat, tools: Iterable[Tool], tokenizer: Tokenizer
) -> Weighing | None:
    """What to compare for a request that may call `tools`.

    Args:
        params: of the request, with the grammar of the calls.

    Returns:
        None where the format's calls do not begin with a token of their own, and a name.
    """
    trigger = control_tokens(tokenizer).get(tool_format.trigger)
    heads = [tool_format.head(tool) for tool in tools]
    written = [head for head in heads if head is not None]
    if trigger is None or not written or len(written) < len(heads):
        return None
    encoded = [tokenizer.encode_marked(head, marks_of(head)) for head in written]
    return Weighing(params, trigger, encoded, tokenizer.eog_ids)


async def weigh(
    generate: AsyncGenerate, prompt: Sequence[int], weighing: Weighing
) -> SamplingParams:
    """The parameters with which the request does what is likeliest for it."""
    (first,) = await generate([list(prompt)], [weighing.first])
    others = weighing.others(first)
    results = await generate([list(prompt)] * len(others), others) if others else []
    return weighing.chosen([first, *results])


def weigh_all(
    generate: Generate, prompts: Sequence[Sequence[int]], weighings: Sequence[Weighing]
) -> list[SamplingParams]:
    """As `weigh`, for many requests at a time."""
    ids = [list(prompt) for prompt in prompts]
    firsts = generate(ids, [weighing.first for weighing in weighings])
    others = [weighing.others(first) for weighing, first in zip(weighings, firsts, strict=True)]
    more = [(prompt, params) for prompt, each in zip(ids, others, strict=True) for params in each]
    made = iter(generate(*map(list, zip(*more, strict=True))) if more else ())
    return [
        weighing.chosen([first, *itertools.islice(made, len(each))])
        for weighing, first, each in zip(weighings, firsts, others, strict=True)
    ]


class Weighing:
    """The outputs that are compared for one request."""

    def __init__(
        self,
        params: SamplingParams,
        trigger: int,
        heads: Sequence[Sequence[int]],
        ends: Collection[int],
    ) -> None:
        """
        Args:
            params: of the request, with the grammar of the calls.
            trigger: the token that calls begin with, and nothing else.
            heads: the tokens of a call of each tool, up to its arguments.
            ends: the tokens that end an output.
        """
        self._params = params
        self._trigger = trigger
        self._ends = {trigger, *ends}
        self._heads = [tuple(head) for head in heads]
        self.first = params.replace(
            temperature=0.0, n=1, best_of=None, logprobs=2, prompt_logprobs=None,
            max_tokens=_MOST_TOKENS, min_tokens=0, ignore_eos=False, stop=(), stop_token_ids=(),
        )  # fmt: skip
        """To make what the model makes by itself."""

    def others(self, first: GenerationResult) -> list[SamplingParams]:
        """To make what may be likelier than `first`."""
        answer, call = self._openings(first)
        made = self._call_logprob(first)
        left = math.exp(call) - math.exp(made)
        if left <= 0 or math.log(left) + _FOR_CALLS <= max(made + _FOR_CALLS, answer):
            return []
        own = self._head(first)
        return [self.first.replace(forced_tokens=head) for head in self._heads if head != own]

    def chosen(self, results: Sequence[GenerationResult]) -> SamplingParams:
        """To go on with the likeliest of `results`, of which the first is that of `first`."""
        answer, _ = self._openings(results[0])
        best = max(results, key=self._call_logprob)
        if self._call_logprob(best) + _FOR_CALLS > answer:
            return self._params.replace(forced_tokens=self._head(best))
        bias = {**self._params.logit_bias, self._trigger: _NEVER}
        return self._params.replace(logit_bias=bias)

    def _openings(self, first: GenerationResult) -> tuple[float, float]:
        """Log-probabilities of how an answer begins at best, and that a call does."""
        assert first.logprobs, "asked for, and an end is a token too"
        opening = first.logprobs[0]
        found = {**dict(opening.top), opening.token_id: opening.logprob}
        call = found.pop(self._trigger, -math.inf)
        return max(found.values()), call

    def _call_logprob(self, result: GenerationResult) -> float:
        """Of the first call; minus infinity: `result` is an answer."""
        ids = result.token_ids
        if ids[0] != self._trigger or result.logprobs is None:
            return -math.inf
        within = itertools.takewhile(lambda token: token not in self._ends, ids[1:])
        return sum(entry.logprob for entry in result.logprobs[: 1 + len(list(within))])

    def _head(self, call: GenerationResult) -> tuple[int, ...]:
        fitting = (head for head in self._heads if call.token_ids[: len(head)] == head)
        return next(fitting, (self._trigger,))
