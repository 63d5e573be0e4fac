"""The toolkit `demo`: a few tools to try an agent with, which need nothing and change nothing."""

from __future__ import annotations

import datetime
import hashlib
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from pyslm.agents.tools import Tool

__all__ = ["demo_tools"]

_T = TypeVar("_T")
_SKIES = ("sunny", "cloudy", "light rain", "heavy rain", "snow", "fog", "windy")


def demo_tools() -> list[Tool]:
    """Weather (made up: there is no network here), time, dice, temperatures, and the disk."""
    functions = (get_weather, get_current_time, roll_dice, convert_temperature, get_disk_space)
    return [Tool(function) for function in functions]


def get_weather(city: str, day: str = "today") -> dict[str, Any]:
    """Get the weather forecast for a city.

    Args:
        city: name of the city
        day: such as today, tomorrow or Monday
    """
    return {
        "weather": _made_up(_SKIES, city, day),
        "high_celsius": _made_up(range(-5, 32), city, day),
        "source": "made up for this demo",
    }


def get_current_time() -> str:
    """Get the current date and time."""
    return datetime.datetime.now().strftime("%A, %Y-%m-%d %H:%M:%S")


def roll_dice(
    count: Annotated[int, Field(ge=1, le=100)] = 1,
    sides: Annotated[int, Field(ge=2, le=1000)] = 6,
) -> dict[str, Any]:
    """Roll dice.

    Args:
        count: how many dice
        sides: of each die
    """
    rolled = [random.randint(1, sides) for _ in range(count)]
    return {"rolled": rolled, "sum": sum(rolled)}


def convert_temperature(degrees: float, to: Literal["celsius", "fahrenheit"]) -> dict[str, Any]:
    """Convert a temperature to Celsius or Fahrenheit.

    Args:
        degrees: the temperature in the other unit
        to: the unit that is wanted
    """
    converted = (degrees - 32) / 1.8 if to == "celsius" else degrees * 1.8 + 32
    return {"degrees": round(converted, 1), "unit": to}


def get_disk_space() -> dict[str, Any]:
    """Get the free disk space of this computer."""
    usage = shutil.disk_usage(Path.home())
    return {"free": f"{usage.free / 1e9:.0f} GB", "total": f"{usage.total / 1e9:.0f} GB"}


def _made_up(choices: Sequence[_T], *of: str) -> _T:
    """Always the same for the same."""
    digest = hashlib.sha256("/".join(of).lower().encode()).digest()
    return choices[int.from_bytes(digest[:4], "little") % len(choices)]
