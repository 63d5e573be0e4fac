"""Requests made from our own OpenAPI document: the valid, and the broken."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from serve.server_process import ServerProcess
from stories import chat_stories

schemathesis = pytest.importorskip("schemathesis", reason="is not installed")

from schemathesis import GenerationMode, checks  # noqa: E402

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
]
# Not with each run:
STRICTER = [*CHECKS, checks.unsupported_method]
ENDS = ("/shutdown", "/openai/load", "/openai/unload", "/models/load", "/models/unload")
"""Operations that end the server or its worker, as they are told to."""
SETTINGS = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(hypothesis.HealthCheck),
}


@pytest.fixture(scope="module")
def running(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With a short context, so that no answer is long."""
    model = chat_stories(shared, tmp_path_factory.mktemp("schema"))
    server = ServerProcess(model, "--name", "stories", "--ctx", "64")
    yield server
    code = server.stop()
    assert "started anew" not in server.log, "the worker died under way"  # unloading is no death
    assert code == 0


def check_all(server: ServerProcess, mode: Any, num_examples: int) -> None:
    with server.http() as http:
        schema = schemathesis.openapi.from_dict(http.get("/openapi.json").json())
    schema.config.update(base_url=server.url)
    found = [result.ok() for result in schema.get_all_operations()]
    assert len(found) > 8
    for operation in found:
        if operation.path.startswith(ENDS):
            continue
        try:
            strategy = operation.as_strategy(generation_mode=mode)

            @hypothesis.settings(max_examples=num_examples, **SETTINGS)  # type: ignore[arg-type]
            @hypothesis.given(case=strategy)
            def check(case: Any) -> None:
                case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=60)

            check()
        except hypothesis.errors.Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # nothing about it can be wrong


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_breaks_the_server(running: ServerProcess, mode: Any) -> None:
    check_all(running, mode, 6)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_request_of_many_breaks_the_server(running: ServerProcess) -> None:
    """Also the edges of each field, one by one, and methods that there are not: 10,000 requests in
    2 minutes, and more on a machine that is busy.

    What it has found: booleans that were given as 0 and 1 (`stream: 0`), which pydantic takes by
    itself as it takes true for a number.
    """
    names = [check.__name__ for check in STRICTER]
    command = ["schemathesis", "run", f"{running.url}/openapi.json", "--mode", "all"]
    command += ["--phases", "coverage,fuzzing", "--checks", ",".join(names)]
    command += ["--max-examples", "20", "--continue-on-failure", "--no-color"]
    command += ["--request-timeout", "600", "--seed", "1"]
    command += ["--exclude-path-regex", f"^({'|'.join(ENDS)})"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
