"""The extras: packages that a plain installation does without, and what to say where they are
missing."""

from __future__ import annotations

import importlib.util

from pyslm.errors import InvalidRequestError, PyslmError

__all__ = ["PACKAGES", "check_extra"]

_SERVE = ("fastapi", "uvicorn", "httptools", "prometheus_client", "limits", "msgspec")

PACKAGES: dict[str, tuple[str, ...]] = {
    "agent-framework": ("agent_framework",),
    "deploy": (*_SERVE, "yaml", "icalendar", "recurring_ical_events"),
    "guide": (*_SERVE, "openai"),
    "lora": ("torch", "transformers", "peft"),
    "mcp": ("mcp", "mcp_types"),
    "serve": _SERVE,
    "train": ("torch",),
}
"""Extra -> what it must bring to be of use, as it is imported."""


def check_extra(extra: str, needed_by: str, error: type[PyslmError] = InvalidRequestError) -> None:
    """Does nothing where all packages of an extra are installed; imports none of them.

    Args:
        extra: one of `PACKAGES`.
        needed_by: who needs it, as users know it.
        error: raised where one is missing; names it, and the command that installs it.
    """
    for package in PACKAGES[extra]:
        if importlib.util.find_spec(package) is None:
            raise error(
                f"{needed_by} needs {package}, which is not installed; "
                f"run: pip install 'pyslm[{extra}]'"
            )
