"""The model that comes with the package: `nano`, which does agent work and nothing else.

There is a model before there is a network: its file is package data, beside the report of how it
was made and how well it does. `python -m pyslm.finetune.release` writes them::

    pyslm/hub/nano/pyslm-nano.gguf  report.json  loss.svg  loss.jsonl

PYSLM_NANO names another file to be `nano`, as `pyslm finetune` writes them, or is "none". Where
there is no file, as in a source tree before the first release, `nano` is a name like any other.
"""

from __future__ import annotations

import functools
import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyslm.errors import InvalidRequestError
from pyslm.hub.names import EMBEDDED

if TYPE_CHECKING:
    from pyslm.hub.stored import StoredModel

__all__ = [
    "FILE",
    "LOSSES",
    "LOSS_PLOT",
    "REPORT",
    "default_model",
    "embedded_folder",
    "embedded_model",
    "embedded_path",
    "embedded_report",
    "is_embedded",
]

FILE, REPORT, LOSS_PLOT, LOSSES = "pyslm-nano.gguf", "report.json", "loss.svg", "loss.jsonl"
_NAME = EMBEDDED[0]
_VARIABLE = "PYSLM_NANO"


def embedded_folder() -> Path:
    """Where the package keeps the model; it need not exist."""
    return Path(str(resources.files("pyslm.hub").joinpath("nano")))


def embedded_path() -> Path | None:
    """The model's file; None where this package has none.

    Raises:
        InvalidRequestError: PYSLM_NANO names a file that is not there.
    """
    chosen = os.environ.get(_VARIABLE, "")
    if chosen.lower() == "none":
        return None
    if chosen:
        path = Path(chosen).expanduser()
        if not path.is_file():
            raise InvalidRequestError(
                f'{_VARIABLE} names {path}, which is not a file; name a GGUF file, or "none"'
            )
        return path
    path = embedded_folder() / FILE
    return path if path.is_file() else None


def is_embedded(name: str) -> bool:
    """Whether a name means the model of the package, and there is one."""
    return name.lower().removesuffix(":latest") in EMBEDDED and embedded_path() is not None


def default_model() -> str | None:
    """What is taken where no model is named; None: nothing."""
    return None if embedded_path() is None else _NAME


def embedded_model() -> StoredModel | None:
    """As the store has it."""
    from pyslm.hub.stored import StoredModel

    path = embedded_path()
    if path is None:
        return None
    about = path.stat()
    return StoredModel(
        name=_NAME,
        path=path,
        digest=_digest(path, about.st_mtime_ns, about.st_size),
        size_bytes=about.st_size,
        modified=about.st_mtime,
        origin="package",
    )


def embedded_report() -> dict[str, Any] | None:
    """How the model was made and how well it does; None where nothing is told of this file."""
    try:
        text = (embedded_folder() / REPORT).read_text(encoding="utf-8")
    except OSError:
        return None
    report: dict[str, Any] = json.loads(text)
    model = embedded_model()
    return report if model is not None and model.digest == report["sha256"] else None


@functools.lru_cache(maxsize=4)
def _digest(path: Path, _modified: int, _size: int) -> str:
    from pyslm.hub.manifests import sha256_of

    return sha256_of(path)
