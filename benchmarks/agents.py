"""What agents cost beside the model, and what they gain from the engine.

    python benchmarks/agents.py MODEL.gguf [--peer-python PYTHON] [--threads 2] [--rounds 3]
    python benchmarks/agents.py MODEL.gguf --only loop routing overhead start
    python benchmarks/agents.py nano --only start

loop      One request of ten turns, with five tools and results that make the history grow. Every
          prompt must be found in the prefix cache but for what is new in it. PYTHON is an
          interpreter with llama-cpp-python (also PYSLM_PEER_PYTHON), which takes turns with us on
          the same prompts and as many tokens: as a server that keeps nothing between requests
          (the target: twice the seconds), and as one slot that keeps the last prompt. Ours is the
          whole agent, with templates, grammars and tools; the peer is its engine alone.
routing   Which of four agents a request goes to: one constrained choice.
overhead  A turn of an agent whose model answers at once.
start     On one core: from a loaded model to the first call of a tool, and from the start of
          Python to it.

Calls are required, so that any model makes them, also one with random weights; only nano, the model
that comes with the package, must see by itself that there is one to make at the start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from load.agent_loop import NUM_TURNS, Caller, Turn, add_tools, check_prefixes, run_loop

from pyslm import LLM
from pyslm.agents import Agent, Config, LocalModel, ModelRequest, SessionStore
from pyslm.agents.models.model import Finished, ModelEvent
from pyslm.agents.teams.routing import by_intent
from pyslm.chat.events import ContentDelta, ToolCallArguments, ToolCallStart
from pyslm.hub.embedded import is_embedded
from pyslm.request import Usage

PARTS = ("loop", "routing", "overhead", "start")
REQUESTS = [
    "Please call me back tomorrow at ten.",
    "My last invoice has the wrong amount on it.",
    "The router does not start since this morning.",
    "Do you have the blue one in stock?",
    "I was charged twice in March.",
    "Can we move Friday's appointment?",
]


# --- the loop -------------------------------------------------------------------------------------


class Peer:
    """llama.cpp in a process of its own."""

    def __init__(self, python: str, model: str, threads: int, context: int) -> None:
        sys.path.insert(0, str(Path(__file__).parent / "compare"))
        from worker import Worker

        self._worker = Worker(
            python, "worker_llama_cpp.py", path=model, threads=threads, context=context,
            kv_type="f16", flash=1, repack=1,
        )  # fmt: skip

    def seconds(self, turns: Sequence[Turn], *, keep: bool) -> float:
        """Of the same prompts and as many tokens."""
        work = [[turn.prompt, turn.usage.completion_tokens] for turn in turns]
        return sum(self._worker.ask(["turns", work, keep]))

    def close(self) -> None:
        self._worker.close()


def measure_loop(model: str, options: argparse.Namespace) -> dict[str, Any]:
    settings = {"threads": options.threads, "context_length": options.context}
    with LLM(model, max_sequences=2, **settings) as llm:
        (group, *_) = llm._host.runner.info["cache_groups"]
        run_loop(llm)  # warm
        peer = None
        if options.peer_python:
            peer = Peer(options.peer_python, model, llm.info.threads, options.context)
        ours: list[float] = []
        ratios: dict[str, list[float]] = {"keeps nothing": [], "keeps the last prompt": []}
        for _ in range(options.rounds):
            seconds, turns = run_loop(llm)
            ours.append(seconds)
            rows = check_prefixes(turns, group["block_tokens"])
            for name, keep in zip(ratios, (False, True), strict=True) if peer else ():
                ratios[name].append(peer.seconds(turns, keep=keep) / seconds)
        if peer:
            peer.close()
    print(f"{'turn':>4} {'prompt':>7} {'as before':>10} {'found':>6} {'reply':>6} {'seconds':>8}")
    for number, (turn, (prompt, known, found)) in enumerate(zip(turns, rows, strict=True), 1):
        print(
            f"{number:4} {prompt:7} {known:10} {found:6} {turn.usage.completion_tokens:6} "
            f"{turn.seconds:8.3f}"
        )
    report: dict[str, Any] = {
        "seconds": statistics.median(ours),
        "prompt_tokens": sum(prompt for prompt, *_ in rows),
        "found_tokens": sum(found for *_, found in rows),
        "ratios": {name: statistics.median(values) for name, values in ratios.items() if values},
    }
    print(
        f"loop: {report['seconds']:.2f} s; of {report['prompt_tokens']} prompt tokens "
        f"{report['found_tokens']} were found, all that were computed before"
    )
    for name, ratio in report["ratios"].items():
        low, high = min(ratios[name]), max(ratios[name])
        target = ", target 2" if name == "keeps nothing" else ""
        times = f"{ratio:.2f} times the seconds ({low:.2f} to {high:.2f}){target}"
        print(f"llama.cpp that {name}: {times}")
    return report


# --- routing --------------------------------------------------------------------------------------


def measure_routing(model: str, options: argparse.Namespace) -> dict[str, Any]:
    jobs = {
        "scheduling": "appointments and callbacks", "billing": "invoices, prices and payments",
        "technical": "devices that do not work", "sales": "what is in stock, and offers",
    }  # fmt: skip
    with LLM(model, threads=options.threads, context_length=2048, max_sequences=2) as llm:
        agents = [
            Agent(Config(name=name, specialized_for=job), model=llm) for name, job in jobs.items()
        ]
        asyncio.run(by_intent("Hello", agents, LocalModel(llm)))  # the grammar's library is loaded
        cold, warm = [], []
        for _ in range(options.rounds):
            llm.trim()
            for number, text in enumerate(REQUESTS):
                router = Caller(llm, 0)
                began = time.perf_counter()
                route = asyncio.run(by_intent(text, agents, router))
                (warm if number else cold).append(time.perf_counter() - began)
                if route.reason != "the router's choice":
                    raise SystemExit(f"the model did not choose: {route.reason}")
                (turn,) = router.turns
    report = {
        "first_ms": statistics.median(cold) * 1e3,
        "ms": statistics.median(warm) * 1e3,
        "prompt_tokens": len(turn.prompt),
    }
    print(
        f"routing to one of {len(jobs)}: {report['ms']:.0f} ms, the first {report['first_ms']:.0f} "
        f"ms (prompts of {report['prompt_tokens']} tokens)"
    )
    return report


# --- what an agent costs --------------------------------------------------------------------------


class Instant:
    """A model that takes no time."""

    name, place, context_length = "instant", "process", 100_000

    def __init__(self) -> None:
        self.turn = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        del request
        self.turn += 1
        if self.turn % NUM_TURNS:
            yield ToolCallStart(0, f"call_{self.turn}", "get_order")
            yield ToolCallArguments(0, '{"number": 1234}')
            yield Finished("tool_calls", Usage(100, 10))
        else:
            yield ContentDelta("Done.")
            yield Finished("stop", Usage(100, 1))

    async def count_tokens(self, messages: Sequence[Any], tools: Sequence[Any] = ()) -> int:
        return sum(len(json.dumps(each)) for each in (*messages, *tools)) // 4


def measure_overhead(options: argparse.Namespace) -> dict[str, Any]:
    report = {}
    for name, session in (("alone", False), ("in a session", True)):
        config = Config(max_steps=NUM_TURNS + 1, max_repeats=1000)
        agent = Agent(config, model=Instant(), sessions=SessionStore())
        add_tools(agent)

        async def runs(agent: Agent = agent, session: bool = session) -> list[float]:
            times = []
            for number in range(10 * options.rounds):
                began = time.perf_counter()
                result = await agent.run("?", session=f"s{number}" if session else None)
                times.append((time.perf_counter() - began) / result.steps)
            return times

        report[name] = statistics.median(asyncio.run(runs())) * 1e3
        print(f"overhead of a turn, {name}: {report[name]:.3f} ms, target 1")
    return report


# --- the first call -------------------------------------------------------------------------------

CHILD = """
import sys, time
started = float(sys.argv[2])
import asyncio, dataclasses, json
import pyslm
from pyslm.agents import LocalModel, ToolStarted
from pyslm.chat.request import ToolChoice
from pyslm.examples.first_agent import build
imported = time.time()

