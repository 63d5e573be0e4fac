"""Finds out whether an audit log is what was written: `pyslm audit verify`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pyslm.agents.security.audit import load_key
from pyslm.agents.security.audit_entry import hash_of, is_signed, parsed, read_head, verifies
from pyslm.errors import AuditError

__all__ = ["AuditReport", "verify_log"]


@dataclasses.dataclass(frozen=True, slots=True)
class AuditReport:
    """What `verify_log` found."""

    num_entries: int
    problems: tuple[str, ...]
    """Each says what was tampered with, and where; none: the log is what was written."""
    remarks: tuple[str, ...]
    """Traces of writers that were killed, which are no tampering."""
    head: tuple[int, str] | None
    """Number and hash of the last entry."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was changed, removed or cut off."""
        return not self.problems


def verify_log(
    path: str | os.PathLike[str],
    public_key: str | None = None,
    *,
    expect: tuple[int, str] | None = None,
) -> AuditReport:
    """Reads a whole log and its head.

    Args:
        public_key: in hexadecimal. None: that of the key file beside the log.
        expect: number and hash of an entry that must be there, as it was written down elsewhere.

    Raises:
        AuditError: the log cannot be read, or there is no key to verify it with.
    """
    path = Path(path)
    key = _public_key(path, public_key)
    problems: list[str] = []
    remarks: list[str] = []
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {error.strerror}") from None
    lines = data.split(b"\n")
    if lines.pop():
        remarks.append("the last line is not complete: a writer was ended while writing it")
    chain = _Chain(key, problems)
    hashes = {}
    for number, line in enumerate(lines, 1):
        entry = chain.take(number, line)
        if entry is not None:
            hashes[entry.get("seq")] = entry.get("hash")
    _check_head(path, key, chain, problems, remarks)
    if expect is not None and hashes.get(expect[0]) != expect[1]:
        problems.append(f"entry {expect[0]} is not the one that was expected")
    last = (chain.seq, chain.hash) if chain.seq >= 0 else None
    return AuditReport(len(lines), tuple(problems), tuple(remarks), last)


class _Chain:
    """Follows the entries."""

    def __init__(self, key: Ed25519PublicKey, problems: list[str]) -> None:
        self.seq, self.hash, self.id = -1, "", ""
        self._key = key
        self._problems = problems

    def take(self, number: int, line: bytes) -> dict[str, Any] | None:
        entry = parsed(line)
        if entry is None:
            self._problems.append(f"line {number} is no entry: it was changed")
            self.seq += 1
            self.hash = ""
            return None
        seq = entry.get("seq")
        if seq != self.seq + 1:
            self._problems.append(
                f"line {number} holds entry {seq}, where {self.seq + 1} should be: entries were "
                "removed or moved"
            )
        elif entry.get("prev") != self.hash:
            self._problems.append(f"entry {seq} does not follow the one before it")
        if entry.get("hash") != hash_of(entry):
            self._problems.append(f"entry {seq} was changed")
        elif not is_signed(entry, self._key):
            self._problems.append(f"entry {seq} is not signed by the key of the log")
        if number == 1:
            self.id = str(entry.get("log", ""))
        self.seq = seq if isinstance(seq, int) else self.seq + 1
        self.hash = str(entry.get("hash"))
        return entry


def _check_head(
    path: Path,
    key: Ed25519PublicKey,
    chain: _Chain,
    problems: list[str],
    remarks: list[str],
) -> None:
    head = read_head(path)
    if head is None:
        problems.append("the signed head is missing: entries may have been cut off")
        return
    if not verifies(key, str(head.get("sig")), hash_of(head)) or head.get("log") != (
        chain.id or head.get("log")
    ):
        problems.append("the head is not of this log, or not signed by its key")
        return
    seq = head.get("seq", -1)
    if chain.seq < seq:
        problems.append(
            f"the log ends with entry {chain.seq} and the head says {seq}: entries were cut off"
        )
    elif chain.seq == seq and head.get("hash") != chain.hash:
        problems.append("the last entry is not the one that the head names")
    elif chain.seq == seq + 1:
        remarks.append("the head is one entry behind: a writer was ended before it wrote it")
    elif chain.seq > seq:
        problems.append(f"the head is of entry {seq}, and the log goes on: the head is an old one")


def _public_key(path: Path, given: str | None) -> Ed25519PublicKey:
    try:
        if given is not None:
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(given))
        file = path.with_name("audit.key")
        if not file.is_file():
            raise AuditError(f"there is no key to verify {path} with; give its public key")
        return load_key(file).public_key()
    except ValueError as error:
        raise AuditError(f"the public key is none: {error}") from None
