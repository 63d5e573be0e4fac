"""Bad input is one line on stderr and exit code 2, whatever the verb."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stories import LONG_CONTEXT, long_stories

from pyslm.cli import invoke

COMMAND = [sys.executable, "-m", "pyslm"]


@pytest.fixture
def stories(shared: Path) -> str:
    return str(shared / "models" / "stories260K.gguf")


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["run"],
        ["run", "absent.gguf", "hi"],
        ["run", ".", "hi"],
        ["run", __file__, "hi"],
        ["run", "MODEL", "hi", "--frob"],
        ["run", "MODEL", "hi", "--top-k", "-1"],
        ["run", "MODEL", "hi", "--top-k", "many"],
        ["run", "MODEL", "hi", "--top-p", "7"],
        ["run", "MODEL", "hi", "--temperature", "-1"],
        ["run", "MODEL", "hi", "--temperature", "nan"],
        ["run", "MODEL", "hi", "--max-tokens", "0"],
        ["run", "MODEL", "hi", "--seed", "-1"],
        ["run", "MODEL", "hi", "--threads", "0"],
        ["run", "MODEL", "hi", "--ctx", "-7"],
        ["run", "MODEL", "hi", "--ctx", "99999999999999999999"],
        ["run", "MODEL", "hi", "--kv-type", "f64"],
        ["run", "MODEL", "word " * 500, "--ctx", "64"],
        ["run", "MODEL", "hi", "--system", "be nice"],
        ["tokenize", "MODEL"],
        ["tokenize", "MODEL", "text", "--file", "also"],
        ["tokenize", "MODEL", "--file", "absent.txt"],
        ["embed", "MODEL"],
        ["embed", "absent.gguf", "text"],
        ["inspect", "absent.gguf"],
        ["perplexity", "MODEL", "absent.txt"],
        ["perplexity", "MODEL", __file__, "--ctx", "100000"],
        ["bench", "MODEL", "-b", "0"],
        ["bench", "MODEL", "-b", "x"],
        ["convert", "absent", "out.gguf"],
        ["quantize", "absent.gguf", "out.gguf", "Q4_0"],
        ["quantize", "MODEL", "MODEL", "Q4_0"],
        ["quantize", "MODEL", "out.gguf", "Q9_9"],
        ["quantize", "MODEL", "no/such/folder/out.gguf", "Q4_0"],
    ],
    ids=lambda arguments: " ".join(arguments)[:50].replace(__file__, "FILE"),
)
def test_one_line_and_two(
    arguments: list[str],
    stories: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code = invoke([stories if argument == "MODEL" else argument for argument in arguments])
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert err.startswith("pyslm: error: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir()), "bad input left a file behind"


def test_a_fault_is_one_line_and_one(
    stories: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the sky fell")

    monkeypatch.setattr("pyslm.tokenizer.load_tokenizer", broken)
    monkeypatch.delenv("PYSLM_DEBUG", raising=False)
    assert invoke(["tokenize", stories, "text"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("pyslm: error: RuntimeError: the sky fell")
    assert "PYSLM_DEBUG=1" in err
    monkeypatch.setenv("PYSLM_DEBUG", "1")
    with pytest.raises(RuntimeError, match="the sky fell"):
        invoke(["tokenize", stories, "text"])


def test_codes_of_a_real_process(stories: str) -> None:
    bad = subprocess.run([*COMMAND, "run", "absent.gguf", "hi"], capture_output=True, text=True)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "pyslm: error: absent.gguf: no such file; give the path of a GGUF file\n"
    good = subprocess.run([*COMMAND, "tokenize", stories, "a", "--ids"], capture_output=True)
    assert (good.returncode, good.stderr) == (0, b"")


def started(arguments: list[str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        # Whoever starts the tests in the background has it ignored, and so would the program.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_is_130(shared: Path, tmp_path: Path) -> None:
    model = str(long_stories(shared, tmp_path))
    arguments = ["run", model, "Once", "--max-tokens", "90000", "--ctx", str(LONG_CONTEXT)]
    with started(arguments) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.read(5)
        os.kill(run.pid, signal.SIGINT)
        since = time.monotonic()
        assert run.wait(30) == 130
        assert time.monotonic() - since < 5
        assert run.stderr.read() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX pipe")
def test_broken_pipe_is_quiet(shared: Path, tmp_path: Path) -> None:
    model = str(long_stories(shared, tmp_path))
    arguments = ["run", model, "Once", "--max-tokens", "90000", "--ctx", str(LONG_CONTEXT)]
    with started(arguments) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.read(5)
        run.stdout.close()
        assert run.wait(30) == 0
        assert run.stderr.read() == b""
