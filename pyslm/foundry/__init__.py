"""The command `foundry`, for programs that look for Foundry Local.

Its SDK runs `foundry service status` to learn where the service listens. `pyslm foundry install`
puts a launcher of that name where programs find it; it is never there unasked, so that it does not
hide the real one. It stands for `pyslm service` and the server's Foundry routes.
"""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Runs the command line and exits."""
    from pyslm.cli import invoke
    from pyslm.foundry.commands import build_app

    sys.exit(invoke(sys.argv[1:], build_app, "foundry"))
