"""What of a request is to be weighed, if anything."""

from __future__ import annotations

from collections.abc import Mapping

from pyslm.chat.choice_weighing import ChoiceWeighing
from pyslm.chat.fitness import Fitness
from pyslm.chat.request import ChatRequest
from pyslm.chat.sayings import Sayings
from pyslm.chat.steps import Comparison
from pyslm.chat.tool_formats import ToolFormat
from pyslm.chat.tools import Tool
from pyslm.chat.weighing import weighing_of
from pyslm.request import SamplingParams
from pyslm.tokenizer import Tokenizer

__all__ = ["comparison_of", "has_grammar"]


def comparison_of(
    request: ChatRequest,
    params: SamplingParams,
    tool_format: ToolFormat,
    tools: Mapping[str, Tool],
    tokenizer: Tokenizer,
    fitness: Fitness | None,
    sayings: Sayings,
    said: str,
) -> Comparison | None:
    """The calls that it may make, or the choices that it has; None: nothing is to be decided.

    Args:
        params: of the request, with the grammar of the calls.
        tools: those that it may call, by name.
        fitness: how well tools and choices fit, where that counts.
        sayings: what the model always says in the same words.
        said: what arguments are quoted from.
    """
    if _says_tokens(params):
        return None
    if not tools:
        return _of_choices(request, params, tokenizer, fitness)
    if request.tool_choice.mode != "auto" or has_grammar(request.sampling):
        return None
    return weighing_of(params, tool_format, tools.values(), tokenizer, fitness, sayings, said)


def _of_choices(
    request: ChatRequest, params: SamplingParams, tokenizer: Tokenizer, fitness: Fitness | None
) -> ChoiceWeighing | None:
    if fitness is None or not params.choice or len(params.choice) < 2:
        return None
    cosines = fitness.of_choices(params.choice, request.messages)
    if cosines is None:
        return None
    weight = fitness.weights.choice
    return ChoiceWeighing(params, [weight * cosine for cosine in cosines], tokenizer)


def has_grammar(params: SamplingParams) -> bool:
    """Whether the answer must have a form."""
    return params.grammar_source() is not None


def _says_tokens(params: SamplingParams) -> bool:
    """Whether the request has a say in single tokens, which stands."""
    return bool(
        params.forced_tokens or params.logit_bias or params.allowed_token_ids or params.bad_words
    )
