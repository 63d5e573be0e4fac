"""How an output of a model that may call tools begins."""

from __future__ import annotations

import math
from typing import NamedTuple

from pyslm.request import GenerationResult

__all__ = ["Opening", "opening_of"]


class Opening(NamedTuple):
    """Log-probabilities of a call, of a refusal, and of the likeliest other answer."""

    call: float
    refusal: float
    answer: float
    answer_token: int | None
    """What the likeliest other answer begins with."""


def opening_of(first: GenerationResult, trigger: int, refusal: int | None) -> Opening:
    """Of an output for which log-probabilities were asked for.

    Args:
        trigger: the token that calls begin with.
        refusal: the token that refusals begin with; None: they are answers like others. One that is
            not among the most likely is as likely as the least of these.
    """
    assert first.logprobs, "asked for, and an end is a token too"
    begins = first.logprobs[0]
    found = {**dict(begins.top), begins.token_id: begins.logprob}
    least = min(found.values())
    call = found.pop(trigger, -math.inf)
    refuses = found.pop(refusal, least) if refusal is not None else -math.inf
    answer = max(found, key=lambda token: found[token], default=None)
    return Opening(call, refuses, -math.inf if answer is None else found[answer], answer)
