"""API keys: 256 random bits, shown once, kept as SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import platformdirs

from pyslm.errors import InvalidRequestError, ModelFileError
from pyslm.serve.caller import SCOPES, Caller, Scope

__all__ = ["KeyFile", "KeyRecord", "KeyRing", "default_keys_path", "new_key"]

_PREFIX = "pyslm-"


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One key, without the key."""

    id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...] = SCOPES
    created: float
    expires: float | None = None
    """Seconds since 1970."""
    revoked: bool = False

    @property
    def is_valid(self) -> bool:
        """Neither revoked nor expired."""
        return not self.revoked and (self.expires is None or time.time() < self.expires)


def default_keys_path() -> Path:
    """The user's own file of keys."""
    return Path(platformdirs.user_config_dir("pyslm")) / "keys.json"


def new_key(
    name: str, scopes: Sequence[Scope] = SCOPES, days: float | None = None
) -> tuple[str, KeyRecord]:
    """A key, which is to be shown once, and its record, which is to be kept."""
    key = _PREFIX + secrets.token_urlsafe(32)
    now = time.time()
    record = KeyRecord(
        id=secrets.token_hex(4),
        name=name,
        sha256=_digest(key),
        scopes=tuple(scopes),
        created=now,
        expires=None if days is None else now + days * 86400,
    )
    return key, record


class KeyFile:
    """Records on disk, readable by their user alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[KeyRecord]:
        """All records; none where there is no file.

        Raises:
            ModelFileError: it cannot be read.
            InvalidRequestError: it is damaged.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=list[KeyRecord])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as error:
            raise InvalidRequestError(f"{self.path} is damaged: {error}") from None
        except OSError as error:
            raise ModelFileError(f"{self.path} cannot be read: {error.strerror}") from None

    def write(self, records: Sequence[KeyRecord]) -> None:
        """Puts these in place of what is there, at once."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(list(records))))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)

    def stamp(self) -> tuple[int, int] | None:
        """Changes when the file does."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino


class KeyRing:
    """The keys that a server takes. Keys revoked in the file stop working at the next request."""

    def __init__(self, keys: Sequence[str] = (), file: KeyFile | None = None) -> None:
        """Keys of the command line or the environment, and those of a file."""
        now = time.time()
        self._given = [
            KeyRecord(id=f"given-{i}", name=f"given-{i}", sha256=_digest(key), created=now)
            for i, key in enumerate(keys)
        ]
        self._file = file
        self._stamp = file.stamp() if file else None
        self._records = [*self._given, *(file.read() if file else ())]

    @property
    def is_empty(self) -> bool:
        """Whether no key is asked for. A file whose keys are all revoked still asks for one."""
        return not self._records

    def caller(self, key: str) -> Caller | None:
        """Whose key this is; None for an unknown, revoked or expired one.

        Takes the same time for each wrong key: digests are compared, all of them, each whole.
        """
        self._refresh()
        digest = _digest(key).encode()
        found: KeyRecord | None = None
        for record in self._records:
            if hmac.compare_digest(digest, record.sha256.encode()):
                found = record
        if found is None or not found.is_valid:
            return None
        return Caller(found.id, found.sha256[:32], frozenset(found.scopes))

    def _refresh(self) -> None:
        if self._file is None:
            return
        stamp = self._file.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._records = [*self._given, *self._file.read()]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
