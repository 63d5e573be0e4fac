"""A process that holds one engine: commands and answers are lines of JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class Worker:
    """A process that holds one engine and one model."""

    def __init__(self, python: str, script: str, **config: Any) -> None:
        self.process = subprocess.Popen(
            # -P: this folder holds a llama_cpp.py, which must not hide the package.
            [python, "-P", str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.load_seconds = float(self.ask(config)["load_seconds"])

    def ask(self, message: Any) -> Any:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise SystemExit(f"worker ended with code {self.process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()
