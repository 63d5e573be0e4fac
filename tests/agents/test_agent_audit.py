"""The audit log: what was changed, removed or cut off is found."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyslm.agents import AuditLog, verify_log
from pyslm.errors import AuditError

COUNT = 12


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    written = AuditLog(path)
    for number in range(COUNT):
        written.add("call", tool="pay", arguments={"amount": number, "to": "Ånn \ud800"})
    written.close()
    return path


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def test_a_sound_log(log: Path) -> None:
    report = verify_log(log)
    assert report.is_sound
    assert (report.num_entries, report.remarks) == (COUNT + 1, ())
    assert report.head == AuditLog(log).head
    public = AuditLog(log).public_key
    assert verify_log(log, public, expect=report.head).is_sound
    for path in log.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def change(path: Path, edit: Callable[[list[str]], Any]) -> None:
    lines = lines_of(path)
    edit(lines)
    path.write_text("".join(lines))


@pytest.mark.parametrize("number", range(COUNT + 1))
def test_every_single_edit_is_found(log: Path, number: int) -> None:
    def edit(lines: list[str]) -> None:
        entry = json.loads(lines[number])
        entry["time"] += 1e-3
        lines[number] = json.dumps(entry) + "\n"

    change(log, edit)
    assert any(f"entry {number} was changed" in each for each in verify_log(log).problems)


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_every_changed_byte_is_found(log: Path, position: int) -> None:
    data = bytearray(log.read_bytes())
    at = len(lines_of(log)[0]) + position
    data[at] ^= 1
    log.write_bytes(data)
    assert not verify_log(log).is_sound


@pytest.mark.parametrize("number", range(COUNT + 1))
def test_every_deletion_is_found(log: Path, number: int) -> None:
    change(log, lambda lines: lines.pop(number))
    assert not verify_log(log).is_sound


@pytest.mark.parametrize("kept", range(COUNT + 1))
def test_every_truncation_is_found(log: Path, kept: int) -> None:
    change(log, lambda lines: lines.__delitem__(slice(kept, None)))
    assert any("cut off" in each for each in verify_log(log).problems)
    with pytest.raises(AuditError, match="head says"):
        AuditLog(log)  # nor does a writer go on, which would seal the loss


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: lines.reverse(),
        lambda lines: lines.insert(3, lines[5]),
        lambda lines: lines.append(lines[-1]),
        lambda lines: lines.insert(0, "{}\n"),
        lambda lines: lines.__setitem__(4, "garbage\n"),
        lambda lines: lines.__setitem__(4, "\n"),
        lambda lines: lines.__setitem__(slice(2, 4), []),
        lambda lines: lines.append('{"seq": 13}\n'),
    ],
)
def test_other_tampering_is_found(log: Path, edit: Callable[[list[str]], Any]) -> None:
    change(log, edit)
    assert not verify_log(log).is_sound


def test_entries_forged_without_the_key_are_found(log: Path, tmp_path: Path) -> None:
    """A whole new chain, hashes and all, under another key."""
    other = tmp_path / "other" / "audit.jsonl"
    forged = AuditLog(other)
    for _ in range(COUNT):
        forged.add("call", tool="harmless")
    shutil.copy(other, log)
    assert not verify_log(log).is_sound
    shutil.copy(other.with_name("audit.jsonl.head"), log.with_name("audit.jsonl.head"))
    assert not verify_log(log).is_sound
    with pytest.raises(AuditError, match="not signed by this key"):
        AuditLog(log)


def test_a_missing_or_changed_head_is_found(log: Path) -> None:
    head = log.with_name("audit.jsonl.head")
    kept = head.read_text()
    head.unlink()
    assert any("head is missing" in each for each in verify_log(log).problems)
    with pytest.raises(AuditError, match="head says"):
        AuditLog(log)
    for changed in (kept.replace('"seq": 12', '"seq": 11'), "{}", "garbage"):
        head.write_text(changed)
        assert not verify_log(log).is_sound


def test_an_old_log_with_its_old_head_is_found_by_what_is_known_elsewhere(log: Path) -> None:
    head = log.with_name("audit.jsonl.head")
    old = log.read_bytes(), head.read_bytes()
    written = AuditLog(log)
    written.add("call", tool="pay")
    known = written.head
    log.write_bytes(old[0])
    head.write_bytes(old[1])
    assert verify_log(log).is_sound  # by itself it is
    assert not verify_log(log, expect=known).is_sound


WRITER = """
import sys
from pyslm.agents import AuditLog
log = AuditLog(sys.argv[1])
while True:
    log.add("call", tool="x" * 3000)
    print(log.head[0], flush=True)
"""


def test_killed_writers_leave_a_sound_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(30):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        report = verify_log(path)
        assert report.is_sound, report.problems
        assert report.head is not None
        assert not told or report.head[0] >= int(told[-1])


def test_a_partial_line_is_told_and_recovered(log: Path) -> None:
    with log.open("ab") as file:
        file.write(b'{"seq": 13, "ti')
    report = verify_log(log)
    assert report.is_sound
    assert "not complete" in report.remarks[0]
    written = AuditLog(log)
    assert verify_log(log).is_sound
    assert json.loads(lines_of(log)[-1])["dropped_bytes"] == 15
    written.add("call")
    assert verify_log(log).num_entries == COUNT + 3


def test_several_writers_share_a_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    logs = [AuditLog(path) for _ in range(3)]

    def write(log: AuditLog) -> None:
        for _ in range(30):
            log.add("call")

    threads = [threading.Thread(target=write, args=(log,)) for log in logs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = verify_log(path)
    assert (report.problems, report.num_entries) == ((), 181)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(AuditError):
        AuditLog(tmp_path)
    with pytest.raises(AuditError, match="cannot be read"):
        verify_log(tmp_path / "none.jsonl", "00" * 32)
    with pytest.raises(AuditError, match="no key"):
        verify_log(tmp_path / "none.jsonl")
    key = tmp_path / "audit.key"
    key.write_text("short")
    key.chmod(0o600)
    with pytest.raises(AuditError, match="signing key"):
        AuditLog(tmp_path / "a.jsonl")
    key.chmod(0o644)
    with pytest.raises(AuditError, match="chmod 600"):
        AuditLog(tmp_path / "a.jsonl")


def test_fields_are_written_as_they_are_and_redacted_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.add("call", str.upper, arguments={"a": ["x", 1, None, True, float("nan"), 2**70]})
    log.add("call", arguments={"when": Path("x")}, nothing=None)
    one, two = (json.loads(line) for line in lines_of(path)[1:])
    assert one["arguments"] == {"A": ["X", 1, None, True, "NAN", str(2**70)]}
    assert two["arguments"] == {"when": "x"}
    assert "nothing" not in two
    assert verify_log(path).is_sound
    with pytest.raises(AuditError, match="'hash'"):
        log.add("call", hash="x")


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyslm.agents.security.audit import default_audit_path

    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path))
    assert default_audit_path() == tmp_path / "audit.jsonl"
    assert os.listdir(tmp_path) == []
