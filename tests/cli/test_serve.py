"""What `pyslm serve` says before it serves."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from pyslm.cli import invoke
from pyslm.cli.serve import parse_bytes
from pyslm.errors import InvalidRequestError


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec

    def without_fastapi(name: str, *rest: Any) -> Any:
        return None if name == "fastapi" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without_fastapi)
    assert invoke(["serve"]) == 2
    told = capsys.readouterr().err
    assert "pip install 'pyslm[serve]'" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("500", 500), ("1K", 1024), ("1.5M", 3 << 19), ("8G", 8 << 30), ("2GiB", 2 << 30)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1X", "G", "nan", "inf"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="500M"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--keep-alive", "soon"], "keep_alive"),
        (["--rate-limit", "often"], "60/minute"),
        (["--memory-budget", "lots"], "500M"),
        (["--port", "70000"], "65535"),
    ],
)
def test_bad_options_are_told_in_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1
