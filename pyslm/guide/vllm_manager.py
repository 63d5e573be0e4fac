"""`VLLMManager`: a server of one model, in a process of its own."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
import weakref
from typing import IO, TYPE_CHECKING, Any

from pyslm.errors import PyslmError
from pyslm.guide.server_client import ServerClient

if TYPE_CHECKING:
    import openai

__all__ = ["VLLMManager"]

_log = logging.getLogger(__name__)

START_SECONDS = 60.0
STOP_SECONDS = 45.0
API_KEY = "none"
_LOOK_SECONDS = 0.1
_LOG_BYTES = 2000


class VLLMManager:
    """A server with vLLM's settings and OpenAI's API; it ends with this process at the latest.

    Args:
        model_name: as Hugging Face names it; or a name of `pyslm list`, or a path.
        gpu_memory_utilization: share of the memory that it may take.
        max_model_len: tokens of prompt and reply.
        tensor_parallel_size: without effect; said in the server's log.
        quantization: vLLM's name of it ("awq", "fp8"), or ours; None: chosen for this machine.
    """

    def __init__(
        self,
        model_name: str,
        host: str = "localhost",
        port: int = 8000,
        gpu_memory_utilization: float = 0.8,
        max_model_len: int = 4096,
        tensor_parallel_size: int = 1,
        quantization: str | None = None,
    ) -> None:
        self.model_name = model_name
        self.host = host
        self.port = port
        self.base_url = f"http://{host}:{port}"
        self.gpu_memory_utilization = gpu_memory_utilization
        self.max_model_len = max_model_len
        self.tensor_parallel_size = tensor_parallel_size
        self.quantization = quantization
        self.process: subprocess.Popen[bytes] | None = None
        self.client: openai.OpenAI | None = None
        self.server = ServerClient(self.base_url)
        self._output: IO[bytes] | None = None
        self._ends: weakref.finalize[Any, Any] | None = None

    def command(self) -> list[str]:
        """That starts the server."""
        command = [
            sys.executable, "-m", "pyslm.guide.vllm_server",
            "--model", self.model_name,
            "--host", self.host,
            "--port", str(self.port),
            "--gpu-memory-utilization", str(self.gpu_memory_utilization),
            "--max-model-len", str(self.max_model_len),
            "--tensor-parallel-size", str(self.tensor_parallel_size),
            "--trust-remote-code",
            "--disable-log-requests",
            f"--served-model-name={self.get_served_model_name()}",  # may begin with "-"
            f"--served-model-name={self.model_name}",
        ]  # fmt: skip
        return [*command, "--quantization", self.quantization] if self.quantization else command

    def start_server(self) -> bool:
        """Starts it; True once it takes requests. What it said before it failed is logged."""
        if self.health_check():
            _log.error("Failed to start a server: port %d is taken", self.port)
            return False
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        try:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            _log.error("Failed to start a server: %s", error)
            return False
        self._ends = weakref.finalize(self, _end, self.process, self._output)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.health_check():
                self.get_openai_client()
                return True
            time.sleep(_LOOK_SECONDS)
        _log.error("Failed to start a server of %s: %s", self.model_name, self._last_words())
        self.shutdown()
        return False

    def get_served_model_name(self) -> str:
        """What clients call the model."""
        return self.model_name.replace("/", "--")

    def health_check(self) -> bool:
        """Whether it takes requests."""
        return self.server.is_healthy()

    def get_openai_client(self) -> openai.OpenAI:
        """OpenAI's own client of this server."""
        if self.client is None:
            import openai

            self.client = openai.OpenAI(base_url=f"{self.base_url}/v1", api_key=API_KEY)
        return self.client

    def get_model_info(self) -> dict[str, Any]:
        """What /v1/models says; empty where nobody answers."""
        try:
            answer: dict[str, Any] = self.server.ask("/v1/models")
        except PyslmError:
            return {}
        return answer

    def shutdown(self) -> None:
        """Ends the server; running requests may end."""
        if self.client is not None:
            self.client.close()
            self.client = None
        if self._ends is not None:
            self._ends()
        self.process = None

    def _last_words(self) -> str:
        assert self._output is not None
        self._output.seek(0)
        text = self._output.read()[-_LOG_BYTES:].decode("utf-8", "replace").strip()
        return " / ".join(text.splitlines()[-3:]) or "it said nothing"


def _end(process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    output.close()
