"""What a request asks of the way a model is loaded, against how it is."""

from __future__ import annotations

import msgspec

from pyslm.serve.protocol.model import LoadOptions, ModelCard
from pyslm.serve.supervisor import Supervisor

__all__ = ["at_most", "bounded", "suffices"]


def bounded(options: LoadOptions | None, card: ModelCard) -> LoadOptions:
    """A context longer than the model was trained for asks for all that it was trained for."""
    options = options or LoadOptions()
    context = at_most(options.context_length, card.trained_context_length)
    return msgspec.structs.replace(options, context_length=context)


def at_most(context: int | None, trained: int) -> int | None:
    """A context within what a model was trained for, where that is known."""
    return context if context is None or not trained else min(context, trained)


def suffices(supervisor: Supervisor, options: LoadOptions) -> bool:
    """Whether a worker, as it was loaded, will do."""
    spec = supervisor.spec
    context = spec.context_length or supervisor.context_length
    enough = options.context_length is None or context >= options.context_length
    same_kv = options.kv_type is None or options.kv_type == spec.kv_type
    known = all(spec.adapters.get(name) == path for name, path in options.adapters.items())
    return enough and same_kv and known
