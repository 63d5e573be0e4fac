"""Agent transcripts to replay: each turn as the model would have to write it.

Made from a seed rather than recorded from a person: tools described in JSON, calls, results of a
few kinds (weather, shop, calendar, logs) and answers that quote them, in the layout of ChatML.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model is shown, and what it then writes."""

    prompt: str
    output: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """One conversation; a turn's prompt is everything before it."""

    name: str
    turns: list[Turn]


Scene = Callable[[random.Random], tuple[str, dict[str, Any], Any, str]]
"""Gives a question, a call's arguments, its result and the answer."""

CITIES = ["Oslo", "Lima", "Kyoto", "Nairobi", "Quito", "Turin", "Perth", "Lagos", "Riga", "Hanoi"]
GOODS = ["kettle", "desk lamp", "backpack", "tripod", "rain coat", "notebook", "head torch"]
PEOPLE = ["Ann", "Bo", "Chidi", "Dora", "Emre", "Fay", "Goran", "Hana"]


def weather(rng: random.Random) -> tuple[str, dict[str, Any], Any, str]:
    city, days = rng.choice(CITIES), rng.randint(2, 4)
    result = [
        {"day": d, "high": rng.randint(8, 30), "low": rng.randint(-3, 12), "sky": "partly cloudy"}
        for d in range(days)
    ]
    told = "; ".join(
        f"day {r['day']}: {r['sky']}, {r['low']} to {r['high']} degrees" for r in result
    )
    return (
        f"What will the weather be in {city} over the next {days} days?",
        {"city": city, "days": days, "unit": "celsius"},
        {"city": city, "forecast": result},
        f"Forecast for {city}: {told}.",
    )


def shop(rng: random.Random) -> tuple[str, dict[str, Any], Any, str]:
    item, order = rng.choice(GOODS), f"A-{rng.randint(10000, 99999)}"
    result = {
        "order": order,
        "status": rng.choice(["packed", "sent", "delivered"]),
        "items": [{"name": item, "price": rng.randint(9, 90), "currency": "EUR"}],
        "carrier": {"name": "PostNord", "code": f"PN{rng.randint(10**7, 10**8)}"},
    }
    return (
        f"Where is my order {order}, the {item}?",
        {"order": order, "include_items": True, "include_carrier": True},
        result,
        f"Order {order} ({item}) is {result['status']}; the carrier is PostNord, tracking code "
        f"{result['carrier']['code']}.",
    )


def calendar(rng: random.Random) -> tuple[str, dict[str, Any], Any, str]:
    who = rng.sample(PEOPLE, 2)
    day = f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    result = {
        "day": day,
        "free": [
            {"from": f"{h:02d}:00", "to": f"{h + 1:02d}:00"}
            for h in sorted(rng.sample(range(8, 17), 3))
        ],
    }
    slots = ", ".join(f"{s['from']} to {s['to']}" for s in result["free"])
    return (
        f"When are {who[0]} and {who[1]} both free on {day}?",
        {"people": who, "day": day, "minutes": 60},
        result,
        f"{who[0]} and {who[1]} are both free on {day} at {slots}.",
    )


def logs(rng: random.Random) -> tuple[str, dict[str, Any], Any, str]:
    service = rng.choice(["billing", "search", "login"])
    lines = [
        {
            "time": f"12:{m:02d}:07",
            "level": "ERROR",
            "service": service,
            "message": "upstream timed out",
        }
        for m in sorted(rng.sample(range(60), 4))
    ]
    return (
        f"Show me the errors of {service} since noon.",
        {"service": service, "level": "ERROR", "since": "12:00:00", "limit": 4},
        {"lines": lines},
        "\n".join(f"{e['time']} {e['level']} {e['service']}: {e['message']}" for e in lines),
    )


SCENES: dict[str, tuple[str, Scene]] = {
    "weather": ("get_forecast", weather),
    "shop": ("find_order", shop),
    "calendar": ("find_free_slots", calendar),
    "logs": ("search_logs", logs),
}


def make_transcripts(turns: int = 5, seed: int = 0) -> list[Transcript]:
    """One of each scene, and one that mixes them; each with `turns` questions."""
    rng = random.Random(seed)
    plans = {name: [name] * turns for name in SCENES}
    plans["mixed"] = [rng.choice(list(SCENES)) for _ in range(turns)]
    return [_play(name, plan, rng) for name, plan in plans.items()]


def _play(name: str, plan: list[str], rng: random.Random) -> Transcript:
    tools = [{"name": tool, "description": f"{tool} for the user"} for tool, _ in SCENES.values()]
    text = f"<|im_start|>system\nTools: {json.dumps(tools)}<|im_end|>\n"
    turns = []

    def said(output: str) -> None:
        nonlocal text
        text += "<|im_start|>assistant\n"
        turns.append(Turn(text, output + "<|im_end|>"))
        text += output + "<|im_end|>\n"

    for kind in plan:
        tool, scene = SCENES[kind]
        question, arguments, result, answer = scene(rng)
        text += f"<|im_start|>user\n{question}<|im_end|>\n"
        said(f"<tool_call>\n{json.dumps({'name': tool, 'arguments': arguments})}\n</tool_call>")
        text += f"<|im_start|>tool\n{json.dumps(result)}<|im_end|>\n"
        said(answer)
    return Transcript(name, turns)
