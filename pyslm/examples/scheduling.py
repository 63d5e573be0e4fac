"""An agent with a calendar and a memory of what was said: what is free, and book it.

    python -m pyslm.examples.scheduling

Both requests belong to one session, so that the second can rely on the first. Sessions are kept in
memory here; with a path in place of `SessionStore()` they outlive the program. A date is a date to
the tools, and an hour one of the working day: a call with anything else never reaches them.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from pyslm.agents import Agent, Config, SessionStore
from pyslm.examples.command import run_example

QUESTIONS = [
    "Find the free slots on day 2026-12-01.",
    "Book a meeting with the title Budget review on day 2026-12-01 at hour 14.",
]

HOURS = range(9, 17)
Hour = Annotated[int, Field(ge=9, le=16)]
CALENDAR = {"2026-12-01": {"9": "Stand-up", "10": "Interview", "13": "Lunch with Ann"}}


class Calendar:
    """Meetings of an hour each, day by day; kept in a JSON file if there is one."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        kept = path.read_text(encoding="utf-8") if path and path.exists() else json.dumps(CALENDAR)
        self.days: dict[str, dict[str, str]] = json.loads(kept)

    def meetings(self, day: datetime.date) -> dict[str, str]:
        """Hour -> title."""
        return self.days.get(day.isoformat(), {})

    def book(self, day: datetime.date, hour: int, title: str) -> None:
        """Raises ValueError where there is no room."""
        if str(hour) in self.meetings(day):
            raise ValueError(f"{hour}:00 is taken by {self.meetings(day)[str(hour)]}")
        self.days.setdefault(day.isoformat(), {})[str(hour)] = title
        if self._path is not None:
            self._path.write_text(json.dumps(self.days), encoding="utf-8")


def build(model: Any, calendar: Calendar | None = None) -> Agent:
    """The agent of a calendar."""
    calendar = calendar or Calendar()
    config = Config(name="scheduling", context="You keep the calendar.", temperature=0.0)
    agent = Agent(config, model=model, sessions=SessionStore())

    @agent.tool
    def find_free_slots(day: datetime.date) -> list[str]:
        """Find the free slots of a day.

        Args:
            day: the date
        """
        return [f"{hour}:00" for hour in HOURS if str(hour) not in calendar.meetings(day)]

    @agent.tool
    def book_meeting(title: str, day: datetime.date, hour: Hour) -> str:
        """Book a meeting.

        Args:
            title: what it is about
            day: the date
            hour: when it begins
        """
        calendar.book(day, hour, title)
        return f"booked {title} on {day} at {hour}:00"

    return agent


if __name__ == "__main__":
    run_example(__doc__, build, QUESTIONS, session="today")
