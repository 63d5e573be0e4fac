"""The toolkit `calendar`: an iCalendar file (RFC 5545) on this machine.

The file is replaced whole and under a lock, so that two agents never book the same time and a
killed one leaves the file as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import secrets
import uuid
import zoneinfo
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pyslm.agents.toolkits.registry import default_folder
from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError

try:
    import filelock
    import icalendar
    import recurring_ical_events
except ImportError as error:
    raise AgentConfigError(
        f"the tool calendar needs {error.name}, which is not installed; "
        "run: pip install 'pyslm[deploy]'"
    ) from None

__all__ = ["calendar_tools"]

Moment: TypeAlias = datetime.datetime
Time: TypeAlias = datetime.time

_MAX_DAYS = 366
_MAX_BYTES = 32 << 20
_LOCK_SECONDS = 10.0
_EMPTY = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//pyslm//calendar//EN\r\nEND:VCALENDAR\r\n"


def calendar_tools(
    path: Path | None = None,
    timezone: str | None = None,
    day_begins: Time = datetime.time(9),
    day_ends: Time = datetime.time(17),
    writable: bool = True,
    max_events: int = 100,
) -> list[Tool]:
    """Tools for one .ics file.

    Args:
        path: the file. None: `calendar.ics` of the user's tools folder, made if need be.
        timezone: of times that name none, such as "Europe/Oslo". None: this machine's.
        day_begins, day_ends: free times are looked for between these.
        writable: offer `calendar_add`, too.
        max_events: of one list.

    Raises:
        AgentConfigError: there is no such file, it is no calendar, or a setting is not allowed.
    """
    if day_begins >= day_ends:
        raise AgentConfigError(f"day_begins is {day_begins}; allowed: before {day_ends}")
    if max_events < 1:
        raise AgentConfigError(f"max_events is {max_events}; allowed: above 0")
    calendar = _Calendar(_existing(path), _zone(timezone), day_begins, day_ends, max_events)
    tools = [Tool(calendar.calendar_list), Tool(calendar.calendar_free)]
    if writable:
        tools.append(Tool(calendar.calendar_add, writes=True))
    return tools


def _zone(name: str | None) -> datetime.tzinfo:
    if name is None:
        found = datetime.datetime.now().astimezone().tzinfo
        assert found is not None
        return found
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise AgentConfigError(
            f"timezone is {name!r:.80}; allowed: a name such as 'Europe/Oslo'"
        ) from None


def _existing(path: Path | None) -> Path:
    if path is None:
        path = default_folder() / "calendar.ics"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), path.open("x", newline="") as file:
            file.write(_EMPTY)
    if not path.is_file():
        raise AgentConfigError(f"there is no calendar {path}; make it, or give another path")
    try:
        _read(path)
    except (ValueError, OSError) as error:
        raise AgentConfigError(f"{path} is no calendar that can be read: {error}") from None
    return path


@dataclasses.dataclass(frozen=True, slots=True)
class _Event:
    start: Moment
    end: Moment
    all_day: bool
    busy: bool
    title: str
    location: str

    def told(self) -> dict[str, Any]:
        """For the model. All-day events end with the day before their end, as people say it."""
        shown: dict[str, Any] = {"title": self.title}
        if self.all_day:
            last = self.end.date() - datetime.timedelta(days=1)
            shown |= {"date": self.start.date().isoformat()}
            if last > self.start.date():
                shown |= {"last_date": last.isoformat()}
        else:
            shown |= {"start": _text(self.start), "end": _text(self.end)}
        return shown | ({"location": self.location} if self.location else {})


class _Calendar:
    def __init__(
        self, path: Path, zone: datetime.tzinfo, begins: Time, ends: Time, max_events: int
    ) -> None:
        self._path = path
        self._zone = zone
        self._begins = begins
        self._ends = ends
        self._max_events = max_events

    def calendar_list(self, start: Moment, end: Moment, text: str = "") -> dict[str, Any]:
        """Show the events between two times.

        Args:
            start: as 2026-03-01T00:00.
            end: as 2026-03-08T00:00.
            text: only events that have it in their title or place.
        """
        start, end = self._span(start, end)
        sought = text.casefold()
        found = [
            event
            for event in self._events(_read(self._path), start, end)
            if sought in f"{event.title}\n{event.location}".casefold()
        ]
        shown: dict[str, Any] = {"events": [event.told() for event in found[: self._max_events]]}
        if len(found) > self._max_events:
            shown["cut_off"] = f"only the first {self._max_events} of {len(found)} events"
        return shown

    def calendar_free(self, start: Moment, end: Moment, minutes: int = 30) -> list[dict[str, str]]:
        """Find the free times of working days between two times.

        Args:
            start: as 2026-03-01T00:00.
            end: as 2026-03-08T00:00.
            minutes: how long a free time must be at least.
        """
        if not 1 <= minutes <= 24 * 60:
            raise ValueError(f"minutes is {minutes}; allowed: 1 to {24 * 60}")
        start, end = self._span(start, end)
        busy = [e for e in self._events(_read(self._path), start, end) if e.busy]
        wanted = datetime.timedelta(minutes=minutes)
        found = [
            {"start": _text(begin), "end": _text(stop)}
            for first, last in self._working_hours(start, end)
            for begin, stop in _gaps(first, last, busy)
            if stop.astimezone(datetime.UTC) - begin.astimezone(datetime.UTC) >= wanted
        ]
        return found[: self._max_events]

    def calendar_add(
        self, title: str, start: Moment, end: Moment, location: str = "", description: str = ""
    ) -> dict[str, Any]:
        """Add an event, if the time is free.

        Args:
            title: what it is.
            start: as 2026-03-01T09:00.
            end: as 2026-03-01T10:00.
            location: where it is.
            description: more about it.
        """
        if not title.strip():
            raise ValueError("title is empty; say what the event is")
        start, end = self._span(start, end)
        event = icalendar.Event()
        event.add("uid", f"{uuid.uuid4()}@pyslm")
        event.add("dtstamp", datetime.datetime.now(datetime.UTC))
        event.add("dtstart", start.astimezone(datetime.UTC))
        event.add("dtend", end.astimezone(datetime.UTC))
        for name, value in (
            ("summary", title), ("location", location), ("description", description)
        ):  # fmt: skip
            if value:
                event.add(name, value)
        with self._locked():
            calendar = _read(self._path)
            for other in self._events(calendar, start, end):
                if other.busy:
                    raise ValueError(
                        f"the time is taken by {other.told()}; calendar_free finds free times"
                    )
            calendar.add_component(event)
            _replace(self._path, calendar.to_ical())
        return {"added": title, "start": _text(start), "end": _text(end)}

    def _span(self, start: Moment, end: Moment) -> tuple[Moment, Moment]:
        start, end = self._here(start), self._here(end)
        if not start < end:
            raise ValueError(f"start is {_text(start)}; allowed: before end, {_text(end)}")
        if end - start > datetime.timedelta(days=_MAX_DAYS):
            raise ValueError(f"this is more than a year; allowed: {_MAX_DAYS} days")
        return start, end

    def _here(self, moment: Moment) -> Moment:
        if moment.tzinfo is None:
            return moment.replace(tzinfo=self._zone)
        return moment.astimezone(self._zone)

    def _events(self, calendar: icalendar.Calendar, start: Moment, end: Moment) -> list[_Event]:
        """What lies in a time, repeated events as often as they come."""
        found = recurring_ical_events.of(calendar).between(start, end)
        events = [self._event(each) for each in found if each.get("STATUS") != "CANCELLED"]
        return sorted(
            (event for event in events if event.start < end and event.end > start),
            key=lambda event: (event.start, event.title),
        )

    def _event(self, found: Any) -> _Event:
        start, end = found.start, found.end
        all_day = not isinstance(start, datetime.datetime)
        if all_day:
            start, end = (
                datetime.datetime.combine(day, datetime.time(), self._zone) for day in (start, end)
            )
        return _Event(
            self._here(start),
            self._here(end),
            all_day,
            str(found.get("TRANSP", "OPAQUE")).upper() != "TRANSPARENT",
            str(found.get("SUMMARY", "")),
            str(found.get("LOCATION", "")),
        )

    def _working_hours(self, start: Moment, end: Moment) -> Iterator[tuple[Moment, Moment]]:
        day = start.date()
        while day <= end.date():
            first = datetime.datetime.combine(day, self._begins, self._zone)
            last = datetime.datetime.combine(day, self._ends, self._zone)
            first, last = max(first, start), min(last, end)
            if day.weekday() < 5 and first < last:
                yield first, last
            day += datetime.timedelta(days=1)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = filelock.FileLock(f"{self._path}.lock", timeout=_LOCK_SECONDS)
        try:
            with lock:
                yield
        except filelock.Timeout:
            raise RuntimeError(f"another program keeps {self._path.name} locked") from None


def _gaps(first: Moment, last: Moment, busy: Sequence[_Event]) -> Iterator[tuple[Moment, Moment]]:
    for event in busy:
        if event.end <= first or event.start >= last:
            continue
        if event.start > first:
            yield first, event.start
        first = max(first, event.end)
    if first < last:
        yield first, last


def _read(path: Path) -> icalendar.Calendar:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"it has {size} bytes; allowed: {_MAX_BYTES}")
    found = icalendar.Calendar.from_ical(path.read_bytes())
    if not isinstance(found, icalendar.Calendar):
        raise ValueError(f"it holds a {type(found).__name__}, not a VCALENDAR")
    return found


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, path.stat().st_mode & 0o777)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _text(moment: Moment) -> str:
    return moment.isoformat(timespec="minutes")
