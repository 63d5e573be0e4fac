"""`pyslm audit`: is the log of what agents did what was written?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pyslm.cli.console import JsonOption
from pyslm.errors import InvalidRequestError

__all__ = ["audit_app"]

audit_app = typer.Typer(
    name="audit",
    help="The log of what agents did.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@audit_app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Default: the user's own log.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option("--public-key", help="Default: of audit.key beside the log.")
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="N:HASH", help="An entry that must be there."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find edits, deletions and cuts. Exit code 0: there are none; 1: there are."""
    from pyslm.agents.security.audit import default_audit_path
    from pyslm.agents.security.audit_verify import verify_log

    path = file or default_audit_path()
    report = verify_log(path, public_key, expect=None if expect is None else _expected(expect))
    head = None if report.head is None else f"{report.head[0]}:{report.head[1]}"
    if as_json:
        print(
            json.dumps(
                {
                    "sound": report.is_sound,
                    "entries": report.num_entries,
                    "head": head,
                    "problems": report.problems,
                    "remarks": report.remarks,
                }
            )
        )
    else:
        for remark in report.remarks:
            print(f"remark: {remark}")
        for problem in report.problems:
            print(f"problem: {problem}")
        state = "is sound" if report.is_sound else "was tampered with"
        print(f"{path} {state}: {report.num_entries} entries, head {head or 'none'}")
    raise typer.Exit(0 if report.is_sound else 1)


def _expected(text: str) -> tuple[int, str]:
    number, colon, digest = text.partition(":")
    if not colon or not number.isdigit() or not digest:
        raise InvalidRequestError(
            f"--expect is {text!r:.100}; allowed: the number, a colon, the hash"
        )
    return int(number), digest
