"""One request to an agent that takes ten turns, and what its prompts had in common."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

import pydantic

from pyslm import LLM
from pyslm.agents import Agent, Config, LocalModel, ModelRequest
from pyslm.agents.models.model import Finished, ModelEvent
from pyslm.chat.request import ToolChoice
from pyslm.request import Usage

__all__ = ["NUM_TURNS", "Caller", "Turn", "add_tools", "check_prefixes", "run_loop"]

NUM_TURNS = 10


@dataclasses.dataclass(slots=True)
class Turn:
    """One reply of the model."""

    prompt: list[int]
    usage: Usage = dataclasses.field(default_factory=lambda: Usage(0, 0))
    seconds: float = 0.0


class Caller(LocalModel):
    """Calls a tool in each turn but the last, and writes down what it was asked."""

    def __init__(self, llm: LLM, num_calls: int) -> None:
        super().__init__(llm)
        self._num_calls = num_calls
        self.turns: list[Turn] = []

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        if len(self.turns) < self._num_calls:
            required = ToolChoice("required")
            request = dataclasses.replace(request, tool_choice=required, max_tokens=256)
        began = time.perf_counter()
        async for event in super().stream(request):
            yield event
            if isinstance(event, Finished):
                self.turns[-1].usage = event.usage
                self.turns[-1].seconds = time.perf_counter() - began

    def _prepared(self, llm: LLM, request: Any) -> Any:
        prepared = super()._prepared(llm, request)
        self.turns.append(Turn(list(prepared[1])))
        return prepared


Number = Annotated[int, pydantic.Field(ge=1000, le=9999)]


def add_tools(agent: Agent) -> None:
    """Five, whose results are tables of some 120 tokens."""
    rng = random.Random(0)

    def rows() -> list[dict[str, Any]]:
        words = ("red", "lamp", "chair", "table", "shelf", "small", "large", "oak", "steel", "desk")
        return [
            {"order": rng.randrange(1000, 9999), "item": " ".join(rng.sample(words, 2)),
             "quantity": rng.randrange(1, 20), "paid": rng.random() < 0.5}
            for _ in range(4)
        ]  # fmt: skip

    @agent.tool
    def search_orders(status: Literal["open", "paid", "sent"], limit: Number) -> list[Any]:
        """Search the orders with a status, the newest first."""
        del status, limit
        return rows()

    @agent.tool
    def get_order(number: Number) -> list[Any]:
        """Get all lines of an order."""
        del number
        return rows()

    @agent.tool
    def check_stock(kind: Literal["lamp", "chair", "table", "shelf"], store: Number) -> list[Any]:
        """Check what a store has of a kind of furniture."""
        del kind, store
        return rows()

    @agent.tool
    def quote_shipping(country: Literal["DE", "FR", "NO"], express: bool) -> list[Any]:
        """Quote what shipping to a country costs."""
        del country, express
        return rows()

    @agent.tool
    def flag_order(number: Number, reason: Literal["late", "damaged", "lost"]) -> list[Any]:
        """Flag an order for a colleague, with the reason."""
        del number, reason
        return rows()


def run_loop(llm: LLM) -> tuple[float, list[Turn]]:
    """Seconds of the whole request, and its turns."""
    llm.trim()
    model = Caller(llm, NUM_TURNS - 1)
    config = Config(
        context="You look after the orders of a furniture store. Use the tools.",
        max_steps=NUM_TURNS + 1, max_repeats=1000, max_tokens=64, temperature=0.0,
        parallel_tool_calls=False, timeout=600.0,
    )  # fmt: skip
    agent = Agent(config, model=model)
    add_tools(agent)
    began = time.perf_counter()
    result = asyncio.run(agent.run("Which orders are late, and what shall we do about them?"))
    seconds = time.perf_counter() - began
    if result.steps != NUM_TURNS or len(result.tool_results) != NUM_TURNS - 1:
        raise SystemExit(f"the loop took {result.steps} turns, not {NUM_TURNS}")
    if not all(each.ok for each in result.tool_results):
        raise SystemExit("a call failed")
    return seconds, model.turns


def check_prefixes(turns: Sequence[Turn], block_tokens: int) -> list[tuple[int, int, int]]:
    """(prompt, of these as in the prompt before, found) of each turn.

    The cache holds whole blocks, and keeps one token to compute: that much may be missing.
    """
    rows = [(len(turns[0].prompt), 0, turns[0].usage.cached_tokens)]
    for before, turn in itertools.pairwise(turns):
        pairs = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(before.prompt, turn.prompt, strict=False)
        )
        known = sum(1 for _ in pairs)
        found = turn.usage.cached_tokens
        if found <= known - block_tokens:
            raise SystemExit(f"of {known} tokens of the prompt before, {found} were found")
        rows.append((len(turn.prompt), known, found))
    return rows
