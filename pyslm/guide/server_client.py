"""What a running `pyslm serve` tells of itself: its models, and what it counts of them."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping
from typing import Any

import httpx

from pyslm.errors import ModelNotFoundError, ServiceError

__all__ = ["ModelCounts", "ServerClient"]

_HEALTH_SECONDS = 5.0
_ANSWER_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class ModelCounts:
    """Since the server was started."""

    successes: float = 0.0
    failures: float = 0.0
    latency_sum: float = 0.0
    """Seconds of all requests, those that failed on their way included."""
    latency_count: float = 0.0
    num_running: int = 0
    num_waiting: int = 0

    @property
    def requests(self) -> float:
        """All."""
        return self.successes + self.failures

    @property
    def error_percent(self) -> float:
        """Of all requests."""
        return 100 * self.failures / self.requests if self.requests else 0.0

    @property
    def average_seconds(self) -> float:
        """From a request to its end."""
        return self.latency_sum / self.latency_count if self.latency_count else 0.0

    def since(self, before: ModelCounts) -> ModelCounts:
        """What came after; running and waiting as they are now."""
        return dataclasses.replace(
            self,
            successes=self.successes - before.successes,
            failures=self.failures - before.failures,
            latency_sum=self.latency_sum - before.latency_sum,
            latency_count=self.latency_count - before.latency_count,
        )


_FIELDS = {
    "pyslm:request_success_total": "successes",
    "pyslm:request_failure_total": "failures",
    "pyslm:e2e_request_latency_seconds_sum": "latency_sum",
    "pyslm:e2e_request_latency_seconds_count": "latency_count",
    "pyslm:num_requests_running": "num_running",
    "pyslm:num_requests_waiting": "num_waiting",
}


class ServerClient:
    """Asks a server; waits for its answers. Usable from several threads."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        """
        Args:
            url: of the server, without "/v1".
        """
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # A server on this machine is not behind a proxy.
        self._http = httpx.Client(headers=headers, timeout=_ANSWER_SECONDS, trust_env=False)
        weakref.finalize(self, self._http.close)

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def is_healthy(self) -> bool:
        """Whether it takes requests."""
        try:
            answer = self._http.get(f"{self.url}/health", timeout=_HEALTH_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def ask(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = _ANSWER_SECONDS,
    ) -> Any:
        """The JSON of an answer: to GET, or with a body to POST.

        Raises:
            ModelNotFoundError: the server does not know the model.
            ServiceError: it cannot be reached, or refuses.
        """
        method = "GET" if body is None else "POST"
        try:
            answer = self._http.request(method, f"{self.url}{path}", json=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise ServiceError(f"{self.url} cannot be reached: {error}") from error
        if answer.status_code >= 400:
            kind = ModelNotFoundError if answer.status_code == 404 else ServiceError
            raise kind(f"{self.url}{path} refused: {_reason(answer)}")
        return answer.json()

    def model_id(self, name: str) -> str:
        """What the server itself calls a model.

        Raises:
            ModelNotFoundError: it has none of that name.
        """
        return str(self.ask(f"/v1/models/{name}")["id"])

    def loaded(self, ident: str) -> dict[str, Any] | None:
        """What is told of a model in memory (size in bytes, idle_seconds, ...); None: it is not."""
        names = (ident, f"{ident}:latest")
        models = self.ask("/api/ps")["models"]
        return next((model for model in models if model["name"] in names), None)

    def counts(self, ident: str | None = None) -> ModelCounts:
        """Of one model; None: of all."""
        try:
            page = self._http.get(f"{self.url}/metrics")
            page.raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceError(f"{self.url}/metrics cannot be read: {error}") from error
        return _counted(page.text, ident)


def _counted(page: str, ident: str | None) -> ModelCounts:
    from prometheus_client.parser import text_string_to_metric_families

    found = dict.fromkeys(_FIELDS.values(), 0.0)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            field = _FIELDS.get(sample.name)
            if field is not None and ident in (None, sample.labels.get("model_name")):
                found[field] += sample.value
    num_running, num_waiting = int(found.pop("num_running")), int(found.pop("num_waiting"))
    return ModelCounts(**found, num_running=num_running, num_waiting=num_waiting)


def _reason(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
