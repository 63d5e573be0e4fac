"""The scripts run from end to end, as a person starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from load.transcripts import read_transcript, turns
from stories import long_stories, stories

from pyslm.tokenizer import load_tokenizer

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
QUICK = ["--rounds", "1", "--threads", "1", "--json"]


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # A safe path (see tests/conftest.py) would leave out the script's own folder.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *map(str, arguments)],
        env=environment | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def answer(script: str, *arguments: str | Path) -> Any:
    done = run(script, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "load", [["--concurrency", "3"], ["--rate", "200"]], ids=lambda load: load[0]
)
def test_load(shared: Path, load: list[str]) -> None:
    limits = ["--goodput", "ttft:60000", "--goodput", "e2el:60000"]
    figures = answer("serving.py", "load", stories(shared), "-n", "8", *load, *limits, "--json")
    assert figures["requests"] == 8
    assert figures["goodput_per_second"] == figures["requests_per_second"]
    assert 0 < figures["ttft_ms"]["p50"] <= figures["e2el_ms"]["p50"]
    assert figures["output_tokens_per_second"] < figures["total_tokens_per_second"]


def test_the_table_names_its_figures(shared: Path) -> None:
    done = run("serving.py", "load", stories(shared), "-n", "2", "--concurrency", "1")
    assert done.returncode == 0, done.stderr
    for name in ("TTFT", "TPOT", "ITL", "E2EL", "p99", "goodput", "per second"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give --concurrency or --rate"),
        (["--rate", "0"], "more than 0"),
        (["--concurrency", "1", "--mix", "talk"], "allowed: chat"),
        (["--concurrency", "1", "--goodput", "itl:5"], "itl:5"),
        (["--concurrency", "1", "--mix", "agent"], "the context holds 512"),
    ],
)
def test_what_makes_no_sense_is_refused(shared: Path, arguments: list[str], told: str) -> None:
    done = run("serving.py", "load", stories(shared), *arguments)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_targets(shared: Path, tmp_path: Path) -> None:
    report = answer("serving.py", "targets", long_stories(shared, tmp_path), *QUICK)
    measured = {row["name"]: row for row in report["targets"]}
    assert list(measured) == [
        "streams", "mixed", "prefix", "greedy", "top-p", "guided-1", "guided-16",
    ]  # fmt: skip
    assert measured["prefix"]["value"] > 1  # of 2048 tokens one is left to compute
    for name in ("greedy", "top-p"):
        assert 0 < measured[name]["value"] < 100
    for row in measured.values():
        assert row["met"] == (
            row["value"] >= row["target"]
            if row["unit"] == "times"
            else row["value"] < row["target"]
        )


def test_speculation(shared: Path, tmp_path: Path) -> None:
    text = "One day, Lily went to the park with her mom and saw a big red ball."
    lines = [{"role": "user", "content": "Tell."}, {"role": "assistant", "content": text}]
    transcript = tmp_path / "again.jsonl"
    transcript.write_text("".join(json.dumps(line) + "\n" for line in lines * 2))
    model = long_stories(shared, tmp_path)
    report = answer("speculation.py", model, "--folder", tmp_path, *QUICK)
    replay, floor = report["parts"]
    (row,) = replay["rows"]
    tokenizer = load_tokenizer(model)
    answers = [turn.answer for turn in turns(read_transcript(transcript), tokenizer)]
    assert row["tokens"] == sum(map(len, answers)) - 2  # the first of each is the prompt's
    assert replay["value"] == row["ratio"]
    assert [row["tokens"] for row in floor["rows"]] == [63, 4 * 63, 16 * 63] * 2
    # How much is guessed depends on the machine; that little of it is right does not.
    assert all(1 <= row["tokens_per_step"] < 1.5 for row in floor["rows"])


def test_an_unknown_transcript_is_refused(shared: Path) -> None:
    done = run("speculation.py", stories(shared), "--transcript", "nowhere")
    assert done.returncode != 0
    assert "travel" in done.stderr


@pytest.mark.compare
def test_side_by_side_with_llama_cpp(shared: Path, tmp_path: Path) -> None:
    peer = os.environ.get("PYSLM_PEER_PYTHON")
    if not peer:
        pytest.skip("PYSLM_PEER_PYTHON names no interpreter with llama-cpp-python")
    file = tmp_path / "rows.json"
    # One thread each: llama.cpp's spin, and the tests share their machine.
    done = run(
        "compare/serving.py", stories(shared), "--peer", peer, "--threads", "1", "--requests", "3",
        "--concurrency", "2", "--rounds", "1", "--mix", "write", "--json", file,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert [row["figure"] for row in rows][:3] == [
        "output tokens per second", "total tokens per second", "TTFT p50, ms",
    ]  # fmt: skip
    assert all(row["ratio"] > 0 for row in rows)
