"""The toolkit `calendar` on real .ics files, read back by vobject. Contract: E23."""

from __future__ import annotations

import asyncio
import datetime
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("icalendar", reason="needs the extra 'deploy'")
vobject = pytest.importorskip("vobject")

from pyslm.agents import Tool  # noqa: E402 (after the check)
from pyslm.agents.models.model import Call  # noqa: E402
from pyslm.agents.toolbox import Toolbox, ToolResult  # noqa: E402
from pyslm.agents.toolkits import named_tools  # noqa: E402
from pyslm.agents.toolkits.calendar import calendar_tools  # noqa: E402
from pyslm.errors import AgentConfigError  # noqa: E402

# Monday, 2 March 2026: a meeting each week at ten in Oslo, one of them moved; lunch, which is free
# time; a holiday of a whole day; something that a stranger's program has added.
OFFICE = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//somebody//else//EN
X-WR-CALNAME:Office
BEGIN:VEVENT
UID:weekly
DTSTAMP:20260101T000000Z
DTSTART;TZID=Europe/Oslo:20260302T100000
DTEND;TZID=Europe/Oslo:20260302T110000
RRULE:FREQ=WEEKLY;COUNT=4
SUMMARY:Team
LOCATION:Room 1
X-STRANGE;VALUE=TEXT:kept
END:VEVENT
BEGIN:VEVENT
UID:weekly
RECURRENCE-ID;TZID=Europe/Oslo:20260309T100000
DTSTAMP:20260101T000000Z
DTSTART;TZID=Europe/Oslo:20260309T130000
DTEND;TZID=Europe/Oslo:20260309T140000
SUMMARY:Team (later)
END:VEVENT
BEGIN:VEVENT
UID:lunch
DTSTAMP:20260101T000000Z
DTSTART;TZID=Europe/Oslo:20260302T120000
DTEND;TZID=Europe/Oslo:20260302T123000
TRANSP:TRANSPARENT
SUMMARY:Lunch
END:VEVENT
BEGIN:VEVENT
UID:holiday
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20260304
DTEND;VALUE=DATE:20260305
SUMMARY:Holiday
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


@pytest.fixture
def office(tmp_path: Path) -> Path:
    path = tmp_path / "office.ics"
    path.write_text(OFFICE, newline="")
    return path


def tools_of(path: Path, **settings: Any) -> list[Tool]:
    return calendar_tools(path, timezone="Europe/Oslo", **settings)


def called(tools: list[Tool], name: str, /, **arguments: Any) -> ToolResult:
    call = Call("c1", name, json.dumps(arguments))
    return asyncio.run(Toolbox(tools).run([call]))[0]


def told(tools: list[Tool], name: str, /, **arguments: Any) -> Any:
    result = called(tools, name, **arguments)
    assert result.ok, result.content
    return json.loads(result.content)


def test_list(office: Path) -> None:
    found = told(tools_of(office), "calendar_list", start="2026-03-02T00:00",
                 end="2026-03-10T00:00")  # fmt: skip
    assert [event["title"] for event in found["events"]] == [
        "Team", "Lunch", "Holiday", "Team (later)",
    ]  # fmt: skip
    assert found["events"][0] == {
        "title": "Team", "location": "Room 1",
        "start": "2026-03-02T10:00+01:00", "end": "2026-03-02T11:00+01:00",
    }  # fmt: skip
    assert found["events"][2] == {"title": "Holiday", "date": "2026-03-04"}
    rooms = told(tools_of(office), "calendar_list", start="2026-03-01T00:00",
                 end="2026-05-01T00:00", text="room")  # fmt: skip
    # The week in which summer time begins in Norway is after the last.
    assert [e["start"][:10] for e in rooms["events"]] == ["2026-03-02", "2026-03-16", "2026-03-23"]
    cut = told(tools_of(office, max_events=1), "calendar_list", start="2026-03-02T00:00",
               end="2026-03-10T00:00")  # fmt: skip
    assert len(cut["events"]) == 1
    assert "1 of 4" in cut["cut_off"]


