"""Writing a large file beside its final place, which it takes in one step when it is complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from pyslm.errors import InvalidRequestError, ModelFileError

__all__ = ["check_out", "check_space", "replacing"]


def check_out(out: Path, sources: list[Path]) -> None:
    """Raise InvalidRequestError unless `out` can become a file that is none of `sources`."""
    if out.is_dir():
        raise InvalidRequestError(f"{out} is a directory; give the name of the file to write")
    if not out.parent.is_dir():
        raise InvalidRequestError(f"{out.parent} is not a directory; make it first")
    if out.exists() and any(out.samefile(source) for source in sources):
        raise InvalidRequestError(f"{out} is the source; files are never quantized in place")


def check_space(out: Path, num_bytes: int) -> None:
    """Raise ModelFileError where the disk has no room for `num_bytes`."""
    free = shutil.disk_usage(out.parent).free
    if free < num_bytes:
        raise ModelFileError(
            f"{out} needs {num_bytes / 2**20:,.0f} MiB and {out.parent} has "
            f"{free / 2**20:,.0f} MiB free"
        )


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A file beside `out` that takes its place if all goes well, and is gone otherwise."""
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.replace(out)
    except OSError as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
