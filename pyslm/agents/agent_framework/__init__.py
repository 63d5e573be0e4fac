"""Microsoft Agent Framework on our engine, in this process: no server, no HTTP.

::

    from agent_framework import Agent
    from pyslm.agents.agent_framework import PySLMChatClient

    agent = Agent(PySLMChatClient("qwen2.5-0.5b"), instructions="Be brief.", tools=[get_weather])
    print(await agent.run("How is the weather in Oslo?"))

Its agents, workflows, orchestrations, middleware and telemetry work as with any other client; calls
of tools and answers of a form are held to their schemas by a grammar. Needs the packages of the
extra `agent-framework`.
"""

from __future__ import annotations

from pyslm.errors import AgentConfigError
from pyslm.extras import check_extra

check_extra("agent-framework", "pyslm.agents.agent_framework", AgentConfigError)

from pyslm.agents.agent_framework.chat_client import (  # noqa: E402 (after the check)
    PySLMChatClient,
    PySLMChatOptions,
)
from pyslm.agents.agent_framework.embedding_client import PySLMEmbeddingClient  # noqa: E402
from pyslm.agents.agent_framework.ledger import constrain_ledger  # noqa: E402
from pyslm.agents.agent_framework.tokenizer import PySLMTokenizer  # noqa: E402

__all__ = [
    "PySLMChatClient",
    "PySLMChatOptions",
    "PySLMEmbeddingClient",
    "PySLMTokenizer",
    "constrain_ledger",
]