def test_free(office: Path) -> None:
    free = told(tools_of(office), "calendar_free", start="2026-03-02T09:30",
                end="2026-03-08T00:00", minutes=45)  # fmt: skip
    assert [(slot["start"][5:16], slot["end"][5:16]) for slot in free] == [
        ("03-02T11:00", "03-02T17:00"),  # half an hour before the meeting is too short
        ("03-03T09:00", "03-03T17:00"),
        ("03-05T09:00", "03-05T17:00"),  # after the holiday
        ("03-06T09:00", "03-06T17:00"),  # and no weekend
    ]


def test_add_is_read_by_others(office: Path) -> None:
    tools = tools_of(office)
    assert (tools[-1].name, tools[-1].writes) == ("calendar_add", True)
    told(tools, "calendar_add", title="Visit; with, commas\nand lines", start="2026-07-03T14:00",
         end="2026-07-03T15:00", location="Lobby")  # fmt: skip
    calendar = vobject.readOne(office.read_text())
    events = {event.uid.value: event for event in calendar.vevent_list}
    (new,) = (event for uid, event in events.items() if uid.endswith("@pyslm"))
    assert new.summary.value == "Visit; with, commas\nand lines"
    assert new.location.value == "Lobby"
    assert new.dtstart.value == datetime.datetime(2026, 7, 3, 12, tzinfo=datetime.UTC)
    # What was there stays, also what we do not know.
    assert "X-STRANGE;VALUE=TEXT:kept" in office.read_text()
    assert "X-WR-CALNAME:Office" in office.read_text()
    assert len(calendar.vevent_list) == 5
    assert told(tools, "calendar_list", start="2026-07-03T00:00", end="2026-07-04T00:00")["events"]


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        ("2026-03-16T10:30", "2026-03-16T12:00", "taken by"),  # a repetition of the meeting
        ("2026-03-04T12:00", "2026-03-04T13:00", "taken by"),
        ("2026-03-06T12:00", "2026-03-06T11:00", "before end"),
        ("2026-03-06T12:00", "2026-03-06T12:00", "before end"),
        ("2026-03-06T12:00", "2028-03-06T12:00", "366 days"),
        ("soon", "2026-03-06T12:00", "start"),
    ],
)
def test_no_time(office: Path, start: str, end: str, why: str) -> None:
    before = office.read_bytes()
    result = called(tools_of(office), "calendar_add", title="x", start=start, end=end)
    assert not result.ok
    assert why in result.content
    assert office.read_bytes() == before


def book(path: Path, number: int) -> bool:
    """For a process of its own."""
    return called(
        tools_of(path), "calendar_add", title=f"{number}", start="2026-03-06T12:00",
        end="2026-03-06T13:00",
    ).ok  # fmt: skip


def test_nobody_books_twice(office: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        booked = pool.starmap(book, [(office, number) for number in range(6)])
    assert sum(booked) == 1
    assert sum("T110000Z" in line for line in office.read_text().splitlines()
               if line.startswith("DTSTART")) == 1  # fmt: skip
    assert not list(office.parent.glob(".office.ics.*"))


def test_settings(tmp_path: Path, office: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLM_TOOLS_DIR", str(tmp_path / "own"))
    own = named_tools("calendar", {"day_begins": "08:00"})
    told(own, "calendar_add", title="x", start="2026-03-06T12:00", end="2026-03-06T13:00")
    assert len(vobject.readOne((tmp_path / "own" / "calendar.ics").read_text()).vevent_list) == 1
    assert "calendar_add" not in {
        tool.name for tool in named_tools("calendar", {"path": str(office), "writable": False})
    }
    (tmp_path / "text.ics").write_text("no calendar")
    (tmp_path / "cut.ics").write_text(OFFICE[:200])
    for settings, why in (
        ({"path": "none.ics"}, "there is no calendar"),
        ({"path": "text.ics"}, "is no calendar"),
        ({"path": "cut.ics"}, "is no calendar"),
        ({"timezone": "Mars/North"}, "Europe/Oslo"),
        ({"day_begins": "18:00"}, "before 17:00"),
        ({"day_begin": "8:00"}, "did you mean day_begins"),
    ):
        with pytest.raises(AgentConfigError, match=why):
            named_tools("calendar", {"path": str(office), **settings}, tmp_path)
