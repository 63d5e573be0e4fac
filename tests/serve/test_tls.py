"""A server with a certificate: real handshakes."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from serve.server_process import ServerProcess

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-out", str(cert), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture(scope="module")
def secure(chat_model: Path, certificate: tuple[Path, Path]) -> Iterator[ServerProcess]:
    cert, key = certificate
    server = ServerProcess(chat_model, "--name", "stories", "--tls-cert", cert, "--tls-key", key)
    yield server
    assert server.stop() == 0


def test_clients_that_trust_the_certificate_are_answered(
    secure: ServerProcess, certificate: tuple[Path, Path]
) -> None:
    assert secure.url.startswith("https://")
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx.Client(verify=trusting, trust_env=False) as http:
        client = openai.OpenAI(base_url=f"{secure.url}/v1", api_key="none", http_client=http)
        chunks = client.completions.create(
            model="stories", prompt="Once", max_tokens=5, stream=True
        )
        assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def test_others_are_not(secure: ServerProcess) -> None:
    with httpx.Client(trust_env=False) as http:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            http.get(f"{secure.url}/health")
        with pytest.raises(httpx.TransportError):
            http.get(f"{secure.url.replace('https', 'http')}/health")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(secure: ServerProcess) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    port = int(secure.url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol|version|alert|closed"),
    ):
        context.wrap_socket(plain)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tls-cert", "{cert}"), "--tls-key"),
        (("--tls-key", "{key}"), "--tls-cert"),
        (("--tls-cert", "{cert}", "--tls-key", "{cert}"), "--tls-key"),
        (("--tls-cert", "missing.pem", "--tls-key", "{key}"), "No such file"),
    ],
    ids=str,
)
def test_what_is_no_certificate_is_told_in_one_line(
    chat_model: Path, certificate: tuple[Path, Path], arguments: tuple[str, ...], told: str
) -> None:
    cert, key = certificate
    filled = [argument.format(cert=cert, key=key) for argument in arguments]
    with pytest.raises(AssertionError, match="did not start") as failed:
        ServerProcess(chat_model, *filled)
    assert told in str(failed.value)
    assert "loaded" not in str(failed.value)
    assert "fault of pyslm" not in str(failed.value)
