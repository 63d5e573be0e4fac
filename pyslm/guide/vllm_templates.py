"""`VLLMConfigTemplates`: settings of servers, by where they run."""

from __future__ import annotations

import enum
import sys
from typing import Any

__all__ = ["DeploymentScenario", "VLLMConfigTemplates"]


class DeploymentScenario(enum.Enum):
    """Where a server runs."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION_LOW = "production_low"
    PRODUCTION_HIGH = "production_high"
    ENTERPRISE = "enterprise"


# memory, length, tensor and pipeline parallel, quantization, prefix cache, sequences, tokens
_SETTINGS: dict[DeploymentScenario, tuple[Any, ...]] = {
    DeploymentScenario.DEVELOPMENT: (0.6, 2048, 1, 1, None, False, 32, 2048),
    DeploymentScenario.STAGING: (0.8, 4096, 1, 1, "awq", True, 64, 4096),
    DeploymentScenario.PRODUCTION_LOW: (0.85, 4096, 1, 1, "awq", True, 128, 8192),
    DeploymentScenario.PRODUCTION_HIGH: (0.9, 8192, 2, 1, "awq", True, 256, 16384),
    DeploymentScenario.ENTERPRISE: (0.95, 16384, 4, 2, "awq", True, 512, 32768),
}
_NAMES = (
    "gpu_memory_utilization", "max_model_len", "tensor_parallel_size", "pipeline_parallel_size",
    "quantization", "enable_prefix_caching", "max_num_seqs", "max_num_batched_tokens",
)  # fmt: skip
_MORE: dict[DeploymentScenario, dict[str, Any]] = {
    DeploymentScenario.PRODUCTION_LOW: {"enable_chunked_prefill": True},
    DeploymentScenario.PRODUCTION_HIGH: {
        "enable_chunked_prefill": True,
        "speculative_model": "small_draft_model",
    },
    DeploymentScenario.ENTERPRISE: {
        "enable_chunked_prefill": True,
        "speculative_model": "optimized_draft_model",
        "guided_decoding_backend": "outlines",
    },
}
_ALWAYS = (
    "gpu_memory_utilization", "max_model_len", "tensor_parallel_size", "max_num_seqs",
    "max_num_batched_tokens",
)  # fmt: skip
_SWITCHES = ("enable_prefix_caching", "enable_chunked_prefill")


class VLLMConfigTemplates:
    """Settings, and commands of them."""

    @staticmethod
    def get_config_template(scenario: DeploymentScenario | str) -> dict[str, Any]:
        """Of a scenario: vLLM's names of settings -> values.

        Raises:
            ValueError: there is no such scenario.
        """
        # Also of another enum with the same values, as the guide's own.
        known = DeploymentScenario(getattr(scenario, "value", scenario))
        return dict(zip(_NAMES, _SETTINGS[known], strict=True)) | _MORE.get(known, {})

    @staticmethod
    def generate_vllm_command(
        model_name: str,
        scenario: DeploymentScenario | str,
        port: int = 8000,
        host: str = "0.0.0.0",
    ) -> list[str]:
        """The command of a server, which our own runs: see `pyslm.guide.vllm_server`."""
        config = VLLMConfigTemplates.get_config_template(scenario)
        command = [sys.executable, "-m", "pyslm.guide.vllm_server"]
        command += ["--model", model_name, "--host", host, "--port", str(port)]
        chosen = [*_ALWAYS, "quantization", "speculative_model", "guided_decoding_backend"]
        if config["pipeline_parallel_size"] > 1:
            chosen.append("pipeline_parallel_size")
        for name in chosen:
            if config.get(name):
                command += [_flag(name), str(config[name])]
        command += ["--trust-remote-code", "--disable-log-requests"]
        return command + [_flag(name) for name in _SWITCHES if config.get(name)]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
