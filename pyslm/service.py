"""One `pyslm serve` in the background, which other programs of the user find.

Where it listens stands in `service.json` of the user's state directory (PYSLM_STATE_DIR names
another), beside its log. The server writes the file itself once it takes requests, and removes it
as it ends; a file whose server does not answer is as good as none.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from pyslm.errors import ServiceError

__all__ = ["Service", "announce", "find", "log_path", "start", "state_path", "stop", "withdraw"]

START_SECONDS = 120.0
STOP_SECONDS = 40.0
_ANSWER_SECONDS = 3.0
_LOG_LINES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """A server that runs in the background."""

    pid: int
    url: str
    started: float
    """Seconds since 1970."""
    arguments: tuple[str, ...]
    """Of the command."""
    command: str = "serve"
    """The verb of `pyslm` that runs: serve, or deploy."""


def state_path() -> Path:
    """The file that says where the service listens; it need not exist."""
    return _directory() / "service.json"


def log_path() -> Path:
    """What the service writes; it need not exist."""
    return _directory() / "service.log"


def _directory() -> Path:
    chosen = os.environ.get("PYSLM_STATE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("pyslm"))


def announce(path: Path, url: str, arguments: Sequence[str], command: str = "serve") -> None:
    """Writes the state file of this process, in one step."""
    service = Service(os.getpid(), url, time.time(), tuple(arguments), command)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(dataclasses.asdict(service)))
    partial.replace(path)


def withdraw(path: Path) -> None:
    """Removes the state file, if it is of this process."""
    service = _read(path)
    if service is not None and service.pid == os.getpid():
        path.unlink(missing_ok=True)


def _read(path: Path) -> Service | None:
    try:
        fields = json.loads(path.read_text())
        return Service(**{**fields, "arguments": tuple(fields["arguments"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def find() -> Service | None:
    """The service that runs, or None. Asks it."""
    service = _read(state_path())
    if service is None or not _answers(service.url):
        return None
    return service


def _answers(url: str) -> bool:
    request = urllib.request.Request(f"{url}/health")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # it is there, if only to say that it is stopping
    except OSError as error:  # a certificate that this machine does not know is an answer, too
        return isinstance(getattr(error, "reason", None), ssl.SSLError)


def _lives(service: Service) -> bool:
    try:
        os.kill(service.pid, 0)
    except OSError:
        return False
    return True


def start(
    arguments: Sequence[str], seconds: float = START_SECONDS, command: str = "serve"
) -> Service:
    """Starts a verb of `pyslm` with these arguments; returns once it takes requests.

    Raises:
        ServiceError: one runs already, or it ended or did not answer; says what it wrote.
    """
    running = find()
    if running is not None:
        raise ServiceError(f"a service runs already at {running.url}; stop it first")
    state_path().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    words = [sys.executable, "-m", "pyslm", command, *map(_absolute, arguments)]
    with log_path().open("wb") as log:
        process = subprocess.Popen(
            [*words, "--state-file", str(state_path())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        service = _read(state_path())
        if service is not None and service.pid == process.pid:
            process.returncode = 0  # it goes on without us
            return service
        if process.poll() is not None:
            raise ServiceError(f"the service ended at once: {_last_words()}")
        time.sleep(0.02)
    process.terminate()
    raise ServiceError(f"the service did not take requests within {seconds:g} s; see {log_path()}")


def _absolute(argument: str) -> str:
    """Files by their whole path: a restart may come from another directory."""
    return os.path.abspath(argument) if os.path.isfile(argument) else argument


def _last_words() -> str:
    lines = log_path().read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-_LOG_LINES:]) or "it wrote nothing"


def stop(service: Service, seconds: float = STOP_SECONDS) -> None:
    """Ends a service as SIGTERM does: its running requests may end. Returns once it is gone.

    Raises:
        ServiceError: it is still there.
    """
    try:
        os.kill(service.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise ServiceError(f"process {service.pid} is not ours to end") from error
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not _answers(service.url) and (_read(state_path()) != service or not _lives(service)):
            return
        time.sleep(0.02)
    raise ServiceError(
        f"the service (process {service.pid}) still runs requests after {seconds:g} s; "
        "stop it again to end them"
    )
