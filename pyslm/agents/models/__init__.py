"""The models that agents run on, behind one Protocol: `ChatModel`.

`local` runs in this process, with tool calls constrained by a grammar; `endpoint` asks any
OpenAI-compatible server; `choose` finds the one that a `Config` names.
"""

from __future__ import annotations

from pyslm.agents.models.choose import choose_model
from pyslm.agents.models.endpoint import EndpointModel
from pyslm.agents.models.local import LocalModel
from pyslm.agents.models.model import Call, ChatModel, Finished, ModelEvent, ModelRequest, Reply
from pyslm.agents.models.pool import ModelPool, shared_pool

__all__ = [
    "Call",
    "ChatModel",
    "EndpointModel",
    "Finished",
    "LocalModel",
    "ModelEvent",
    "ModelPool",
    "ModelRequest",
    "Reply",
    "choose_model",
    "shared_pool",
]
