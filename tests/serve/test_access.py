"""Who may ask: keys, Host and Origin, and what a server refuses to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from serve.server_process import ServerProcess, wait_until

KEY = "a-key-of-the-test"


@pytest.fixture(scope="module")
def keyed(chat_model: Path) -> Iterator[ServerProcess]:
    """A server that asks for KEY."""
    server = ServerProcess(chat_model, environment={"PYSLM_API_KEY": KEY})
    yield server
    server.stop()


def pyslm(*arguments: object, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    import os

    environment = dict(os.environ)
    if home is not None:
        environment |= {"XDG_CONFIG_HOME": str(home), "HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "pyslm", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip


def test_every_route_but_health_needs_the_key(keyed: ServerProcess) -> None:
    with keyed.http() as client:
        paths = client.get("/openapi.json", headers={"authorization": f"Bearer {KEY}"}).json()
        routes = [(method, path) for path, methods in paths["paths"].items() for method in methods]
        assert ("post", "/v1/chat/completions") in routes
        for method, path in [*routes, ("get", "/openapi.json"), ("get", "/nowhere")]:
            status = client.request(method, path.replace("{model}", "x")).status_code
            assert status == (200 if path == "/health" else 401), path


@pytest.mark.parametrize(
    "headers",
    [{"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"api-key": KEY}],
)
def test_the_key_in_each_header(keyed: ServerProcess, headers: dict[str, str]) -> None:
    with keyed.http(headers=headers) as client:
        assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize("key", ["x", "wrong", KEY[:-1], KEY + "x", "é"])
def test_a_wrong_key(keyed: ServerProcess, key: str) -> None:
    headers = {"authorization": f"Bearer {key}".encode()}
    with keyed.http(headers=headers) as client:  # type: ignore[arg-type]
        response = client.get("/v1/models")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


def test_no_key_in_the_log(keyed: ServerProcess) -> None:
    keyed.openai(api_key=KEY).models.list()
    assert KEY not in keyed.log


def test_keys_of_the_file(chat_model: Path, tmp_path: Path) -> None:
    user = pyslm("keys", "create", "ann", home=tmp_path).stdout.strip()
    scraper = pyslm("keys", "create", "eve", "--scope", "metrics", home=tmp_path).stdout.strip()
    expired = pyslm("keys", "create", "old", "--days", 0, home=tmp_path).stdout.strip()
    assert len(user) >= 43
    file = next(tmp_path.rglob("keys.json"))
    assert user not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    home = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    server = ServerProcess(chat_model, "--require-key", environment=home)
    try:
        assert server.openai(api_key=user).models.list().data
        with pytest.raises(openai.AuthenticationError):
            server.openai(api_key=expired).models.list()
        with pytest.raises(openai.PermissionDeniedError):
            server.openai(api_key=scraper).models.list()
        with server.http() as client:
            for key, status in ((scraper, 200), (user, 403)):
                headers = {"authorization": f"Bearer {key}"}
                assert client.get("/metrics", headers=headers).status_code == status
        assert "ann" in pyslm("keys", "list", home=tmp_path).stdout
        pyslm("keys", "revoke", "ann", home=tmp_path)
        with pytest.raises(openai.AuthenticationError):
            server.openai(api_key=user).models.list()
    finally:
        server.stop()


def test_guessing_keys_is_slowed(chat_model: Path) -> None:
    server = ServerProcess(chat_model, "--api-key", KEY)
    try:
        with server.http() as client:
            statuses = [
                client.get("/v1/models", headers={"x-api-key": str(i)}).status_code
                for i in range(30)
            ]
        assert statuses[0] == 401
        assert statuses[-1] == 429
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("192.168.1.5", 200),  # an address cannot be rebound
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("user@localhost", 403),
        ("", 403),
    ],
)
def test_hosts(server: ServerProcess, host: str, status: int) -> None:
    with server.http() as client:
        assert client.get("/v1/models", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("http://127.0.0.1:5173", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("file://", 403),
        ("", 403),
    ],
)
def test_origins(server: ServerProcess, origin: str, status: int) -> None:
    with server.http() as client:
        response = client.get("/v1/models", headers={"origin": origin})
    assert response.status_code == status
    assert response.headers.get("access-control-allow-origin") in (
        (origin,) if status == 200 else (None,)
    )


def test_listed_origins_and_hosts(chat_model: Path) -> None:
    server = ServerProcess(
        chat_model, "--cors-origin", "https://app.example", "--allow-host", "box.example"
    )
    try:
        with server.http() as client:
            headers = {"origin": "https://app.example", "host": "box.example"}
            assert client.get("/v1/models", headers=headers).status_code == 200
            preflight = client.options(
                "/v1/chat/completions",
                headers={
                    "origin": "https://app.example",
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization,content-type",
                },
            )
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == "https://app.example"
            foreign = client.get("/v1/models", headers={"origin": "https://other.example"})
            assert foreign.status_code == 403
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("--host", "0.0.0.0"), "an API key"),
        (("--host", "0.0.0.0", "--api-key", KEY), "TLS"),
        (("--host", "::"), "an API key"),
        (("--host", "0.0.0.0", "--tls-cert", "x.pem"), "an API key"),
    ],
)
def test_refuses_to_be_exposed(chat_model: Path, arguments: tuple[str, ...], missing: str) -> None:
    told = pyslm("serve", chat_model, *arguments)
    assert told.returncode == 2
    assert missing in told.stderr
    assert "--insecure" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_a_body_too_large_is_413(chat_model: Path) -> None:
    server = ServerProcess(chat_model, "--max-body", "10K")
    try:
        with server.http() as client:
            body = {"prompt": "x" * 20_000}
            assert client.post("/v1/completions", json=body).status_code == 413

            def pieces() -> Iterator[bytes]:  # without a Content-Length
                for _ in range(100):
                    yield b"x" * 1000

            try:
                response = client.post("/v1/completions", content=pieces())
            except httpx.WriteError:  # it hung up before we were done
                pass
            else:
                assert response.status_code == 413
            assert client.get("/health").status_code == 200
    finally:
        server.stop()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "a", "temperature": NaN}',
        b'{"prompt": "a", "temperature": 1e999}',
        b'{"prompt": "a", "n": 1000000000}',
        b'{"prompt": "a", "max_tokens": -5}',
        b'{"prompt": "a", "seed": 1e30}',
        b'{"prompt": [[]]}',
        b'{"prompt": [-1]}',
        b'{"prompt": [99999999]}',
        b'{"prompt": {"a": 1}}',
        b'{"prompt": "a", "logit_bias": {"99999999": 1}}',
        b'{"prompt": "a", "guided_regex": "("}',
        b'{"prompt": "a", "guided_json": {"type": "nonsense"}}',
        b'{"prompt": "a", "guided_grammar": "root ::= root"}',
    ],
)
def test_hostile_bodies_are_400(server: ServerProcess, body: bytes) -> None:
    with server.http() as client:
        response = client.post("/v1/completions", content=body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]


def test_a_slow_body_does_not_hold_others_up(server: ServerProcess) -> None:
    import socket
    from urllib.parse import urlsplit

    address = urlsplit(server.url)
    assert address.hostname is not None
    slow = [socket.create_connection((address.hostname, address.port or 80)) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
            )
        with server.http() as client:
            assert wait_until(lambda: client.get("/health").status_code == 200) < 1
    finally:
        for connection in slow:
            connection.close()
