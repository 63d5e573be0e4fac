"""Servers begin and end, models come and go."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from serve.server_process import ServerProcess, wait_until

from pyslm.errors import ModelNotFoundError
from pyslm.serve.config import ServeConfig
from pyslm.serve.server import serve

REQUEST: dict[str, Any] = {"model": "", "prompt": "Once", "extra_body": {"ignore_eos": True}}


def test_sigterm_lets_running_requests_end(long_model: Path) -> None:
    server = ServerProcess(long_model, "--ctx", 4000)
    chunks = server.openai().completions.create(**REQUEST, max_tokens=2500, stream=True)
    next(chunks)
    workers = server.workers()
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: _refuses(server), 2)
    rest = list(chunks)
    assert rest[-1].choices[0].finish_reason == "length"
    assert server.stop() == 0
    assert not any(worker.is_running() for worker in workers)


def test_signals_while_it_ends_leave_nothing_behind(chat_model: Path, tmp_path: Path) -> None:
    """An impatient supervisor sends more than one."""
    server = ServerProcess(chat_model, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    while server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    assert server.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_sigterm_while_models_load_stops(long_model: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pyslm", "serve", str(long_model), "--port", "0"],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    wait_until(lambda: list(tmp_path.glob("*/*")) or process.poll() is not None, 30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []


def _refuses(server: ServerProcess) -> bool:
    try:
        server.openai().models.list()
    except openai.APIConnectionError:
        return True
    return False


def test_a_second_sigterm_stops_at_once(long_model: Path) -> None:
    server = ServerProcess(long_model, "--ctx", 60_000)
    chunks = server.openai().completions.create(**REQUEST, max_tokens=50_000, stream=True)
    next(chunks)
    workers = server.workers()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.process.poll() is None
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 3
    wait_until(lambda: not any(worker.is_running() for worker in workers), 3)


def test_a_killed_front_takes_its_workers_along(chat_model: Path) -> None:
    server = ServerProcess(chat_model)
    workers = server.workers()
    assert len(workers) == 1
    server.stop(signal.SIGKILL)
    wait_until(lambda: not any(_alive(worker) for worker in workers), 5)


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_port_in_use_is_told_in_one_line(server: ServerProcess, chat_model: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    told = subprocess.run(
        [sys.executable, "-m", "pyslm", "serve", str(chat_model), "--port", port],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 1
    assert port in told.stderr


def test_a_missing_model_is_told_in_one_line(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pyslm", "serve", str(tmp_path / "no.gguf"), "--port", "0"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert told.returncode == 2
    assert "no.gguf" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_sockets_are_private_and_gone_afterwards(chat_model: Path, tmp_path: Path) -> None:
    server = ServerProcess(chat_model, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert server.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_concurrent_requests_share_their_steps(server: ServerProcess) -> None:
    """Each gets what it would get alone."""
    client = server.openai()

    def ask(prompt: str) -> str:
        answer = client.completions.create(
            model="stories", prompt=prompt, max_tokens=40, temperature=0
        )
        return answer.choices[0].text

    prompts = [f"Once there was a {name}" for name in ("dog", "cat", "bird", "fish", "girl")]
    alone = {prompt: ask(prompt) for prompt in prompts}
    found: dict[str, str] = {}
    threads = [threading.Thread(target=lambda p=p: found.__setitem__(p, ask(p))) for p in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_server_without_models_says_so() -> None:
    server = ServerProcess()
    try:
        assert server.openai().models.list().data == []
        with pytest.raises(openai.NotFoundError, match="none"):
            server.openai().completions.create(model="x", prompt="A")
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("model", ["chat", "none"])
def test_signals_mean_afterwards_what_they_meant(
    chat_model: Path, tmp_path: Path, model: str
) -> None:
    """Of a server that is called from a program which goes on."""
    path = chat_model if model == "chat" else tmp_path / "none.gguf"
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]

    def end(url: str) -> None:
        assert url.startswith("http://127.0.0.1:")
        signal.raise_signal(signal.SIGTERM)

    with contextlib.nullcontext() if model == "chat" else pytest.raises(ModelNotFoundError):
        serve(ServeConfig(models=(str(path),), port=0, weight_cache=False), end)
    assert [signal.getsignal(number) for number in numbers] == before
