"""What a prompt may be: text, token ids, or a list of either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from pyslm.errors import InvalidRequestError
from pyslm.request import SamplingParams

__all__ = ["Prompt", "is_single_prompt", "paired", "token_ids"]

Prompt: TypeAlias = "str | Sequence[int] | npt.NDArray[np.integer[Any]]"
"""Text, or token ids as they are."""


def is_single_prompt(prompt: object) -> TypeGuard[Prompt]:
    """Whether this is one prompt (text or token ids) rather than a list of prompts.

    An empty list is an empty list of prompts.
    """
    if isinstance(prompt, str):
        return True
    if isinstance(prompt, np.ndarray):
        return prompt.ndim == 1
    if not isinstance(prompt, Sequence) or isinstance(prompt, bytes):
        raise InvalidRequestError(
            f"the prompt is a {type(prompt).__name__}; allowed: text, token ids, or a list of them"
        )
    return bool(prompt) and isinstance(prompt[0], (int, np.integer))


def token_ids(prompt: Sequence[int] | npt.NDArray[np.integer[Any]]) -> list[int]:
    """Token ids as plain numbers; an InvalidRequestError for anything else."""
    ids = np.asarray(prompt)
    if ids.size == 0:
        return []
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise InvalidRequestError(
            f"token ids have type {ids.dtype} and shape {ids.shape}; allowed: a list of integers"
        )
    return [int(i) for i in ids]


def paired(
    prompts: Sequence[Prompt],
    params: SamplingParams | Sequence[SamplingParams] | None,
    *,
    single: bool = False,
) -> list[tuple[Prompt, SamplingParams]]:
    """Each prompt with its parameters, which may be one for all."""
    if params is None or isinstance(params, SamplingParams):
        return [(prompt, params or SamplingParams()) for prompt in prompts]
    if single:
        raise InvalidRequestError("params is a list, but there is one prompt")
    if len(params) != len(prompts):
        raise InvalidRequestError(
            f"params has {len(params)} entries for {len(prompts)} prompts; give one or each"
        )
    return list(zip(prompts, params, strict=True))
