"""Which of some described choices an answer is, by likelihood and by nearness in meaning."""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.steps import Steps
from pyslm.request import SamplingParams
from pyslm.tokenizer import Tokenizer

__all__ = ["ChoiceWeighing"]


class ChoiceWeighing:
    """The answers that are compared for one request; used as `weighing.Weighing`."""

    def __init__(
        self,
        params: SamplingParams,
        advantages: Sequence[float],
        tokenizer: Tokenizer,
    ) -> None:
        """
        Args:
            params: of the request, with `choice`.
            advantages: what is added to the log-probability of each choice.
        """
        assert params.choice is not None
        self._params = params
        self._advantages = tuple(advantages)
        ids = [tokenizer.encode(text, add_special_tokens=False) for text in params.choice]
        one = params.replace(
            temperature=0.0, n=1, best_of=None, logprobs=1, prompt_logprobs=None,
            min_tokens=0, ignore_eos=False, stop=(), stop_token_ids=(),
        )  # fmt: skip
        self._each = [
            one.replace(forced_tokens=forced, max_tokens=len(forced) + 1) for forced in ids
        ]

    def steps(self) -> Steps:
        """Makes each choice, to answer with the best."""
        results = yield self._each
        scores = [
            sum(entry.logprob for entry in result.logprobs or ()) + advantage
            for result, advantage in zip(results, self._advantages, strict=True)
        ]
        best = max(range(len(scores)), key=scores.__getitem__)
        return self._params.replace(forced_tokens=self._each[best].forced_tokens)
