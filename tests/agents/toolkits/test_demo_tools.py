"""The toolkit `demo`."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pyslm.agents.toolkits import named_tools
from pyslm.agents.tools import ArgumentsError, Tool

TOOLS = {tool.name: tool for tool in named_tools("demo")}


def called(name: str, **arguments: Any) -> Any:
    tool = TOOLS[name]
    jsonschema.validate(arguments, dict(tool.parameters))
    return tool.function(**tool.arguments(arguments))


def test_weather_is_the_same_when_asked_again_and_says_that_it_is_made_up() -> None:
    oslo = called("get_weather", city="Oslo", day="tomorrow")
    assert oslo == called("get_weather", city="oslo", day="Tomorrow")
    assert oslo["source"] == "made up for this demo"
    others = {called("get_weather", city=city)["high_celsius"] for city in "abcdefghijkl"}
    assert len(others) > 3


def test_the_time_is_now() -> None:
    told = datetime.datetime.strptime(called("get_current_time"), "%A, %Y-%m-%d %H:%M:%S")
    assert abs((datetime.datetime.now() - told).total_seconds()) < 60


def test_dice() -> None:
    thrown = called("roll_dice", count=50, sides=2)
    assert len(thrown["rolled"]) == 50
    assert set(thrown["rolled"]) == {1, 2}
    assert thrown["sum"] == sum(thrown["rolled"])
    with pytest.raises(ArgumentsError):
        TOOLS["roll_dice"].arguments({"count": 0})


@pytest.mark.parametrize(
    ("degrees", "to", "converted"),
    [(212, "celsius", 100), (-40, "fahrenheit", -40), (37, "fahrenheit", 98.6)],
)
def test_temperatures(degrees: float, to: str, converted: float) -> None:
    assert called("convert_temperature", degrees=degrees, to=to)["degrees"] == converted


def test_the_disk_is_this_machines() -> None:
    free = int(called("get_disk_space")["free"].removesuffix(" GB"))
    assert abs(free - shutil.disk_usage(Path.home()).free / 1e9) < 5


def test_results_are_json() -> None:
    assert all(isinstance(tool, Tool) for tool in TOOLS.values())
    json.dumps([called("get_weather", city="x"), called("roll_dice"), called("get_disk_space")])
