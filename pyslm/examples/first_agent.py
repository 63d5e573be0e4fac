"""A first agent: asked what time it is, it looks at the clock and says so.

    python -m pyslm.examples.first_agent

An agent is a model, a job (`Config`) and tools. A tool is a function: its name, its docstring and
the types of its parameters are what the model is told. The model decides whether to call it; pyslm
calls it, gives the model the result, and the model answers from that.
"""

from __future__ import annotations

import datetime
from typing import Any

from pyslm.agents import Agent, Config
from pyslm.examples.command import run_example

QUESTIONS = ["What time is it?"]


def build(model: Any) -> Agent:
    """The agent, on any model: a path, a name, an `LLM`, or a server's `EndpointModel`."""
    config = Config(name="my-first-agent", context="Answer with the tools.", temperature=0.0)
    agent = Agent(config, model=model)

    @agent.tool
    def get_current_time() -> str:
        """Get the current time."""
        return datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")

    return agent


if __name__ == "__main__":
    run_example(__doc__, build, QUESTIONS)