class Caller(LocalModel):
    def stream(self, request):
        choice = ToolChoice(sys.argv[3])
        return super().stream(dataclasses.replace(request, tool_choice=choice))

class Called(Exception):
    pass

def first_call(llm):
    def see(event):
        if isinstance(event, ToolStarted):
            raise Called
    try:
        asyncio.run(build(Caller(llm)).run("What time is it?", emit=see))
    except Called:
        return time.time()
    raise SystemExit("no tool was called")

llm = pyslm.LLM(sys.argv[1], max_sequences=1, context_length=2048)
loaded = time.time()
first = first_call(llm)
warm = []
for _ in range(7):
    llm.trim()
    began = time.time()
    warm.append(first_call(llm) - began)
print(json.dumps({"import": imported - started, "load": loaded - imported,
                  "first_call": first - started, "warm": sorted(warm)[3]}))
sys.stdout.flush()
llm.close()
"""


def measure_start(options: argparse.Namespace) -> dict[str, Any]:
    def on_one_core() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    # By its name, if that is what is given: to look it up is part of the start.
    model, choice = str(options.model), "auto" if is_embedded(options.model) else "required"
    runs = []
    for _ in range(options.rounds + 1):  # the first packs the weights
        command = [sys.executable, "-P", "-c", CHILD, model, repr(time.time()), choice]
        done = subprocess.run(command, stdout=subprocess.PIPE, preexec_fn=on_one_core)
        if done.returncode:
            raise SystemExit("no first call; what went wrong is told above")
        runs.append(json.loads(done.stdout))
    report = {key: statistics.median(run[key] for run in runs[1:]) * 1e3 for key in runs[0]}
    print(
        f"first call on one core: {report['warm']:.0f} ms from a loaded model, target 150; "
        f"{report['first_call'] / 1e3:.2f} s from the start of a fresh Python, target 1.5 (imports "
        f"{report['import']:.0f} ms, loading {report['load']:.0f}); targets are those of nano"
    )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a GGUF file with a chat template, or a name: nano")
    parser.add_argument("--peer-python", default=os.environ.get("PYSLM_PEER_PYTHON"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--context", type=int, default=8192, help="tokens, of the loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    from pyslm.hub import resolve

    model = str(resolve(options.model))
    report: dict[str, Any] = {"model": Path(model).name}
    if "loop" in options.only:
        report["loop"] = measure_loop(model, options)
    if "routing" in options.only:
        report["routing"] = measure_routing(model, options)
    if "overhead" in options.only:
        report["overhead"] = measure_overhead(options)
    if "start" in options.only:
        report["start"] = measure_start(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
