"""Tools that agents are given by name: `tools: [database, calendar, email]`.

Each name stands for a function that takes settings and gives `Tool`s; they work on this machine:
an SQLite file, an iCalendar file, a maildir and an SMTP server. Packages add others by an entry
point of the group `pyslm.tools`. `OfflineQueue` keeps calls that need the network until it is back.
"""

from __future__ import annotations

from pyslm.agents.toolkits.offline import OfflineQueue, QueuedCall
from pyslm.agents.toolkits.registry import ENTRY_POINTS, named_tools, toolkit_names

__all__ = ["ENTRY_POINTS", "OfflineQueue", "QueuedCall", "named_tools", "toolkit_names"]
