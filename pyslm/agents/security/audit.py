"""What agents did, in a file that shows when it was tampered with.

One JSON object a line. Each holds the hash of the one before, and is signed (Ed25519); beside the
log lies its signed head, which says where it ends::

    entry n:  {"seq": n, ..., "prev": hash of n-1, "hash": SHA-256 of all this, "sig": ...}
    log.head: {"log": id, "seq": n, "hash": hash of n, "sig": ...}

An edit breaks a hash, a deletion the chain, a cut at the end the head; without the key none of them
can be mended. Whoever has the key, or puts back an older log together with its older head, is found
only by what was written down elsewhere: see `expect` of `audit_verify`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import re
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pyslm.agents.security.audit_entry import (
    hash_of,
    head_path,
    is_signed,
    parsed,
    read_head,
    sign,
    verifies,
)
from pyslm.errors import AuditError

try:
    import fcntl
except ImportError:  # Windows: one process a log
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "AuditLog",
    "default_audit",
    "default_audit_path",
    "load_key",
]

_OWN = ("seq", "time", "prev", "hash", "sig")
_TAIL_BYTES = 1 << 16
_SECRET = "[SECRET]"
_SECRET_NAME = re.compile(r"(?i)(?:^|[_-])(?:token|secret|password|passphrase|pin|api[_-]?key)$")


def default_audit_path() -> Path:
    """The user's own log; PYSLM_STATE_DIR names another folder."""
    chosen = os.environ.get("PYSLM_STATE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute() / "audit.jsonl"
    import platformdirs

    return Path(platformdirs.user_data_dir("pyslm")) / "audit.jsonl"


def load_key(path: Path) -> Ed25519PrivateKey:
    """The signing key in a file that only its user can read; made if it is not there.

    Raises:
        AuditError: it is no key, or others can read it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            made = Ed25519PrivateKey.generate().private_bytes_raw()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(base64.b64encode(made) + b"\n")
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise AuditError(f"{path} can be read by others; run: chmod 600 {path}")
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise AuditError(f"{path} cannot be used as a signing key: {error}") from None


class AuditLog:
    """Appends entries. Thread-safe; several processes may write one log.

    Args:
        path: the log; its head lies beside it.
        key: what signs it. None: `audit.key` beside the log.

    Raises:
        AuditError: the log cannot be written, or lacks what its head says.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: Ed25519PrivateKey | None = None,
    ) -> None:
        self.path = Path(path)
        self._key = key or load_key(self.path.with_name("audit.key"))
        self._lock = threading.Lock()
        self._end = -1  # bytes of the log when this process wrote last
        self._seq, self._hash, self._id = -1, "", ""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            self._file = os.fdopen(descriptor, "r+b", buffering=0)
        except OSError as error:
            raise AuditError(f"{path} cannot be written: {error.strerror}") from None
        try:
            with self._locked():
                self._catch_up()
                if self._seq < 0:
                    self._id = secrets.token_hex(16)
                    self._write({"event": "opened", "log": self._id, "key": self.public_key})
        except BaseException:
            self._file.close()
            raise
        weakref.finalize(self, self._file.close)  # of logs that nobody closed

    @property
    def public_key(self) -> str:
        """What verifies the log, in hexadecimal."""
        return self._key.public_key().public_bytes_raw().hex()

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the last entry: worth keeping elsewhere."""
        return self._seq, self._hash

    def add(self, event: str, redact: Callable[[str], str] | None = None, /, **fields: Any) -> None:
        """Appends an entry; it is in the file when this returns.

        Args:
            redact: changes each text before it is written.

        Raises:
            AuditError: it cannot be written.
        """
        said = {n: _cleaned(value, redact) for n, value in fields.items() if value is not None}
        entry = {"event": event, **said}
        wrong = [name for name in fields if name in _OWN]
        if wrong:
            raise AuditError(f"an entry has a field {wrong[0]!r}, which the log sets itself")
        with self._locked():
            self._catch_up()
            self._write(entry)

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._file.close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            try:
                if fcntl is not None:
                    fcntl.flock(self._file, fcntl.LOCK_EX)
                try:
                    yield
                finally:
                    if fcntl is not None:
                        fcntl.flock(self._file, fcntl.LOCK_UN)
            except (OSError, ValueError) as error:
                raise AuditError(f"{self.path} cannot be written: {error}") from error

    def _catch_up(self) -> None:
        """Learns where the log ends, if it is not where this process left it."""
        size = os.fstat(self._file.fileno()).st_size
        if size == self._end:
            return
        dropped = _drop_partial_line(self._file, size)
        last = _last_entry(self._file)
        head = read_head(self.path)
        if last is None and head is None:
            return
        sealed = -1 if head is None else head.get("seq", -1)
        found = -1 if last is None else last.get("seq")
        key = self._key.public_key()
        if found not in (sealed, sealed + 1):  # a writer may be ended before it writes the head
            raise AuditError(
                f"{self.path} ends with entry {found}, and its head says {sealed}: one of them was "
                "changed. Keep both as they are for inspection, and begin another log"
            )
        signed = head is None or verifies(key, str(head.get("sig")), hash_of(head))
        if last is None or not signed or not is_signed(last, key):
            raise AuditError(
                f"the end of {self.path} is not signed by this key; begin another log, or give the "
                "key that it was begun with"
            )
        self._seq, self._hash = last["seq"], last["hash"]
        self._id = self._id or str((head or {}).get("log") or _first_id(self._file))
        if dropped:
            self._write({"event": "recovered", "dropped_bytes": dropped})

    def _write(self, entry: Mapping[str, Any]) -> None:
        whole = {"seq": self._seq + 1, "time": time.time(), **entry, "prev": self._hash}
        whole["hash"] = hash_of(whole)
        whole["sig"] = sign(self._key, whole["hash"])
        line = json.dumps(whole, allow_nan=False).encode("ascii")  # any text comes back as it was
        self._file.seek(0, os.SEEK_END)
        self._file.write(line + b"\n")
        self._end = self._file.tell()
        self._seq, self._hash = whole["seq"], whole["hash"]
        self._write_head()

    def _write_head(self) -> None:
        head: dict[str, Any] = {"log": self._id, "seq": self._seq, "hash": self._hash}
        head["sig"] = sign(self._key, hash_of(head))
        target = head_path(self.path)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
        os.replace(fresh, target)


def _cleaned(value: Any, redact: Callable[[str], str] | None) -> Any:
    """What JSON can say, redacted."""
    if isinstance(value, str):
        return redact(value) if redact else value
    if isinstance(value, Mapping):
        return {
            _cleaned(str(k), redact): _SECRET
            if redact and isinstance(v, str) and _SECRET_NAME.search(str(k))
            else _cleaned(v, redact)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_cleaned(each, redact) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < 1e15:  # no NaN; and longer ones are cards
        written = _cleaned(str(value), redact)
        return value if written == str(value) else written
    return _cleaned(str(value), redact)


@functools.cache
def default_audit() -> AuditLog:
    """The user's own, opened at first use."""
    return AuditLog(default_audit_path())


def _drop_partial_line(file: BinaryIO, size: int) -> int:
    """What a killed writer has left; gives how many bytes."""
    start = max(0, size - _TAIL_BYTES)
    file.seek(start)
    tail = file.read(size - start)
    end = tail.rfind(b"\n") + 1
    if end == len(tail) or (end == 0 and start > 0):
        return 0
    os.ftruncate(file.fileno(), start + end)
    return len(tail) - end


def _last_entry(file: BinaryIO) -> dict[str, Any] | None:
    size = os.fstat(file.fileno()).st_size
    length = _TAIL_BYTES
    while size:
        file.seek(max(0, size - length))
        lines = file.read(length).splitlines()
        if len(lines) > 1 or length >= size:
            return parsed(lines[-1]) or {}
        length *= 4
    return None


def _first_id(file: BinaryIO) -> str:
    file.seek(0)
    return str((parsed(file.readline(_TAIL_BYTES)) or {}).get("log", ""))
