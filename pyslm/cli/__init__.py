"""The command `pyslm`: one file for each group of verbs.

Exit codes: 0 done; 1 a fault of pyslm; 2 bad input, told in one line; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer

from pyslm.errors import EngineError, PyslmError

__all__ = ["main"]

EXIT_FAULT = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

# The base of typer's usage errors; which module it lives in differs between releases of typer.
_ClickException: type[Exception] = next(
    cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException"
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits."""
    _make_streams_tolerant()
    sys.exit(invoke(list(sys.argv[1:] if arguments is None else arguments)))


def invoke(
    arguments: list[str], build: Callable[[], typer.Typer] | None = None, name: str = "pyslm"
) -> int:
    """Runs one command line; gives its exit code. Errors are told on stderr in one line.

    Args:
        build: makes the commands; default: those of pyslm.
        name: what the program is called.
    """
    from pyslm.cli.app import build_app

    try:
        code = (build or build_app)()(arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except _ClickException as error:
        if not str(error):  # a group of verbs without a verb: its help has been shown
            return EXIT_BAD_INPUT
        return _bad_input(_usage_message(error))
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit as leaving:  # what typer makes of a broken pipe
        if isinstance(leaving.__context__, BrokenPipeError):
            return _reader_gone()
        raise
    except EngineError as error:
        return _fault(str(error))
    except (PyslmError, OSError) as error:
        return _bad_input(str(error))
    except MemoryError as error:
        return _bad_input(f"out of memory: {error}")
    except Exception as error:
        return _fault(f"{type(error).__name__}: {error}")


def _reader_gone() -> int:
    """As `head` goes; keeps the interpreter from flushing into the closed pipe at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _bad_input(message: str) -> int:
    _tell(message)
    return EXIT_BAD_INPUT


def _fault(message: str) -> int:
    if os.environ.get("PYSLM_DEBUG"):
        raise
    _tell(f"{message} (a fault of pyslm: PYSLM_DEBUG=1 shows where; please report it)")
    return EXIT_FAULT


def _tell(message: str) -> None:
    one_line = " ".join(message.split())
    print(f"pyslm: error: {one_line}", file=sys.stderr)


def _usage_message(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or "pyslm"
    message: str = getattr(error, "format_message", lambda: str(error))()
    return f"{message.rstrip('.')}; see `{command} --help`"


def _make_streams_tolerant() -> None:
    """A terminal that cannot show a character shows "?" instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
