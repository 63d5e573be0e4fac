"""`pyslm agent examples`."""

from __future__ import annotations

import importlib
import json

from pyslm.cli.console import JsonOption, output_console

__all__ = ["examples"]


def examples(as_json: JsonOption = False) -> None:
    """List the agents that come with pyslm, to run and to copy from."""
    from pyslm.examples import EXAMPLES

    rows = []
    for name in EXAMPLES:
        module = importlib.import_module(f"pyslm.examples.{name}")
        about = " ".join((module.__doc__ or "").partition("\n\n")[0].split())
        command = f"python -m {module.__name__}"
        rows.append({"command": command, "about": about, "file": module.__file__})
    if as_json:
        print(json.dumps(rows))
        return
    from rich.table import Column, Table

    table = Table(Column("COMMAND", no_wrap=True), "WHAT IT SHOWS")
    for row in rows:
        table.add_row(row["command"], row["about"])
    output_console().print(table)
