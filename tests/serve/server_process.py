"""A real `pyslm serve` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil

START_SECONDS = 60.0


class ServerProcess:
    """Runs until `stop`; its log is in `log`."""

    def __init__(self, *arguments: object, environment: dict[str, str] | None = None) -> None:
        if "--responses-db" not in arguments:  # never the user's own file
            arguments = (*arguments, "--responses-db", ":memory:")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pyslm", "serve", "--port", "0", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.lines: list[str] = []
        self._clients: list[openai.OpenAI] = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "serves at" not in line:
            self.stop()
            raise AssertionError(f"the server did not start: {self.log}")
        self.url = line.split("serves at ")[1].split()[0]

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    @property
    def log(self) -> str:
        """What it has written to stderr."""
        return "".join(self.lines)

    def openai(self, **options: Any) -> openai.OpenAI:
        """A client that does not try again."""
        settings = {"api_key": "none", "max_retries": 0, "timeout": 60.0, **options}
        client = openai.OpenAI(base_url=f"{self.url}/v1", **settings)
        self._clients.append(client)
        return client

    def http(self, **options: Any) -> httpx.Client:
        """A plain client."""
        return httpx.Client(base_url=self.url, timeout=60.0, trust_env=False, **options)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        with self.http() as client:
            page = client.get("/metrics").text
        values = [
            float(line.rsplit(" ", 1)[1])
            for line in page.splitlines()
            if line.startswith((f"pyslm:{name} ", f"pyslm:{name}{{"))
        ]
        return sum(values)

    def workers(self) -> list[psutil.Process]:
        """The processes of its models."""
        return [
            child
            for child in psutil.Process(self.process.pid).children()
            if child.status() != psutil.STATUS_ZOMBIE
        ]

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Ends it; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            code = self.process.wait(45)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        for client in self._clients:
            client.close()
        self._reader.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Waits for something to become true; gives how long it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"still not so after {seconds:g} s")
        time.sleep(0.01)
    return time.monotonic() - began


def free_copy(model: Path, folder: Path, name: str) -> Path:
    """The same model under another name."""
    copy = folder / name
    copy.write_bytes(model.read_bytes())
    return copy
